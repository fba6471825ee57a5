from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models import LayerOps, NeuromorphicChip, OpKind, Ops, load_device
from hw_models.chip import ChipLimits
from hw_models.mapping import map_layers


def limits(name: str) -> ChipLimits:
    chip = load_device(name)
    assert isinstance(chip, NeuromorphicChip)
    return chip.limits


def layer(name: str, neurons: int, synapses: int = 0, spikes: int = 0, synops: int = 0) -> LayerOps:
    ops = Ops(spikes=spikes, synops=synops)
    return LayerOps("change", name, OpKind.SPIKING, ops, neurons=neurons, synapses=synapses)


def test_cores_by_neurons_on_loihi_1() -> None:
    """15,876 neurons at 1024 per core: 15.5, so 16 cores; 196 more take one."""
    mapping = map_layers([layer("F", 15_876), layer("D", 196)], limits("loihi1"))
    assert [place.n_cores for place in mapping.placements] == [16, 1]
    assert (mapping.n_cores, mapping.n_chips, mapping.fits) == (17, 1, True)
    assert mapping.reason == "fits: 17 of 4096 cores, 1 of 32 chips"


def test_cores_by_synapse_memory_on_loihi_1() -> None:
    """1,048,576 bits hold 65,536 synapses of 16 bits; 65,537 need a second core."""
    one = map_layers([layer("x", 1000, 65_536)], limits("loihi1"))
    two = map_layers([layer("x", 1000, 65_537)], limits("loihi1"))
    assert (one.n_cores, two.n_cores) == (1, 2)


def test_neuron_state_shares_the_memory_on_loihi_2() -> None:
    """1,572,864 bits: 8192 neurons of 128 bits leave 524,288 bits, 32,768 synapses of 16 bits."""
    one = map_layers([layer("x", 8192, 32_768)], limits("loihi2"))
    two = map_layers([layer("x", 8192, 32_769)], limits("loihi2"))
    assert (one.n_cores, two.n_cores) == (1, 2)


def test_too_many_cores_are_said_with_the_chips_needed() -> None:
    """121 full cores exceed the 120 of the one chip on the board."""
    mapping = map_layers([layer("x", 121 * 8192)], limits("loihi2"))
    assert not mapping.fits
    assert mapping.n_chips == 2
    assert mapping.reason == ("does not fit: 121 cores on 2 chips needed, the board has 120 on 1")


def test_a_neuron_that_no_core_can_hold() -> None:
    """One neuron with 65,537 synapses of 16 bits exceeds 128 KiB."""
    mapping = map_layers([layer("wide", 1, 65_537)], limits("loihi1"))
    assert not mapping.fits
    assert mapping.reason.startswith("layer change/wide does not fit: one neuron with 65537")
    assert mapping.reason.endswith("more than the 128 KiB of a core")


def test_nothing_takes_no_core_and_one_chip() -> None:
    mapping = map_layers([], limits("loihi2"))
    assert (mapping.n_cores, mapping.n_chips, mapping.fits) == (0, 1, True)


def test_a_spike_reaches_all_cores_of_the_next_layer_but_not_more_than_its_synapses() -> None:
    """16 cores follow: 10 spikes with 30 synops reach 3 each, with 1000 synops all 16."""
    few = map_layers([layer("a", 10, spikes=10), layer("b", 15_876, synops=30)], limits("loihi1"))
    many = map_layers(
        [layer("a", 10, spikes=10), layer("b", 15_876, synops=1000)], limits("loihi1")
    )
    assert [place.n_destination_cores for place in few.placements] == [3.0, 1.0]
    assert [place.n_destination_cores for place in many.placements] == [16.0, 1.0]


@given(st.integers(1, 10**6), st.integers(0, 10**8), st.integers(0, 10**5), st.integers(0, 10**6))
def test_more_neurons_or_synapses_never_take_fewer_cores(n: int, s: int, dn: int, ds: int) -> None:
    small = map_layers([layer("x", n, s)], limits("loihi2"))
    assert map_layers([layer("x", n + dn, s)], limits("loihi2")).n_cores >= small.n_cores
    assert map_layers([layer("x", n, s + ds)], limits("loihi2")).n_cores >= small.n_cores


@pytest.mark.parametrize("name", ["loihi1", "loihi2"])
def test_an_input_takes_no_core(name: str) -> None:
    events = LayerOps("frontend", "input", OpKind.SPIKING, Ops(spikes=9))
    assert map_layers([events], limits(name)).n_cores == 0
