"""Rows of Loihi measurements: what is predicted, by hand; what is refused; what must not matter."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from hw_models import NeuromorphicChip, load_device
from hw_models.mapping import map_layers
from hw_models.validate.loihi import predict_loihi
from hw_models.validate.loihi_setups import PUBLISHED, network, setups
from hw_models.validate.outcome import Prediction, Refusal
from hw_models.validate.rows import LoihiRow, effective_roles, read_rows

SAMPLES = 200


def row(**cells: object) -> LoihiRow:
    """Return a row of a network that no setup knows, on Loihi 1."""
    numbers = ("neurons", "synapses_or_params", "timesteps", "synops_per_inf", "latency_ms",
               "static_mw", "dynamic_mw", "total_mw", "energy_mj_per_inf",
               "throughput_per_s")  # fmt: skip
    texts = ("accuracy", "source_locator", "verified", "notes")
    named: dict[str, object] = dict.fromkeys(numbers) | dict.fromkeys(texts, "")
    named |= {
        "id": "X",
        "role": "check",
        "chip": "Intel Loihi 1",
        "workload": "a network",
        "source": "somebody",
    }
    return LoihiRow(**(named | cells))  # type: ignore[arg-type]


def predicted(of: LoihiRow) -> dict[str, Prediction]:
    found = predict_loihi(of, samples=SAMPLES)
    return {each.quantity: each for each in found if isinstance(each, Prediction)}


def reasons(of: LoihiRow) -> list[str]:
    return [each.reason for each in predict_loihi(of) if isinstance(each, Refusal)]


@cache
def shipped() -> dict[str, LoihiRow]:
    rows = read_rows(PUBLISHED / "loihi.csv")
    return {each.id: each for each in rows if isinstance(each, LoihiRow)}


CORE = row(neurons=1000.0, synapses_or_params=10_000.0, timesteps=20.0, synops_per_inf=5000.0,
           notes="core_dynamic_uj=2")  # fmt: skip


def test_core_energy_of_an_unknown_network_by_hand() -> None:
    """20,000 updates, 5000 operations from 500 spikes of ten synapses, one message each."""
    found = predicted(CORE)
    expected = 20_000 * 81e-12 + 5000 * 23.6e-12 + 500 * (69e-12 + 111e-12)
    assert found["core energy"].predicted.value == pytest.approx(expected, rel=1e-12)
    assert found["core energy"].measured == pytest.approx(2e-6)
    assert (found["core energy"].boundary, found["core energy"].note) == ("core", "")


def test_loihi_2_by_hand() -> None:
    """100 neurons on two cores, static power as given; the busier core has twice the mean."""
    of = row(chip="Intel Loihi 2", workload="LIF network", neurons=100.0,
             synapses_or_params=1000.0, timesteps=10.0, synops_per_inf=500.0, latency_ms=0.02,
             static_mw=200.0, total_mw=240.0, energy_mj_per_inf=4.8e-3,
             notes="energy=total; cores=2")  # fmt: skip
    found = predicted(of)
    core = 1000 * 2.34 * 60e-12 + 500 * 15e-12 + 50 * 100e-12 + 10 * (2 * 1.6e-9 + 23.2e-9)
    time = 1000 * 2.34 * 4e-9 + 500 * 0.66e-9 + 10 * 1.15e-6
    assert found["step time"].predicted.value == pytest.approx(time / 10, rel=1e-12)
    assert found["total energy"].predicted.value == pytest.approx(core + 0.2 * time, rel=1e-12)
    assert found["step time"].measured == pytest.approx(2e-6)
    assert found["total energy"].device == "loihi2"


def test_the_stepping_chooses_the_board() -> None:
    of = row(chip="Intel Loihi 2", workload="LIF network", neurons=10.0, timesteps=1.0,
             synops_per_inf=5.0, latency_ms=0.002, energy_mj_per_inf=3e-4,
             notes="energy=total; stepping=n3c1")  # fmt: skip
    (energy,) = (each for name, each in predicted(of).items() if name != "step time")
    assert energy.quantity == "total energy, static power not given"
    assert energy.device == "loihi2-n3c1"


def test_boundaries_are_kept_apart() -> None:
    """Quartz states cores and an attributed total, a chip total does not contain the cores."""
    found = predicted(shipped()["L1-QUARTZ-MNIST-T651"])
    assert {name: each.boundary for name, each in found.items()} == {
        "core energy": "core",
        "total energy": "attributed-total",
        "energy above static": "attributed-total",
        "step time": "",
    }
    above, total = found["energy above static"].predicted, found["total energy"].predicted
    assert found["core energy"].predicted.value < above.value < total.value
    latency = 651 * found["step time"].predicted.value
    assert total.value - above.value == pytest.approx(4.64e-3 * latency, rel=1e-9)
    clock_and_code = 0.018 + 0.006 * 0.87
    core = found["core energy"].predicted.value
    assert above.value - core == pytest.approx(clock_and_code * latency, rel=1e-9)


def test_attributed_static_power_is_that_of_the_used_cores() -> None:
    """Without the row's 4.64 mW: 9 of 128 cores of a chip that leaks 104 mW."""
    of = replace(shipped()["L1-QUARTZ-MNIST-T651"], static_mw=None)
    found = predicted(of)
    total = found["total energy, static power not given"].predicted.value
    above = found["energy above static"].predicted.value
    latency = 651 * found["step time"].predicted.value
    assert total - above == pytest.approx(9 / 128 * 0.104 * latency, rel=1e-9)


@pytest.mark.parametrize("name", ["L1-QUARTZ-MNIST-T91", "L1-KWS-SCALE-04", "L1-SMNIST-WM",
                                  "L2-PILOTNET-LIF-20221025", "L2-2LIF-F50-D5",
                                  "L2-WTA-LIF-200"])  # fmt: skip
def test_no_measured_result_enters_a_prediction(name: str) -> None:
    """Latency, dynamic power and energy of a row tenfold: the same predictions."""
    of = shipped()[name]
    times_10 = {
        cell: 10 * value
        for cell in ("latency_ms", "dynamic_mw", "energy_mj_per_inf")
        if (value := getattr(of, cell)) is not None
    }
    one, other = predicted(of), predicted(replace(of, **times_10))
    assert one and one.keys() == other.keys()
    for quantity, each in one.items():
        assert other[quantity].predicted == each.predicted
        assert other[quantity].measured >= each.measured


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"neurons": None}, "neurons are not given"),
        ({"timesteps": None}, "time steps are not given"),
        ({"synops_per_inf": None}, "activity (synaptic operations) is not given"),
        ({"chip": "Tianjic"}, "Tianjic: not a chip of the catalog"),
        ({"ranges": {"neurons": (1.0, 2.0)}}, "neurons is a range: not one network"),
        ({"notes": "io=host-bound"}, "bound by the host's input"),
        ({"chip": "Intel Loihi 2"}, "the neuron is not LIF"),
        (
            {"notes": "energy=as-reported", "energy_mj_per_inf": 1.0},
            "no energy of a known boundary (it is as-reported)",
        ),
        ({"notes": ""}, "no energy of a known boundary (it is not stated)"),
    ],
)
def test_what_cannot_be_predicted_says_why(cells: dict[str, Any], reason: str) -> None:
    (found,) = reasons(replace(CORE, **cells))
    assert reason in found


def test_step_time_without_the_number_of_inputs_is_refused() -> None:
    found = reasons(replace(CORE, latency_ms=1.0))
    assert found == ["spikes injected are not given; each takes 4 to 5 us on Loihi 1"]


def test_rows_that_set_a_constant_are_not_checked_on_it() -> None:
    of = shipped()["L1-SMNIST-LSNN"]
    assert not predicted(of)
    assert set(reasons(of)) == {"a constant was set on this quantity of this row"}


def test_notes_say_what_bounds_a_row_and_what_is_assumed() -> None:
    quartz = shipped()["L1-QUARTZ-MNIST-T91"]
    assert predicted(quartz)["step time"].note == "I/O-bound"
    assert predicted(replace(quartz, timesteps=651.0))["step time"].note == ""
    words = predicted(shipped()["L1-KWS-SCALE-04"])
    assert words["step time"].note == "I/O-bound"
    assert words["total energy"].note == "activity assumed"
    assert predicted(shipped()["L2-WTA-LIF-200"])["step time"].note == ""


def test_more_branches_and_more_steps_cost_more() -> None:
    """Rows nobody measured: energies grow with what is computed."""
    words = [predicted(shipped()[f"L1-KWS-SCALE-0{n}"]) for n in (1, 2, 4, 6, 8)]
    totals = [each["total energy"].predicted.value for each in words]
    assert totals == sorted(totals)
    quartz = shipped()["L1-QUARTZ-MNIST-T171"]
    cores = [
        predicted(replace(quartz, id="X", timesteps=steps))["core energy"].predicted.value
        for steps in (51.0, 331.0, 1000.0)
    ]
    assert cores == sorted(cores)


def test_setups_name_calibration_rows_and_cited_numbers() -> None:
    """``setups`` itself refuses a source that is in no bibliography."""
    for setup in setups():
        known = {each.id for each in shipped().values() if setup.workload in each.workload}
        assert set(setup.set_by) <= known
        assert all(shipped()[name].role == "calibrate" for name in setup.set_by)


def test_published_network_has_the_parameters_of_its_row() -> None:
    """26,190 weights of 6c5-2p-12c5-2p-120c4-10; pooling has none of its own in that count."""
    described = network("loihi_quartz_mnist.json")
    weights = sum(
        layer.weights or layer.synapses
        for layer in described.layers
        if not layer.layer.startswith("pool")
    )
    assert weights == shipped()["L1-QUARTZ-MNIST-T171"].synapses_or_params
    chip = load_device("loihi1")
    assert isinstance(chip, NeuromorphicChip)
    assert 9 <= map_layers(described.layers, chip.limits).n_cores <= 11  # 11 were used


def check_predictions(quantity: str, chip: str) -> list[Prediction]:
    rows = shipped()
    roles = effective_roles(rows.values())
    return [
        each
        for name, role in roles.items()
        if role == "check" and rows[name].chip == chip
        for each in [predicted(rows[name]).get(quantity)]
        if each is not None
    ]


def test_check_rows_of_loihi_1_within_the_claim() -> None:
    """Core energy within 18%; steps within 25%; narrow intervals that hold the measurement."""
    cores = check_predictions("core energy", "Intel Loihi 1")
    steps = check_predictions("step time", "Intel Loihi 1")
    assert len(cores) >= 3 and len(steps) >= 8
    assert all(each.error < 0.18 and each.width < 2.2 for each in cores)
    assert all(each.error < 0.25 and each.width < 1.8 for each in steps)
    assert all(each.inside for each in cores + steps)


def test_check_rows_of_loihi_2_within_the_claim() -> None:
    """Total energy within a factor 1.8, steps within 30%, intervals of at most a factor 4."""
    totals = check_predictions("total energy", "Intel Loihi 2")
    steps = check_predictions("step time", "Intel Loihi 2")
    assert len(totals) >= 2 and len(steps) >= 2
    assert all(each.factor < 1.8 and each.width < 4 for each in totals)
    assert all(each.error < 0.30 and each.width < 4 for each in steps)
