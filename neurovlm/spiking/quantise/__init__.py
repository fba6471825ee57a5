"""A float graph as Loihi's integers, and what that changes.

::

    result = quantise(graph)
    compare(graph, result.graph, spikes)        # float against fixed point
    compare(result.twin, result.graph, spikes)  # the same weights in float against fixed point

The first difference is what rounding weights, decays and thresholds costs, the second what integer
states cost beside it. The twin is what to train with: it spikes almost as the chip will.
"""

from neurovlm.spiking.quantise.compare import Difference, compare
from neurovlm.spiking.quantise.graph import Quantised, quantise
from neurovlm.spiking.quantise.scale import Part, Scaled

__all__ = ["Difference", "Part", "Quantised", "Scaled", "compare", "quantise"]
