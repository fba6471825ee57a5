"""The bare patch neurons: what feeds them, and when they fire."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import GraphError
from neurovlm.frontend.patch_lif import EVENT_BITS, patch_lif
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.fixed_point import LIMIT
from neurovlm.spiking.loihi import peak_current
from neurovlm.spiking.train import SpikeTrain


def test_one_graded_input_and_one_synapse_per_patch():
    network = patch_lif().network
    assert (network.input_shape, network.input_bits) == ((1, 14, 14), 14)
    (connection,) = network.connections
    assert np.array_equal(connection.matrix.toarray(), 2 * np.eye(196))
    (p,) = network.populations
    assert {int(x) for x in (*p.du, *p.dv, *p.vth)} == {4096 // 4 - 1, 4096 // 16, 150}


def test_the_current_cannot_wrap_by_a_hair():
    network = patch_lif().network
    peak = peak_current(network, network.populations[0]).max()
    assert peak == 2 * 16383 * 64 * 4 < LIMIT
    with pytest.raises(GraphError, match=r"node 'P': u could reach 16776704 and wrap"):
        patch_lif(message_bits=EVENT_BITS + 1)
    assert patch_lif(message_bits=EVENT_BITS + 1, weight=1).network.input_bits == 15


def test_a_patch_fires_when_its_potential_passes_the_threshold():
    """By hand, in 64ths; the threshold is 9600.

    u = 64 * 2 * 50 = 6400 in tick 4, then 3/4 of it per tick; v keeps 15/16 and adds u.
    v = 6400, then 6000 + 4800 = 10800: fires in tick 5. From 0 on: 3600, 6075, 7720, 8755, 9345,
    and in tick 11 8760 + 853 = 9613: fires again, by the rest of u alone.
    """
    events = SpikeTrain([3], [2 * 14 + 5], 20, (1, 14, 14), 1e-3, [50])
    fired = get_backend("reference").run(patch_lif(), events).out
    assert list(zip(fired.tick.tolist(), fired.neuron.tolist(), strict=True)) == [(5, 33), (11, 33)]
