"""GPU and NPU equations against hand arithmetic and published measurements."""

from __future__ import annotations

import pytest

from hw_models import EnergyReport, EstimateError, LayerOps, OpKind, Ops, Workload, estimate


def run(*layers: LayerOps, ticks: int = 0) -> Workload:
    return Workload("run", 1, 25, layers, ticks=ticks)


def value(report: EnergyReport, name: str) -> float:
    return float(getattr(report, name).value)


def term_j(report: EnergyReport, term: str) -> float:
    return sum(row.amount.value for row in report.rows if row.term == term)


def test_jetson_by_hand() -> None:
    """A GEMM of 2 GMAC that ran in fp32 and deploys in fp16, so its bytes halve.

    compute = 2e9 / (5.12e12 x 0.354) = 1.103 ms, memory = 4e6 B / 54.4e9 = 74 us, so
    compute-bound; ten launches of 8.5 us.
    """
    ops = Ops(
        macs=2_000_000_000,
        weight_bytes=4_000_000,
        read_bytes=2_000_000,
        write_bytes=2_000_000,
        launches=10,
    )
    report = estimate(run(LayerOps("encoder", "x", OpKind.GEMM, ops)), "jetson-orin-nano")
    busy = 2e9 / (5.12e12 * 0.354)
    launch = 10 * 8.5e-6
    energy = 3.4 * launch + 4.83 * busy + 2e9 * 0.932e-12 + 4e6 * 88e-12
    assert report.deploy_as == "fp16"
    assert value(report, "latency_s") == pytest.approx(launch + busy, rel=1e-12)
    assert value(report, "energy_active_j") == pytest.approx(energy, rel=1e-12)
    assert value(report, "power_w") == pytest.approx(5.2 + 40 * energy, rel=1e-12)
    assert value(report, "energy_j") == pytest.approx((5.2 + 40 * energy) / 40, rel=1e-12)


def test_jetson_memory_bound_by_hand() -> None:
    """A gather of 54.4 MB in fp16 takes 1 ms, and stands on a line of its own."""
    ops = Ops(read_bytes=54_400_000, launches=1)
    layer = LayerOps("encoder", "g", OpKind.GATHER, ops, ran_as="fp16")
    report = estimate(run(layer), "jetson-orin-nano")
    assert value(report, "latency_s") == pytest.approx(1e-3 + 8.5e-6, rel=1e-12)
    assert term_j(report, "gather") == pytest.approx(54.4e6 * 88e-12, rel=1e-12)
    assert {row.term for row in report.times} == {"gather", "launch"}


def test_snapdragon_by_hand() -> None:
    """c + n l + max(MACs / R, bytes / B): 0.216 ms + 100 x 2.13 us + max(1 ms, 2 ms)."""
    ops = Ops(macs=5_700_000_000, weight_bytes=92_200_000, launches=100)
    layer = LayerOps("encoder", "x", OpKind.CONV, ops, ran_as="fp16")
    report = estimate(run(layer), "snapdragon-8-gen-3")
    fixed = 0.216e-3 + 100 * 2.13e-6
    energy = 1.0 * fixed + 5.7e9 * 2.8e-12 + 92.2e6 * 40e-12
    assert value(report, "latency_s") == pytest.approx(fixed + 2e-3, rel=1e-12)
    assert value(report, "energy_active_j") == pytest.approx(energy, rel=1e-12)


def test_network_law_overlaps_layers() -> None:
    """Two halves of a network cost as much as the whole under the network law."""
    half = Ops(macs=10**9, weight_bytes=10**7, launches=5)
    whole = run(LayerOps("encoder", "x", OpKind.CONV, half + half))
    halves = run(*(LayerOps("encoder", name, OpKind.CONV, half) for name in "ab"))
    one, two = (estimate(each, "snapdragon-8-gen-3") for each in (whole, halves))
    assert value(one, "latency_s") == pytest.approx(value(two, "latency_s"), rel=1e-12)


# Published latencies that set no constant here (checks, never fitted): ViT-B/16 at 224 pixels,
# 17.564 GMAC, 86.57 M parameters.
def vit_b_16(launches: int) -> Workload:
    ops = Ops(
        macs=17_564_000_000,
        elements=23_980_000,
        weight_bytes=2 * 86_570_000,
        write_bytes=2 * 23_980_000,
        launches=launches,
    )
    return run(LayerOps("encoder", "vit", OpKind.GEMM, ops, ran_as="fp16"))


def test_vit_on_orin_nano_within_20_percent() -> None:
    """98 images/s at 15 W, fp16 (NVIDIA jetson-generative-ai-playground); 8 kernels per block."""
    report = estimate(vit_b_16(launches=8 * 12), "jetson-orin-nano@15w")
    assert value(report, "latency_s") == pytest.approx(10.2e-3, rel=0.20)


def test_vit_on_snapdragon_8_gen_3_within_20_percent() -> None:
    """7.671 ms in fp16 with 902 graph layers (Qualcomm AI Hub v0.46.1, QNN)."""
    report = estimate(vit_b_16(launches=902), "snapdragon-8-gen-3")
    assert value(report, "latency_s") == pytest.approx(7.671e-3, rel=0.20)
    assert report.latency_s is not None
    assert report.latency_s.low < 7.671e-3 < report.latency_s.high


def test_net_energy_of_small_gemms_on_orin_nano_within_half() -> None:
    """Square int8 GEMM at 15 W, N = 512: 4.0 pJ/MAC above idle (a check; N = 1024 sets P_active).

    The model's interval is asked for, not its nominal value: an efficiency from N = 1024
    flatters a smaller product.
    """
    n = 512
    ops = Ops(macs=n**3, weight_bytes=n * n, read_bytes=n * n, write_bytes=n * n, launches=1)
    layer = LayerOps("encoder", "x", OpKind.GEMM, ops, ran_as="int8")
    report = estimate(run(layer), "jetson-orin-nano@15w", deploy_as="int8")
    assert report.energy_active_j is not None
    assert report.energy_active_j.low < 0.5329e-3 < report.energy_active_j.high


def test_int8_and_fp32_scale_bytes_from_the_precision_that_ran() -> None:
    layer = LayerOps("memory", "x", OpKind.ELEMENTWISE, Ops(read_bytes=4_000_000))
    traffic = {
        p: term_j(estimate(run(layer), "jetson-orin-nano", deploy_as=p), "memory traffic")
        for p in ("fp32", "fp16", "int8")
    }
    assert traffic["fp32"] == pytest.approx(4e6 * 88e-12)
    assert traffic["fp32"] == pytest.approx(2 * traffic["fp16"]) == 4 * traffic["int8"]


def test_static_shapes_execute_the_padded_counts() -> None:
    sparse, padded, dense = Ops(macs=31), Ops(macs=32), Ops(macs=196)
    layer = LayerOps("encoder", "x", OpKind.GEMM, sparse, padded=padded, dense=dense)
    report = estimate(run(layer), "jetson-orin-nano")
    assert report.dense_twin is not None
    assert term_j(report, "arithmetic") == pytest.approx(32 * 0.932e-12)
    assert term_j(report.dense_twin, "arithmetic") == pytest.approx(196 * 0.932e-12)
    assert any("cost 3% more MACs than the run executed" in note for note in report.notes)


def test_spiking_stage_on_a_gpu_by_hand() -> None:
    """1000 updates of 16 B and 500 synops of 8 B; elements, never MACs; one launch."""
    ops = Ops(neuron_updates=1000, synops=500, spikes=7)
    layer = LayerOps("change", "D", OpKind.SPIKING, ops, neurons=10)
    report = estimate(run(layer, ticks=100), "jetson-orin-nano")
    busy = max(1500 / 6.4e10, 20_000 / 54.4e9)
    assert value(report, "latency_s") == pytest.approx(8.5e-6 + busy, rel=1e-12)
    assert term_j(report, "spiking kernel") == pytest.approx(1500 * 10e-12)
    assert term_j(report, "memory traffic") == pytest.approx(20_000 * 88e-12)
    assert term_j(report, "arithmetic") == 0
    assert any("(assumed); synops and neuron updates are not MACs" in n for n in report.notes)


def test_a_device_without_the_precision_says_which_it_has() -> None:
    message = "jetson-nano@10w: mac_per_s: no int8; known precisions: fp16, fp32"
    with pytest.raises(EstimateError, match=message):
        estimate(run(), "jetson-nano", deploy_as="int8")
    with pytest.raises(EstimateError, match="snapdragon-8-gen-3@default: mac_per_s: no fp32"):
        estimate(run(), "snapdragon-8-gen-3", deploy_as="fp32")


def test_launch_bound_runs_say_so() -> None:
    tiny = Ops(macs=1000, launches=50)
    report = estimate(
        run(LayerOps("encoder", "x", OpKind.GEMM, tiny, dense=Ops(macs=6000, launches=50))),
        "jetson-orin-nano",
    )
    assert any("dense and sparse are both launch-bound (100% and 100%" in n for n in report.notes)
    big = Ops(macs=10**11, launches=1)
    quiet = estimate(run(LayerOps("encoder", "x", OpKind.GEMM, big)), "jetson-orin-nano")
    assert not any("launch-bound" in note for note in quiet.notes)


def test_missing_launches_are_not_a_silent_zero() -> None:
    report = estimate(run(LayerOps("encoder", "x", OpKind.GEMM, Ops(macs=9))), "jetson-nano")
    assert any(n.startswith("1 layers count no launches (first encoder/x)") for n in report.notes)
