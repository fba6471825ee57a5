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
    assert (network.input_shape, network.input_bits) == ((1, 14, 14), 11)
    (connection,) = network.connections
    assert np.array_equal(connection.matrix.toarray(), 16 * np.eye(196))
    (p,) = network.populations
    assert {int(x) for x in (*p.du, *p.dv, *p.vth)} == {4096 // 4 - 1, 4096 // 16, 1200}


def test_the_current_cannot_wrap_by_a_hair():
    network = patch_lif().network
    peak = peak_current(network, network.populations[0]).max()
    assert peak == 16 * 2047 * 64 * 4 < LIMIT
    with pytest.raises(GraphError, match=r"node 'P': u could reach 16773120 and wrap"):
        patch_lif(message_bits=EVENT_BITS + 1)
    assert patch_lif(message_bits=EVENT_BITS + 1, weight=8).network.input_bits == 12


def test_a_patch_fires_when_its_potential_passes_the_threshold():
    """By hand, in 64ths; the threshold is 76800.

    u = 64 * 16 * 50 = 51200 in tick 4, then 3/4 of it per tick; v keeps 15/16 and adds u.
    v = 51200, then 48000 + 38400 = 86400: fires in tick 5. From 0 on: 28800, 48600, 61762, 70051,
    74784, and in tick 11 70110 + 6833 = 76943: fires again, by the rest of u alone.
    """
    events = SpikeTrain([3], [2 * 14 + 5], 20, (1, 14, 14), 1e-3, [50])
    fired = get_backend("reference").run(patch_lif(), events).out
    assert list(zip(fired.tick.tolist(), fired.neuron.tolist(), strict=True)) == [(5, 33), (11, 33)]
