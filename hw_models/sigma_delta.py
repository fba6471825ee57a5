"""ANN layers as sigma-delta layers: what a change of the input costs, and what has no such form.

A sigma-delta network sends only changes: of the elements of a layer, the share that changed by
more than a threshold since the last window, measured by running it (``delta_density``). With
density d, M MACs and E elements (outputs) of a layer per inference::

    synaptic operations  d M      (d E where a layer is element by element)
    messages             d E
    passes               delta_passes E

It is exact for layers that are linear in their input, with a pointwise nonlinearity behind them
(lava-dl PilotNet SDNN). A product of two activations (attention), a softmax or a normalisation
over elements changes everywhere when one element does, so it has no such form.
"""

from __future__ import annotations

from hw_models.chip import NeuromorphicChip
from hw_models.ops import ACTIVATION_BYTES, WEIGHT_BYTES, LayerOps, OpKind

_LINEAR = (OpKind.GEMM, OpKind.CONV, OpKind.DEPTHWISE)
KINDS = (*_LINEAR, OpKind.ELEMENTWISE)
_MISSING = {True: "macs, and elements or write_bytes,", False: "elements"}
_MOVES = (OpKind.GATHER, OpKind.SCATTER, OpKind.EMBEDDING, OpKind.RESIZE)


def refusal(layer: LayerOps, chip: NeuromorphicChip) -> str:
    """Say why an ANN layer cannot run on a chip; empty where it can."""
    if chip.constants.delta_passes is None:
        return (
            f"{chip.title} sends binary spikes: a sigma-delta network needs graded ones, and an "
            f"ANN converted to spike rates is another network, to be counted as spiking layers"
        )
    if layer.kind is OpKind.ATTENTION:
        return (
            f"layer {layer.layer}: attention multiplies activations by activations and "
            f"normalises them by a softmax, which has no sigma-delta form"
        )
    if layer.kind in _MOVES:
        return f"layer {layer.layer}: {layer.kind} has no sigma-delta form"
    if layer.kind not in KINDS:
        return (
            f"layer {layer.layer}: a whole network known by its totals ({layer.kind}) cannot be "
            f"mapped to cores; give its layers"
        )
    if layer.delta_density is None:
        extra = (
            "; a softmax or a normalisation has none, fold a pointwise function into the layer "
            "before it"
            if layer.kind is OpKind.ELEMENTWISE
            else ""
        )
        return (
            f"layer {layer.layer}: an ANN runs on a neuromorphic chip as a sigma-delta network, "
            f"whose cost follows from measured activation sparsity only; give delta_density, the "
            f"measured share of its activations whose change is sent per window{extra}"
        )
    if not _elements(layer) or (layer.kind in _LINEAR and not layer.dense.macs):
        return f"layer {layer.layer}: {_MISSING[layer.kind in _LINEAR]} must be given and above 0"
    return ""


def size(layer: LayerOps, inferences: int) -> tuple[float, float, float]:
    """Return neurons, synapses and distinct weights of the layer where everything is sent.

    Parameters
    ----------
    layer
        A layer that :func:`refusal` does not refuse; its dense counts are taken.
    inferences
        Inferences behind the counts.
    """
    neurons = _elements(layer) / inferences
    synapses = layer.dense.macs / inferences or neurons
    weights = layer.dense.weight_bytes / WEIGHT_BYTES[layer.ran_as] / inferences
    return neurons, synapses, min(weights or synapses, synapses)


def _elements(layer: LayerOps) -> float:
    dense = layer.dense
    if layer.kind not in _LINEAR:
        return dense.elements
    return dense.elements or dense.write_bytes / ACTIVATION_BYTES[layer.ran_as]
