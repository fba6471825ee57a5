"""Layers on cores against hand-made counts: each limit, each way to split, mesh and verdict."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models import LayerOps, NeuromorphicChip, OpKind, Ops, Workload, load_device
from hw_models.chip import ChipLimits
from hw_models.core_map import core_map, cores_of
from hw_models.mapping import Mapping, Placement, map_layers
from hw_models.mesh import Mesh, distance, positions


def chip(name: str) -> NeuromorphicChip:
    device = load_device(name)
    assert isinstance(device, NeuromorphicChip)
    return device


def limits(name: str) -> ChipLimits:
    return chip(name).limits


def layer(name: str, neurons: int, synapses: int = 0, weights: int = 0) -> LayerOps:
    return LayerOps(
        "change", name, OpKind.SPIKING, Ops(), neurons=neurons, synapses=synapses, weights=weights
    )


def source(spikes: int = 9) -> LayerOps:
    return LayerOps("frontend", "input", OpKind.SPIKING, Ops(spikes=spikes))


def last(name: str, *layers: LayerOps) -> Placement:
    return map_layers(layers, limits(name)).placements[-1]


def test_cores_by_neurons_on_loihi_1() -> None:
    """15,876 neurons at 1024 per core: 15.5, so 16 cores; 196 more take one."""
    mapping = map_layers([layer("F", 15_876), layer("D", 196)], limits("loihi1"))
    assert [place.n_cores for place in mapping.placements] == [16, 1]
    assert (mapping.n_cores, mapping.n_chips, mapping.fits) == (17, 1, True)
    assert mapping.reason == "fits: 17 of 4096 cores, 1 of 32 chips"


def test_cores_by_synapse_memory_on_loihi_1() -> None:
    """1,048,576 bits hold 65,536 synapses of 16 bits; 65,537 need a second core."""
    assert last("loihi1", layer("x", 1000, 65_536)).n_cores == 1
    assert last("loihi1", layer("x", 1000, 65_537)).n_cores == 2


def test_neuron_state_shares_the_memory_on_loihi_2() -> None:
    """1,572,864 bits: 8192 neurons of 128 bits leave 524,288 bits, 32,768 synapses of 16 bits."""
    assert last("loihi2", layer("x", 8192, 32_768)).n_cores == 1
    assert last("loihi2", layer("x", 8192, 32_769)).n_cores == 2


def test_a_shared_kernel_is_stored_once_per_core() -> None:
    """1000 neurons with 288 synapses each are 288,000 synapses, 4.4 cores; 9216 weights one."""
    assert last("loihi1", layer("conv", 1000, 288_000)).n_cores == 5
    shared = last("loihi1", layer("conv", 1000, 288_000, weights=9216))
    assert shared.n_cores == 1
    assert shared.memory_share == pytest.approx(9216 * 16 / 1_048_576)


def test_a_kernel_larger_than_a_core_is_split_by_output_channels() -> None:
    """131,072 weights are two cores' memory; each core then hears all 4000 sources.

    64 neurons on each of 64 channels with 2048 synapses: unshared they would take 128 cores.
    """
    before, conv = layer("a", 4000), layer("conv", 4096, 4096 * 2048, weights=131_072)
    mapping = map_layers([before, conv], limits("loihi1"))
    assert mapping.placements[1].n_cores == 4  # by neurons, 4096 / 1024
    assert mapping.placements[1].memory_share == 0.5
    assert mapping.placements[0].n_destination_cores == 4.0


def test_input_axons_split_a_layer_by_place() -> None:
    """8193 sources with one synapse each: 4096 per core, so three cores for 10 neurons."""
    assert last("loihi1", layer("a", 8192), layer("b", 10, 8192)).n_cores == 2
    assert last("loihi1", layer("a", 8193), layer("b", 10, 8193)).n_cores == 3
    assert last("loihi2", layer("a", 8193), layer("b", 10, 8193)).n_cores == 1


def test_output_axons_spread_the_layer_before() -> None:
    """1000 neurons that each reach the 5 cores of a dense layer: 5000 pairs, two cores."""
    four = map_layers([layer("a", 1000), layer("b", 250, 250_000)], limits("loihi1"))
    five = map_layers([layer("a", 1000), layer("b", 320, 320_000)], limits("loihi1"))
    assert [place.n_cores for place in four.placements] == [1, 4]
    assert [place.n_cores for place in five.placements] == [2, 5]
    assert five.placements[0].n_destination_cores == 5.0


def test_a_local_layer_is_heard_by_few_cores() -> None:
    """16 cores with 4 synapses per neuron: a source has one neuron's worth, one core hears it."""
    mapping = map_layers([layer("a", 16_000), layer("b", 16_000, 64_000)], limits("loihi1"))
    assert [place.n_cores for place in mapping.placements] == [16, 16]
    assert mapping.placements[0].n_destination_cores == 1.0


def test_too_many_cores_are_said_with_the_chips_needed() -> None:
    """121 full cores exceed the 120 of the one chip on the board, and fit eight chips."""
    full = [layer("x", 121 * 8192)]
    mapping = map_layers(full, limits("loihi2"))
    assert not mapping.fits
    assert mapping.n_chips == 2
    assert mapping.reason == "does not fit: 121 cores on 2 chips needed, the board has 120 on 1"
    (short,) = mapping.shortfalls
    assert (short.layer, short.limit, short.needed, short.available) == ("", "cores", 121, 120)
    assert map_layers(full, limits("loihi2-kapoho-point")).fits


def test_a_neuron_that_no_core_can_hold() -> None:
    """One neuron with 65,537 synapses of 16 bits exceeds 128 KiB, and 4096 axons."""
    mapping = map_layers([layer("wide", 1, 65_537)], limits("loihi1"))
    assert not mapping.fits
    assert mapping.reason == (
        "does not fit: layer change/wide needs 1,048,592 bits of memory for one neuron and its "
        "synapses, available are 1,048,576 in a core (and 1 more)"
    )
    assert [(short.needed, short.available) for short in mapping.shortfalls] == [
        (65_537 * 16, 1_048_576),
        (65_537, 4096),
    ]


def test_nothing_takes_no_core_and_one_chip() -> None:
    mapping = map_layers([], limits("loihi2"))
    assert (mapping.n_cores, mapping.n_chips, mapping.fits) == (0, 1, True)


@pytest.mark.parametrize("name", ["loihi1", "loihi2", "loihi2-n3c1", "loihi2-kapoho-point"])
def test_an_input_takes_no_core_and_reaches_every_core_behind_it(name: str) -> None:
    mapping = map_layers([source(), layer("F", 30_000)], limits(name))
    first, second = mapping.placements
    assert first.n_cores == 0
    assert first.n_destination_cores == second.n_cores


@given(st.integers(1, 10**6), st.integers(0, 10**8), st.integers(0, 10**5), st.integers(0, 10**6))
def test_more_neurons_or_synapses_never_take_fewer_cores(n: int, s: int, dn: int, ds: int) -> None:
    small = map_layers([layer("x", n, s)], limits("loihi2"))
    assert map_layers([layer("x", n + dn, s)], limits("loihi2")).n_cores >= small.n_cores
    assert map_layers([layer("x", n, s + ds)], limits("loihi2")).n_cores >= small.n_cores


@given(
    st.sampled_from(["loihi1", "loihi2"]),
    st.lists(
        st.tuples(st.integers(1, 20_000), st.integers(0, 200), st.integers(1, 10**5)),
        min_size=1,
        max_size=4,
    ),
)
def test_every_core_keeps_the_limits(name: str, sizes: list[tuple[int, int, int]]) -> None:
    """Neurons, memory and, on Loihi 1, pairs of neuron and destination core."""
    layers = [
        layer(f"{i}", n, n * fan_in, weights=min(w, n * fan_in))
        for i, (n, fan_in, w) in enumerate(sizes)
    ]
    mapping = map_layers(layers, limits(name))
    for place in mapping.placements:
        assert place.neuron_share <= 1 + 1e-9
        assert place.memory_share <= 1 + 1e-9
        assert 1 <= place.n_destination_cores <= mapping.n_cores
        if name == "loihi1":
            assert place.neuron_share * 1024 * place.n_destination_cores <= 4096 * (1 + 1e-9)


def test_the_same_structure_is_mapped_once() -> None:
    """Counts do not matter for where spiking layers go, so a sweep maps once."""
    one, two = (
        map_layers([source(spikes), layer("F", 500)], limits("loihi1")) for spikes in (3, 4)
    )
    assert one is two


def test_cores_fill_tiles_along_a_snake() -> None:
    """Four cores to a tile, eight tiles to a row; the second row runs backwards."""
    mesh = Mesh(cores_per_chip=128, cores_per_tile=4, columns=8, rows=4)
    at = positions(np.array([0, 3, 4, 31, 32, 63, 127, 128]), mesh)
    assert at.chip.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert at.x.tolist() == [0, 0, 1, 7, 7, 0, 0, 8]
    assert at.y.tolist() == [0, 0, 0, 0, 1, 1, 3, 0]


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=8),
    st.lists(st.integers(0, 400), min_size=1, max_size=8),
)
def test_distances_are_means_over_all_pairs(a: list[int], b: list[int]) -> None:
    """Against a plain double loop."""
    mesh = Mesh(cores_per_chip=128, cores_per_tile=4, columns=8, rows=4)
    one, two = positions(np.array(a), mesh), positions(np.array(b), mesh)
    pairs = list(itertools.product(range(len(a)), range(len(b))))
    found = distance(one, two)
    x = sum(abs(int(one.x[i]) - int(two.x[j])) for i, j in pairs) / len(pairs)
    y = sum(abs(int(one.y[i]) - int(two.y[j])) for i, j in pairs) / len(pairs)
    leaves = sum(bool(one.chip[i] != two.chip[j]) for i, j in pairs) / len(pairs)
    assert found == pytest.approx((x, y, leaves), abs=1e-9)


def hops(mapping: Mapping) -> tuple[float, float, float]:
    first = mapping.placements[0]
    return first.hops_x, first.hops_y, first.leaves_chip


def test_hops_between_two_layers_by_hand() -> None:
    """Four cores of tile 0 send to four of tile 1: one hop east; 32 on, one hop south."""
    near = map_layers([layer("a", 4 * 1024), layer("b", 4 * 1024)], limits("loihi1"))
    assert hops(near) == pytest.approx((1.0, 0.0, 0.0))
    rows = map_layers([layer("a", 32 * 1024), layer("b", 4 * 1024)], limits("loihi1"))
    assert hops(rows) == pytest.approx((3.5, 1.0, 0.0))


def test_messages_leave_a_full_chip() -> None:
    """One chip is full of the first layer, so all of the second is on the next."""
    mapping = map_layers([layer("a", 128 * 1024), layer("b", 1024)], limits("loihi1"))
    assert mapping.n_chips == 2
    assert mapping.placements[0].leaves_chip == pytest.approx(1.0)


def test_core_map_of_a_workload() -> None:
    """1200 and 100 neurons on Loihi 1: two half-used cores and one that works six times less."""
    ops = [Ops(neuron_updates=neurons) for neurons in (1200, 100)]
    layers = tuple(
        LayerOps("change", name, OpKind.SPIKING, each, neurons=each.neuron_updates)
        for name, each in zip("ab", ops, strict=True)
    )
    cores = core_map(Workload("w", 1, 25, layers, ticks=1), chip("loihi1"))
    assert [(core.layer, core.chip, core.tile_x, core.tile_y, core.slot) for core in cores] == [
        ("a", 0, 0, 0, 0),
        ("a", 0, 0, 0, 1),
        ("b", 0, 0, 0, 2),
    ]
    assert [core.neuron_share for core in cores] == pytest.approx([600 / 1024] * 2 + [100 / 1024])
    assert [core.activity_share for core in cores] == pytest.approx([1, 1, 1 / 6])
    assert all(core.memory_share == 0 for core in cores)


def test_core_map_covers_every_core_once_over_chips() -> None:
    mapping = map_layers([layer("a", 300 * 8192)], limits("loihi2-kapoho-point"))
    cores = cores_of(mapping, [1.0])
    places = {(core.chip, core.tile_x, core.tile_y, core.slot) for core in cores}
    assert len(places) == len(cores) == 300
    assert {core.chip for core in cores} == {0, 1, 2}
    assert max(core.tile_x for core in cores) == 7
    assert all(math.isclose(core.activity_share, 1.0) for core in cores)


def test_core_map_of_nothing() -> None:
    assert core_map(Workload("nothing", 1, 25, ()), chip("loihi2")) == ()
