"""Rows of processors: what they ask, and predictions by hand on a device of round numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hw_models.accelerator import Accelerator, KindConstants, PowerMode, SpikingKernel
from hw_models.errors import UnknownDeviceError
from hw_models.evaluate import evaluate
from hw_models.ops import OpKind
from hw_models.plan import make_plan
from hw_models.sourced import Sourced
from hw_models.totals import attention_elements
from hw_models.validate import edge as module
from hw_models.validate.draws import cost, interval
from hw_models.validate.edge import predict_edge
from hw_models.validate.facts import facts
from hw_models.validate.outcome import Prediction, Refusal
from hw_models.validate.question import (
    device_of,
    mode_of,
    network_of,
    precision_of,
    runtime_refusal,
    weight_bytes,
)
from hw_models.validate.rows import EDGE_COLUMNS, EdgeRow
from hw_models.validate.targets import ENERGY, ENERGY_GIVEN, LATENCY, SAMPLE_TIME, VENDOR
from hw_models.workload import Workload

NUMBERS = ("params_m", "gmacs", "batch", "latency_ms", "power_mw", "energy_mj_per_inf",
           "throughput_per_s", "n_layers", "act_melems")  # fmt: skip
EMPTY = EdgeRow(**(dict.fromkeys(EDGE_COLUMNS, "") | dict.fromkeys(NUMBERS)))  # type: ignore[arg-type]
NETWORK = replace(
    EMPTY,
    id="row",
    role="check",
    device="Jetson Board (kit)",
    workload="Net 224",
    precision="int8",
    runtime="TensorRT",
    op_class="cnn",
    params_m=20.0,
    gmacs=4.0,
    n_layers=100,
    act_melems=10.0,
    batch=1,
)


def exactly(value: float) -> Sourced:
    return Sourced(value, value, value, "test", "by hand", "assumed")


def about(value: float) -> Sourced:
    return Sourced(value, value / 2, value * 2, "test", "by hand", "assumed")


def mode(number: Callable[[float], Sourced] = exactly, **changes: Sourced) -> PowerMode:
    """1 T MAC/s, 10 GB/s, 10 us per layer, 1 ms per graph, 3 W active, 2 W starting, 5 W idle."""
    plain = PowerMode(
        active_w=number(3.0),
        overhead_w=number(2.0),
        mac_per_s={"any": number(1e12)},
        byte_per_s={"any": number(10e9)},
        element_per_s={"any": number(1e30)},
        launch_s={"any": number(10e-6)},
        dispatch_s={"any": number(1e-3)},
        idle_w=number(5.0),
        processor_hz=exactly(1e9),
        memory_hz=exactly(2e9),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def board(**changes: object) -> Accelerator:
    network = KindConstants(efficiency={"any": exactly(0.5)}, combine="sum")
    kinds = dict.fromkeys((OpKind.CNN, OpKind.GROUPED_CNN, OpKind.LLM, OpKind.DECODE), network)
    plain = Accelerator(
        family="accelerator",
        name="jetson-board",
        title="Board",
        boundary="wall: the plug",
        law="per-layer",
        static_shapes=False,
        deploy_as="int8",
        mode="15w",
        modes={"15w": mode(), "maxn": mode()},
        kinds={**kinds, OpKind.GEMM: network},
        mac_j={"any": exactly(1e-12)},
        byte_j=exactly(0.0),
        element_j=exactly(0.0),
        activation_share=exactly(0.0),
        time_factor=exactly(1.0),
        assumed_factor={"any": exactly(1.0)},
        spiking=SpikingKernel(exactly(0.0), exactly(0.0), exactly(0.0)),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Accelerator], None]:
    """Let the catalog hold one board."""

    def install(device: Accelerator) -> None:
        def load(name: str) -> Accelerator:
            if name != device.name:
                raise UnknownDeviceError(name)
            return device

        monkeypatch.setattr(module, "load_device", load)

    return install


def predicted(row: EdgeRow) -> dict[str, Prediction]:
    results = predict_edge(row, samples=50)
    return {each.quantity: each for each in results if isinstance(each, Prediction)}


def refused(row: EdgeRow) -> list[str]:
    return [each.reason for each in predict_edge(row, samples=50) if isinstance(each, Refusal)]


# 4 GMAC at half of 1 T MAC/s is 8 ms, 20 MB at 10 GB/s 2 ms, 100 layers 1 ms, the graph 1 ms
TIME_S = 12e-3
WORK_J = 4e-3
ACTIVE_J = WORK_J + 3.0 * 10e-3 + 2.0 * 2e-3


def test_latency_and_both_energies_by_hand(use: Callable[[Accelerator], None]) -> None:
    use(board())
    row = replace(NETWORK, latency_ms=24.0, energy_mj_per_inf=100.0, notes="boundary=wall")
    found = predicted(row)
    assert found[LATENCY].predicted.value == pytest.approx(TIME_S)
    assert found[LATENCY].measured == pytest.approx(24e-3)
    assert found[ENERGY].predicted.value == pytest.approx(ACTIVE_J + 5.0 * TIME_S)
    given = WORK_J + 2 * (ACTIVE_J - WORK_J) + 5.0 * 24e-3
    assert found[ENERGY_GIVEN].predicted.value == pytest.approx(given)
    assert found[ENERGY].measured == pytest.approx(0.1)
    assert found[ENERGY].unit == "J"
    assert (found[ENERGY].device, found[ENERGY].boundary) == ("jetson-board@15w", "wall")


def test_exact_constants_leave_no_interval(use: Callable[[Accelerator], None]) -> None:
    use(board())
    found = predicted(replace(NETWORK, power_mode="15W", latency_ms=24.0))
    assert found[LATENCY].width == pytest.approx(1.0)


def test_energy_of_a_batch_is_compared_per_query(use: Callable[[Accelerator], None]) -> None:
    use(board())
    row = replace(NETWORK, batch=8, latency_ms=50.0, energy_mj_per_inf=10.0, notes="boundary=wall")
    found = predicted(row)
    time_s = 8 * 8e-3 + 2e-3 + 1e-3 + 1e-3
    assert found[LATENCY].predicted.value == pytest.approx(time_s)
    assert found[ENERGY].measured == pytest.approx(80e-3)
    active_j = 8 * 4e-3 + 3.0 * 66e-3 + 2.0 * 2e-3
    assert found[ENERGY].predicted.value == pytest.approx(active_j + 5.0 * time_s)


def test_idle_power_and_clocks_of_the_row_count(use: Callable[[Accelerator], None]) -> None:
    use(board())
    notes = "boundary=wall; idle_w=7; gpu_mhz=500; emc_mhz=1000"
    found = predicted(replace(NETWORK, latency_ms=24.0, energy_mj_per_inf=100.0, notes=notes))
    assert found[LATENCY].predicted.value == pytest.approx(2 * TIME_S)
    active_j = WORK_J + 2 * (ACTIVE_J - WORK_J)
    assert found[ENERGY].predicted.value == pytest.approx(active_j + 7.0 * 2 * TIME_S)


def test_zero_clocks_and_idle_power_are_not_set(use: Callable[[Accelerator], None]) -> None:
    use(board())
    plain = replace(NETWORK, latency_ms=24.0, energy_mj_per_inf=100.0, notes="boundary=wall")
    zero = replace(plain, notes="boundary=wall; idle_w=0; gpu_mhz=0; emc_mhz=0")
    assert predicted(zero) == predicted(plain)


def test_net_energy_is_above_idle_and_another_quantity(use: Callable[[Accelerator], None]) -> None:
    use(board())
    found = predicted(replace(NETWORK, energy_mj_per_inf=50.0, notes="NET energy"))
    assert set(found) == {f"{ENERGY}, above idle"}
    assert found[f"{ENERGY}, above idle"].predicted.value == pytest.approx(ACTIVE_J)


def test_offline_rates_of_gpu_and_dla_add_up(use: Callable[[Accelerator], None]) -> None:
    slow = mode(mac_per_s={"any": exactly(0.1e12)})  # type: ignore[arg-type]
    use(board(modes={"15w": mode(), "dla": slow}))
    row = replace(
        NETWORK,
        workload="Net 224 Offline",
        batch=4,
        throughput_per_s=100.0,
        energy_mj_per_inf=90.0,
        notes="scenario=Offline; engines=gpu+2dla; boundary=wall; dla_mhz=2000",
    )
    found = predicted(row)
    gpu_s = (4 * 8e-3 + 2e-3 + 2e-3) / 4
    dla_s = 80e-3 / 2 + 2e-3 + 1e-3 / 2 + 1e-3 / 2  # the bytes do not follow the DLA's clock
    sample_s = 1 / (1 / gpu_s + 1 / dla_s)
    assert set(found) == {SAMPLE_TIME, ENERGY_GIVEN, ENERGY}
    assert found[SAMPLE_TIME].predicted.value == pytest.approx(sample_s)
    assert found[SAMPLE_TIME].measured == pytest.approx(0.01)
    busy = 34 / 36  # share of the GPU's query that works rather than starts
    power_w = 5.0 + 3.0 * busy + 2.0 * (1 - busy)
    assert found[ENERGY].predicted.value == pytest.approx(4 * (4e-3 + power_w * sample_s))
    assert found[ENERGY_GIVEN].predicted.value == pytest.approx(4 * (4e-3 + power_w * 0.01))


def test_an_energy_interval_end_to_end_holds_the_doubt_about_time(
    use: Callable[[Accelerator], None],
) -> None:
    use(board(time_factor=about(1.0)))
    row = replace(
        NETWORK, power_mode="15W", latency_ms=12.0, energy_mj_per_inf=90.0, notes="boundary=wall"
    )
    found = predicted(row)
    assert found[ENERGY_GIVEN].width == pytest.approx(1.0)
    assert found[ENERGY].width > 1.5
    assert found[LATENCY].width > 1.5


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"device": "Other board"}, "no device for 'Other board' in the catalog"),
        ({"device": "Jetson Board (2x DLA only)"}, "a part or special state of a device"),
        ({"gmacs": None}, "gmacs empty"),
        ({"runtime": "ArmNN Neon CPU"}, "a CPU runtime; processors are costed as GPU or NPU"),
        ({"runtime": "TensorRT (Ultralytics)"}, "time of a framework around the network"),
        ({"precision": "int8 or fp16 (not stated)"}, "is not one that a device is costed in"),
        ({"precision": "fp16/int8 mixed"}, "is not one that a device is costed in"),
        ({"power_mode": "50W"}, "the catalog has no power mode '50w'"),
        ({"power_mode": "nvpmodel mode 2"}, "the catalog has no power mode 'nvpmodel mode 2'"),
        ({"op_class": "vit"}, "no constants for layers of kind vit"),
        ({"op_class": "snn"}, "op_class must be one of cnn, "),
        ({"workload": ""}, "layer needs a name"),
        ({"notes": "end-to-end frame rate"}, "time of a whole pipeline, not of one network"),
        ({"notes": "ran on CPU"}, "ran on the CPU, not on the NPU"),
        ({"energy_mj_per_inf": 9.0}, "the notes do not say what the energy includes"),
        (
            {"energy_mj_per_inf": 9.0, "notes": "VDD_IN peak"},
            "energy measured at the module; jetson-board is modelled at the wall",
        ),
        ({"latency_ms": None}, "neither latency nor energy was measured"),
        (
            {"op_class": "llm", "workload": "LM (per token)"},
            "neither decode nor a pass of known tokens or gmacs",
        ),
        (
            {"workload": "Net Offline", "throughput_per_s": 9.0, "notes": "GPU + 2 DLA together"},
            "Offline on GPU and DLA: the catalog has no DLA of jetson-board",
        ),
        ({"workload": "Net Offline"}, "Offline: how many samples are in flight"),
    ],
)
def test_what_cannot_be_predicted_says_why(
    use: Callable[[Accelerator], None], cells: dict[str, object], reason: str
) -> None:
    use(board())
    reasons = refused(replace(NETWORK, **({"latency_ms": 9.0} | cells)))  # type: ignore[arg-type]
    assert len(reasons) == 1
    assert reason in reasons[0]


def test_unknown_idle_power_refuses_totals_only(use: Callable[[Accelerator], None]) -> None:
    use(board(modes={"15w": replace(mode(), idle_w=None)}))
    row = replace(NETWORK, latency_ms=9.0, energy_mj_per_inf=9.0, notes="boundary=wall")
    assert set(predicted(row)) == {LATENCY}
    assert refused(row) == ["idle power unknown: only energy above idle is predicted"]


def test_doubt_about_mode_and_runtime_widens(use: Callable[[Accelerator], None]) -> None:
    use(board())
    stated = predicted(replace(NETWORK, power_mode="15W", latency_ms=9.0))[LATENCY]
    unstated = predicted(replace(NETWORK, power_mode="not stated", latency_ms=9.0))[LATENCY]
    onnx = predicted(replace(NETWORK, power_mode="15W", runtime="ONNX Runtime", latency_ms=9.0))
    assert stated.width == pytest.approx(1.0)
    assert unstated.width == pytest.approx(np.exp(2 * 1.645 * 0.2))
    assert onnx[LATENCY].width == pytest.approx(np.exp(2 * 1.645 * 0.35))


def test_a_vendors_back_end_is_marked(use: Callable[[Accelerator], None]) -> None:
    use(board())
    row = replace(NETWORK, runtime="QTI SNPE/QNN HTP", latency_ms=9.0)
    assert predicted(row)[LATENCY].note == VENDOR


def test_a_given_time_stretches_energy_as_the_estimate_does() -> None:
    """The affine law of time against evaluating at that time, draw by draw."""
    device = board(modes={"15w": mode(about)}, time_factor=about(1.0))
    workload = Workload.from_totals(4 * 10**9, 20 * 10**6, op_class="cnn", n_layers=100)
    query = cost(workload, device, "int8", 40, seed=1)
    again = query.work_j + query.power_w * query.latency_s
    plan = make_plan([workload], device, "int8", 40, 1)
    own = evaluate(plan, dense=False).active_j[0]
    np.testing.assert_allclose(again, np.concatenate([own[:1], own[-40:]]), rtol=1e-9)
    given = evaluate(plan, dense=False, latency_s=0.05).active_j[0]
    there = query.energy_j(0.05, above_idle=True)
    np.testing.assert_allclose(there, np.concatenate([given[:1], given[-40:]]), rtol=1e-9)


def test_interval_of_draws() -> None:
    draws = np.concatenate([[1.0], np.exp(np.linspace(-1, 1, 2001))])
    plain = interval(draws)
    assert (plain.value, plain.low, plain.high) == pytest.approx((1.0, np.exp(-0.9), np.exp(0.9)))
    wide = interval(draws, doubt=0.4)
    half = np.hypot(0.9, 1.645 * 0.4)
    assert (wide.low, wide.high) == pytest.approx((np.exp(-half), np.exp(half)))


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("Jetson Orin Nano 8GB (Super)", "jetson-orin-nano"),
        ("Jetson AGX Orin", "jetson-agx-orin"),
        ("Snapdragon 8 Gen 3 (Galaxy S24)", "snapdragon-8-gen-3"),
        ("Snapdragon 8 Elite Gen 5 (QRD)", "snapdragon-8-elite-gen-5"),
        ("QCS8550 (proxy device)", "qcs8550"),
        ("QCS8450 (proxy device)", "snapdragon-8-gen-1"),
        ("Qualcomm QRB5165 (Snapdragon 865 class, Thundercomm EB6)", "snapdragon-865"),
        ("QRB5165/QCS8250 (RB5 proxy)", "snapdragon-865"),
        ("NVIDIA Jetson Xavier NX", "jetson-xavier-nx"),
        ("jetson-tx2", "jetson-tx2"),
        ("Qualcomm Cloud AI 100 DM.2e (Inventec Heimdall)", "cloud-ai-100"),
    ],
)
def test_device_names(device: str, name: str) -> None:
    assert device_of(replace(NETWORK, device=device)) == name


MODES = ("7w", "15w", "25w", "50w", "maxn", "maxn-super", "maxq", "dsp", "npu", "aedk")


@pytest.mark.parametrize(
    ("power_mode", "device", "mode"),
    [
        ("MaxQ (custom nvpmodel)", "Jetson AGX Orin", "maxq"),
        ("MAXN + jetson_clocks", "Jetson AGX Orin", "maxn"),
        ("nvpmodel 0 + jetson_clocks", "Jetson AGX Xavier", "maxn"),
        ("non-MaxN image", "Jetson AGX Orin", "50w"),
        ("MAXN_SUPER, clocks locked", "Jetson Orin Nano 8GB (Super)", "maxn-super"),
        ("MAXN + jetson_clocks", "Jetson Orin Nano 8GB (Super)", "maxn-super"),
        ("15W (pre-Super)", "Jetson Orin Nano 8GB", "15w"),
        ("25W (EMC 2133 MHz)", "Jetson Orin Nano 8GB (Super)", "25w"),
        ("default (AI Hub profiling job)", "QCS8550 (proxy device)", None),
        ("not stated", "Jetson AGX Orin", None),
        ("board default", "Qualcomm Cloud AI 100 DM.2 (AEDK 15w)", "aedk"),
        ("board default", "Qualcomm Cloud AI 100 DM.2e (Foxconn Gloria)", None),
    ],
)
def test_power_modes(power_mode: str, device: str, mode: str | None) -> None:
    assert mode_of(replace(NETWORK, power_mode=power_mode, device=device), MODES) == mode


@pytest.mark.parametrize(
    ("runtime", "unit"),
    [("SNPE Hexagon 698 DSP", "dsp"), ("SNPE NPU 230 AIP (DSP+HTA)", "npu"),
     ("SNPE Adreno 650 GPU", "gpu")],
)  # fmt: skip
def test_units_of_an_soc_are_modes(runtime: str, unit: str) -> None:
    row = replace(NETWORK, runtime=runtime, power_mode="board default")
    assert mode_of(row, ("npu", "dsp", "gpu")) == unit
    assert runtime_refusal(row, {}, ("npu", "dsp", "gpu")) is None


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("fp16 (float graph)", "fp16"),
        ("w8a8", "int8"),
        ("int8+fp16", "int8"),
        ("int8 on linear layers, fp16 rest", "int8"),
        ("w8a16_mixed_int16", "w8a16"),
        ("w4a16", "w4"),
        ("int4 weights", "w4"),
        ("Q4_K_M", "q4k"),
        ("Q8_0", "int8"),
        ("fp32 (TF32 allowed by default)", "fp32"),
    ],
)
def test_precisions(text: str, precision: str) -> None:
    assert precision_of(replace(NETWORK, precision=text)) == precision


@pytest.mark.parametrize(
    ("precision", "notes", "expected"),
    [
        ("Q4_K_M", "weights 0.94 GB", 0.94e9),
        ("Q4_K_M", "", 1.5e9 * 4.84 / 8),
        ("Q8_0", "", 1.5e9 * 8.5 / 8),
        ("fp16", "1207 MB read per token", 1.207e9),
        ("fp16", "", 3e9),
        ("w4a16", "", 0.75e9),
    ],
)
def test_weight_bytes_of_a_language_model(precision: str, notes: str, expected: float) -> None:
    row = replace(NETWORK, op_class="llm", params_m=1500.0, precision=precision, notes=notes)
    known = precision_of(row)
    assert not isinstance(known, Refusal)
    assert weight_bytes(row, facts(row), known) == pytest.approx(expected)


def test_workloads_of_language_models() -> None:
    row = replace(NETWORK, op_class="llm", params_m=1000.0, gmacs=None, precision="fp16")
    decode = replace(row, workload="LM decode, context 2048 (per token)")
    found = network_of(decode, facts(decode), "fp16")
    assert not isinstance(found, Refusal)
    (layer,) = found.workload.layers
    assert layer.kind is OpKind.DECODE
    assert layer.executed.macs == 10**9
    assert layer.executed.read_bytes == round(attention_elements(1e9, 2048))
    prefill = replace(row, workload="LM prefill 512 tokens")
    found = network_of(prefill, facts(prefill), "fp16")
    assert not isinstance(found, Refusal)
    assert found.workload.layers[0].kind is OpKind.LLM
    assert found.workload.total().macs == 512 * 10**9


def test_what_a_table_leaves_out_is_assumed() -> None:
    row = replace(NETWORK, params_m=None, n_layers=None, act_melems=None)
    found = network_of(row, {}, "int8")
    assert not isinstance(found, Refusal)
    assert set(found.workload.layers[0].assumed) == {"launches", "elements", "weight_bytes"}
    full = network_of(NETWORK, {}, "int8")
    assert not isinstance(full, Refusal)
    assert full.workload.layers[0].assumed == ()
