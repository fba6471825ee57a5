"""Fit the laws of NVIDIA Jetsons to published runs, and hold the catalog to the fits.

    python -m benchmarks.calibrate_jetson [--rows FILE.csv] [--leave-one-out]

The law of a whole network (``hw_models.roofline``, ``combine = "sum"``), per query of a batch::

    t = n l + MACs / (R eta) + elements / V + weight bytes / B

with n graph layers. Rates R, V, B and l follow from clocks and numbers of the catalog; fitted are
the shares of them that a network reaches.

1. Ampere (Orin): shares by precision and class, from ResNet, MobileNet (Orin Nano, batch 1 and 8)
   and MLPerf networks (AGX Orin, SingleStream and MultiStream): least squares of log time under a
   soft loss, with a weak pull towards the start. A whole ViT: geometric mean of plain CNNs and of
   one square matrix product.
2. Volta (Xavier): l and eta from the AGX Xavier at full clocks; elements per clock as on Ampere.
   The clock of its MaxQ mode, which was not published, from the latencies there.
3. DLA: what Offline runs reach beyond the GPU; rates of the two add up.
4. int8 energy at the measured time, per query: with s = (P_idle / P_idle of the mode) ** beta,
   ``E = P_idle t + s (P_active t + e_mac MACs + e_element elements)``.
5. Language models, one token: time at q4k follows parameters (llama.cpp unpacks weights), else
   weight bytes and, at w4, a fixed time; energy above idle follows weight bytes.

Only rows of role ``calibrate`` are read (a network that is also checked on a device sets nothing
there: Xavier NX takes the constants of AGX Xavier). Prints each fitted constant beside the
catalog's; exit status 1 where they differ by more than the catalog's rounding.
``--leave-one-out`` adds residuals of networks left out, which the ranges in the catalog stand for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, least_squares

from benchmarks.catalog_fit import compare, edge_rows, parser_of, print_heading, verdict
from benchmarks.jetson_runs import (
    AMPERE,
    VOLTA,
    Run,
    known,
    law_j,
    law_s,
    network_runs,
    processor,
    run_of,
    shares,
)
from hw_models.sourced import at_precision
from hw_models.validate.rows import EdgeRow, effective_roles

Array = npt.NDArray[np.float64]
START = {  # shares of the catalog's rates, and where the fit sets out
    "launch.int8": 0.5,
    "launch.fp16": 0.4,
    "launch.fp32": 0.2,
    "eta": 0.65,
    "eta.fp32": 0.5,
    "eta.grouped": 0.3,
    "plain.int8": 0.5,
    "plain.fp16": 0.4,
    "plain.fp32": 0.3,
    "depthwise.int8": 0.22,
    "depthwise.fp16": 0.16,
    "depthwise.fp32": 0.08,
}
START_VOLTA = {"launch_s": 6e-6, "eta": 0.8}
START_DLA = {"mac_per_s": 10e12, "element_per_s": 20e9}
START_ENERGY = {"active_w": 3.0, "mac_j": 1e-12, "element_j": 200e-12}
PULL, SOFT, SOFT_ENERGY = 0.1, 0.2, 0.15
ELEMENTS_PER_LANE = 2.0  # the catalog counts lanes, of which a Volta SM has half as many
DECODE_EXPONENT = 0.8
"""Time at q4k grows with parameters to this power; the four rows give 0.81."""


def fit(
    start: Mapping[str, float],
    off: Callable[[dict[str, float]], list[float]],
    soft: float,
    pull: float = PULL,
) -> dict[str, float]:
    """Least squares of the log residuals ``off`` over the logs of the constants."""
    centre = np.log(list(start.values()))

    def residuals(theta: Array) -> Array:
        q = dict(zip(start, np.exp(theta).tolist(), strict=True))
        return np.concatenate([off(q), pull * (theta - centre)])

    found = least_squares(residuals, centre, loss="soft_l1", f_scale=soft)
    return dict(zip(start, np.exp(found.x).tolist(), strict=True))


def fit_ampere(runs: Sequence[Run]) -> dict[str, float]:
    """Fit the shares of Orin GPUs."""
    return fit(START, lambda q: [math.log(law_s(run, q) / run.time_s) for run in runs], SOFT)


def fit_volta(runs: Sequence[Run], base: Mapping[str, float]) -> dict[str, float]:
    """Fit launch time and efficiency of Xavier GPUs at full clocks."""

    def off(q: Mapping[str, float]) -> list[float]:
        ours = [law_s(replace(run, launch_s=q["launch_s"]), {**base, "eta": q["eta"]})
                for run in runs]  # fmt: skip
        return [math.log(time_s / run.time_s) for time_s, run in zip(ours, runs, strict=True)]

    return fit(START_VOLTA, off, SOFT)


def as_volta(ampere: Mapping[str, float]) -> dict[str, float]:
    """Return the shares of Ampere as shares of Volta's rates; launches are per graph layer."""
    lanes = {name: ELEMENTS_PER_LANE * ampere[name] for name in ("plain.int8", "depthwise.int8")}
    return {**ampere, **lanes, "launch.int8": 1.0}


def maxq_hz(runs: Sequence[Run], full: Run, q: Mapping[str, float]) -> float:
    """Clock at which the law takes as long as was measured; geometric mean over runs."""
    clock_hz = known(processor(full.device).modes[full.mode].processor_hz)

    def late_s(log_share: float, run: Run) -> float:
        share = math.exp(log_share)
        slower = replace(
            run,
            mac_per_s=full.mac_per_s * share,
            element_per_s=full.element_per_s * share,
            launch_s=full.launch_s / share,
        )
        return law_s(slower, q) - run.time_s

    return clock_hz * math.exp(float(np.mean([brentq(late_s, -3, 2, args=(run,)) for run in runs])))


def fit_dla(runs: Sequence[Run], q: Mapping[str, float], clock_hz: float) -> dict[str, float]:
    """Fit the rates of both DLAs together, for networks at the shares of the GPU."""

    def off(rates: Mapping[str, float]) -> list[float]:
        logs = []
        for run in runs:
            _, eta, element = shares(run, q)
            slower = clock_hz / (float(run.known.get("dla_mhz", 0)) * 1e6 or clock_hz)
            work_s = run.ops.macs / (rates["mac_per_s"] * eta)
            work_s += run.ops.elements / (rates["element_per_s"] * element)
            beside_s = slower * work_s / run.samples + run.weight_bytes / run.byte_per_s
            sample_s = 1 / (1 / beside_s + run.samples / law_s(run, q))
            logs.append(math.log(sample_s * run.samples / run.time_s))
        return logs

    return fit(START_DLA, off, SOFT)


def fit_energy(runs: Sequence[Run]) -> dict[str, float]:
    """Fit power while a query runs, energy per MAC and per element, at the measured time."""

    def off(q: Mapping[str, float]) -> list[float]:
        return [math.log(law_j(run, q) / run.energy_j) for run in runs]

    return fit(START_ENERGY, off, SOFT_ENERGY, pull=0.0)


def fit_product(rows: Sequence[EdgeRow]) -> dict[str, float]:
    """Shares of the peak of a square matrix product, N = 1024 at 15 W, and power above idle."""
    runs = [run_of(row) for row in rows if row.op_class == "gemm" and "1024" in row.workload]
    at_15w = {run.precision: run for run in runs if run is not None and run.mode == "15w"}
    whole = {
        precision: run.ops.macs / run.mac_per_s / (run.time_s - run.launch_s)
        for precision, run in at_15w.items()
    }
    metered = at_15w["int8"]
    device = processor(metered.device)
    n_bytes = 3 * metered.weight_bytes
    work_s = metered.time_s - metered.launch_s
    spent_j = at_precision(device.mac_j, "int8", "mac_j").value * metered.ops.macs
    spent_j += device.byte_j.value * n_bytes
    spent_j += device.modes["15w"].overhead_w.value * metered.launch_s
    busy_s = work_s - n_bytes / metered.byte_per_s
    return {
        "whole": math.sqrt(whole["int8"] * whole["fp16"]),
        "whole.fp32": whole["fp32"],
        "net": metered.ops.macs / metered.mac_per_s / busy_s,
        "active_w": (metered.energy_j - spent_j) / work_s,
    }


def fit_decoding(rows: Sequence[EdgeRow]) -> dict[str, float]:
    """Fit one token of a language model on Orin Nano; keys of its file."""
    runs = [run for row in rows if "decode" in row.workload and (run := run_of(row))]
    short = [run for run in runs if "context_tokens" not in run.known]
    packed, plain, int4 = (
        [run for run in short if run.precision == precision] for precision in ("q4k", "fp16", "w4")
    )
    slow = [run.time_s / (run.ops.macs / 1e9) ** DECODE_EXPONENT for run in packed]
    per_byte = [
        (run.energy_j - float(run.known["idle_w"]) * run.time_s) / run.weight_bytes
        for run in packed
    ]
    share = _mean([run.weight_bytes / run.time_s / run.byte_per_s for run in plain])
    rest = [run.time_s - run.weight_bytes / (run.byte_per_s * share) for run in int4]
    fixed_s = float(np.average(rest, weights=[run.time_s**-2.0 for run in int4]))
    return {
        "kinds.decode.efficiency.q4k": 1e9 / packed[0].mac_per_s / _mean(slow),
        "kinds.decode.byte_j.q4k": _mean(per_byte),
        "kinds.decode.byte_efficiency.any": share,
        "kinds.decode.launch_share.w4": fixed_s / (int4[0].ops.launches * int4[0].launch_s),
    }


def _mean(values: Sequence[float]) -> float:
    """Geometric mean."""
    return math.exp(float(np.mean(np.log(values))))


def fit_all(rows: Sequence[EdgeRow]) -> dict[str, dict[str, float]]:
    """Return device -> key in its file -> fitted value."""
    rows = _calibrating(rows)
    product = fit_product(rows)
    orin = network_runs(rows, AMPERE)
    ampere = fit_ampere([run for run in orin if run.row.latency_ms])
    found = {device: _ampere_keys(ampere, product) for device in AMPERE}
    energies = fit_energy(_metered(orin))
    for values in found.values():
        values["mac_j.int8"] = energies["mac_j"]
    found["jetson-agx-orin"] |= _dla_keys(orin, ampere, "jetson-agx-orin") | _energy_keys(energies)
    found["jetson-orin-nano"] |= fit_decoding(rows) | {"modes.15w.active_w": product["active_w"]}
    return found | _xaviers(network_runs(rows, VOLTA), as_volta(ampere), product)


def _xaviers(
    runs: Sequence[Run], base: Mapping[str, float], product: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    timed = [run for run in runs if run.row.latency_ms]
    volta = fit_volta([run for run in timed if run.mode == "maxn"], base)
    q = {**base, "eta": volta["eta"]}
    full = [replace(run, launch_s=volta["launch_s"]) for run in runs if run.mode == "maxn"]
    keys = _energy_keys(fit_energy(_metered(runs))) | {
        "kinds.cnn.efficiency.any": q["eta"],
        "kinds.cnn.element_share.int8": q["plain.int8"],
        "kinds.dw-cnn.element_share.int8": q["depthwise.int8"],
        "kinds.vit.efficiency.any": math.sqrt(product["whole"] * q["eta"]),
    }
    found = {device: dict(keys) for device in VOLTA}
    found["jetson-agx-xavier"] |= _dla_keys(full, q, "jetson-agx-xavier") | {
        "modes.maxn.launch_s.any": volta["launch_s"],
        "modes.maxq.processor_hz": maxq_hz(
            [run for run in timed if run.mode == "maxq"], full[0], q
        ),
    }
    return found


def _calibrating(rows: Sequence[EdgeRow]) -> list[EdgeRow]:
    roles = effective_roles(rows)
    return [row for row in rows if roles[row.id] == "calibrate"]


def _metered(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.energy_j > 0 and "idle_w" in run.known]


def _dla_keys(runs: Sequence[Run], q: Mapping[str, float], device: str) -> dict[str, float]:
    clock_hz = known(processor(device).modes["dla"].processor_hz)
    both = [run for run in runs if run.device == device and run.known.get("engines") == "gpu+2dla"]
    rates = fit_dla(both, q, clock_hz)
    return {
        "modes.dla.mac_per_s.int8": rates["mac_per_s"],
        "modes.dla.element_per_s.any": rates["element_per_s"],
    }


def _energy_keys(q: Mapping[str, float]) -> dict[str, float]:
    nets = {f"kinds.{kind}.element_j.int8": q["element_j"] for kind in ("cnn", "dw-cnn", "vit")}
    return {"modes.maxq.active_w": q["active_w"], "mac_j.int8": q["mac_j"], **nets}


def _ampere_keys(q: Mapping[str, float], product: Mapping[str, float]) -> dict[str, float]:
    keys = {"kinds.gemm.efficiency.any": product["net"]}
    for kind in ("cnn", "dw-cnn", "grouped-cnn"):
        elements = "depthwise" if kind == "dw-cnn" else "plain"
        for name, precision in (("int8", "int8"), ("any", "fp16"), ("fp32", "fp32")):
            keys[f"kinds.{kind}.launch_share.{name}"] = q[f"launch.{precision}"]
            keys[f"kinds.{kind}.element_share.{name}"] = q[f"{elements}.{precision}"]
        keys[f"kinds.{kind}.efficiency.any"] = q["eta.grouped" if "grouped" in kind else "eta"]
    keys["kinds.cnn.efficiency.fp32"] = q["eta.fp32"]
    keys["kinds.vit.efficiency.any"] = math.sqrt(product["whole"] * q["eta"])
    keys["kinds.vit.efficiency.fp32"] = math.sqrt(product["whole.fp32"] * q["eta.fp32"])
    return keys


def leave_one_out(rows: Sequence[EdgeRow]) -> None:
    """Print residuals of networks left out of the fits in turn."""
    rows = _calibrating(rows)
    orin, xavier = network_runs(rows, AMPERE), network_runs(rows, VOLTA)

    def times(runs: Sequence[Run], left: Sequence[Run]) -> list[float]:
        q = fit_ampere(runs)
        return [math.log(law_s(run, q) / run.time_s) for run in left]

    def energies(runs: Sequence[Run], left: Sequence[Run]) -> list[float]:
        q = fit_energy(runs)
        return [math.log(law_j(run, q) / run.energy_j) for run in left]

    for name, runs, off_of in (
        ("latency, Orin", [run for run in orin if run.row.latency_ms], times),
        ("energy at the measured time, AGX Orin", _metered(orin), energies),
        ("energy at the measured time, AGX Xavier", _metered(xavier), energies),
    ):
        named = [(run.row.network.replace("-v1.5", ""), run) for run in runs]
        networks = sorted({network for network, _ in named})
        off: list[float] = []
        for out in networks:
            left = [run for network, run in named if network == out]
            off += off_of([run for network, run in named if network != out], left)
        low, high = np.quantile(off, [0.05, 0.95])
        error = float(np.mean(np.abs(np.exp(off) - 1)))
        print(f"{name}, leave one network out: {len(off)} rows, {len(networks)} networks, mean "
              f"error {error:.1%}, log residual 5-95% {low:+.2f} to {high:+.2f}")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the fits with the catalog; return the exit status."""
    options = parser_of(__doc__, "residuals of networks left out").parse_args(arguments)
    rows = edge_rows(options.rows)
    print_heading()
    wrong = compare(fit_all(rows))
    if options.leave_one_out:
        leave_one_out(rows)
    return verdict(wrong)


if __name__ == "__main__":
    sys.exit(main())
