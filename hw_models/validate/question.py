"""What a measured row asks of the catalog: device, power mode, precision, workload."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from hw_models.ops import WEIGHT_BYTES, LayerOps, OpKind, Ops, Precision
from hw_models.totals import attention_elements
from hw_models.validate.facts import Facts
from hw_models.validate.outcome import Refusal
from hw_models.validate.rows import EdgeRow
from hw_models.workload import Workload

ALIASES: Mapping[str, str] = {
    "jetson-orin-nano-8gb": "jetson-orin-nano",
    "jetson-orin-nano-super": "jetson-orin-nano",
    "jetson-orin-nx-16gb": "jetson-orin-nx",
    "jetson-agx-orin-64gb": "jetson-agx-orin",
    "jetson-agx-xavier-32gb": "jetson-agx-xavier",
    "jetson-xavier-nx-8gb": "jetson-xavier-nx",
    "qrb5165": "snapdragon-865",
    "qrb5165/qcs8250": "snapdragon-865",
    "qcs8450": "snapdragon-8-gen-1",
    "cloud-ai-100-dm.2": "cloud-ai-100",
    "cloud-ai-100-dm.2e": "cloud-ai-100",
}
"""Names of devices in tables (lower case, spaces as dashes) that the catalog calls otherwise."""
GRAPH_LAYERS: Mapping[str, int] = {
    "ResNet50-v1.5 224": 127,
    "SSD-MobileNet-v1 300": 90,
    "SSD-ResNet34 1200": 98,
    "RetinaNet ResNeXt50 800x800": 230,
}
"""Graph layers counted from published architectures: convolutions with folded normalisation,
activations, additions, pools. For rows that do not say.
"""

_PARTS = ("DLA only", "battery", "RDI")
_OTHER_RUNTIMES = (
    (r"\bCPU\b|\bNeon\b|\bruy\b|\bKryo\b", "a CPU runtime; processors are costed as GPU or NPU"),
    (r"TensorRT/DLA", "the DLA alone; Jetsons are costed as GPU"),
    (r"PyTorch|reference implementation|no HTP", "no compiled graph of this processor"),
    (r"Ultralytics", "time of a framework around the network"),
)
_UNITS = (("Adreno", "gpu"), ("DSP (?!.*HTA)|DSP$", "dsp"), (r"\bNPU\b", "npu"))  # of one SoC
_PRECISIONS: tuple[tuple[str, Precision], ...] = (
    (r"\bw8a16", "w8a16"),
    (r"\bi?q[2-6]_", "q4k"),
    (r"\bw4|\bint4|\b4-bit|\bq4f16|\bawq|\bgptq", "w4"),
    (r"\bint8|\bw8a8|\bq8_0", "int8"),
    (r"\bbf16", "bf16"),
    (r"\bfp16|\bfloat16|\bf16", "fp16"),
    (r"\bfp32|\bfloat32|\bf32", "fp32"),
)
# Average bits per weight of files: llama.cpp, tools/quantize/README.md, table of Llama 2 7B; q8_0
# and q4_0 from their blocks (34 and 18 bytes per 32 weights); int4 with an output head at 16 bits.
_BITS_PER_WEIGHT = (
    (r"q8_0", 8.5),
    (r"q6_k", 6.56),
    (r"q5_k_m", 5.68),
    (r"q4_k_m", 4.84),
    (r"q4_k_s", 4.58),
    (r"q4_0", 4.5),
    (r"q3_k_m", 3.91),
    (r"q2_k", 3.35),
    (r"int4|awq|gptq|q4f16", 4.75),
)
_RUNTIME_DOUBTS = ((r"TFLite", 0.15), (r"ONNX Runtime|QTI", 0.35))
_MODE_DOUBT = 0.2  # of the logarithm: neighbouring modes of a Jetson differ by 1.3 to 1.6
_SMALL_Q4 = (0.6e9, 6.15)  # with fewer parameters rows are narrow and take wider blocks
TYPICAL_PARAMS = 25e6
_PASS_TOKENS = 128  # of one pass of prefill on an NPU, where the row does not say
_NPU_CONTEXT = 4096  # of a static graph, where the name does not say


@dataclass(frozen=True, slots=True)
class Network:
    """The workload of one query of a row, and how many samples it has."""

    workload: Workload
    samples: int


def device_of(row: EdgeRow) -> str | Refusal:
    """Return the name that the catalog would give the device of a row, without power mode."""
    for part in _PARTS:
        if part in row.device:
            return Refusal(f"{row.device}: a part or special state of a device")
    name = re.sub(r"\s*\(.*\)", "", row.device).lower()
    name = re.sub(r"^(?:qualcomm|nvidia) ", "", name).strip().replace(" ", "-")
    return ALIASES.get(name, name)


def mode_of(row: EdgeRow, modes: Collection[str]) -> str | Refusal | None:
    """Return the power mode of a row; ``None`` where it states none.

    Watts name a mode (``15W`` is ``15w``), as do ``MAXN``, ``MAXN_SUPER`` and ``MaxQ``;
    ``nvpmodel 0`` is MAXN. Where the units of an SoC are modes, the runtime names them; where
    boards of a device are, its name does (``(AEDK 15w)`` is ``aedk``).
    """
    for word, unit in _UNITS:
        if unit in modes and re.search(word, row.runtime):
            return unit
    text = row.power_mode.lower()
    wanted: tuple[str, ...] = ()
    if "maxq" in text:
        wanted = ("maxq",)
    elif watts := re.search(r"\b(\d+)\s?w\b", text):
        wanted = (f"{watts[1]}w",)
    elif "non-maxn" in text:
        wanted = ("50w",)
    elif re.search(r"\bmaxn|nvpmodel (?:mode )?0\b|max clocks", text):
        super_module = "super" in f"{text} {row.device.lower()}"
        wanted = ("maxn-super", "super") if super_module else ("maxn",)
    elif "nvpmodel" in text:
        wanted = (row.power_mode,)
    if not wanted:
        return next((mode for mode in modes if f"({mode} " in row.device.lower()), None)
    found = next((mode for mode in wanted if mode in modes), None)
    return found or Refusal(f"{row.device}: the catalog has no power mode {wanted[0]!r}")


def precision_of(row: EdgeRow) -> Precision | Refusal:
    """Return the precision that a row was run in; of a graph with several, the weights'."""
    if not re.search(r"not stated|/|\bmixed\b", row.precision):
        for pattern, precision in _PRECISIONS:
            if re.search(pattern, row.precision, re.IGNORECASE):
                return precision
    return Refusal(f"precision {row.precision!r} is not one that a device is costed in")


def runtime_refusal(row: EdgeRow, known: Facts, modes: Collection[str]) -> Refusal | None:
    """Return why the runtime of a row is none that a catalogued processor stands for."""
    for pattern, what in _OTHER_RUNTIMES:
        if re.search(pattern, row.runtime):
            return Refusal(f"runtime {row.runtime!r}: {what}")
    if "Adreno" in row.runtime and "gpu" not in modes:
        return Refusal(f"runtime {row.runtime!r}: the phone's GPU; Snapdragons are costed as NPU")
    if known.get("ran_on", "npu") != "npu":
        return Refusal(f"ran on the {str(known['ran_on']).upper()}, not on the NPU")
    if known.get("scope") == "end-to-end":
        return Refusal("time of a whole pipeline, not of one network")
    return None


def network_of(row: EdgeRow, known: Facts, precision: Precision) -> Network | Refusal:
    """Return the workload of one query.

    A language model needs no count of MACs: a decoded token takes one per parameter, a prefill one
    per parameter and token. Other text networks (an encoder) are a pass of the MACs given.
    """
    if row.op_class == "llm":
        return _language_model(row, known, precision)
    if row.gmacs is None:
        return Refusal("gmacs empty")
    samples = row.batch or round(float(known.get("samples_per_query", 1)))
    macs = round(row.gmacs * 1e9)
    params = None if row.params_m is None else round(row.params_m * 1e6)
    if row.op_class == "gemm":
        return Network(_product(row.workload, macs, params), 1)
    n_layers = row.n_layers or known.get("graph_layers") or GRAPH_LAYERS.get(row.network)
    grouped = row.op_class == "cnn" and re.search("resnext|regnet", row.network, re.IGNORECASE)
    workload = Workload.from_totals(
        macs,
        round(TYPICAL_PARAMS) if params is None else params,
        name=row.network,
        op_class="grouped-cnn" if grouped else row.op_class or None,
        n_layers=None if n_layers is None else round(float(n_layers)),
        act_elements=None if row.act_melems is None else round(row.act_melems * 1e6),
        batch=samples,
    )
    return Network(_with_assumed(workload, "weight_bytes") if params is None else workload, samples)


def _product(name: str, macs: int, params: int | None) -> Workload:
    """Return one square matrix product: three matrices of the same size move."""
    size = params or round(macs ** (2 / 3))
    counts = Ops(macs=macs, weight_bytes=size, read_bytes=size, write_bytes=size, launches=1)
    layer = LayerOps("encoder", name, OpKind.GEMM, counts, ran_as="int8")
    return Workload(name, inferences=1, window_ms=1000.0, layers=(layer,))


def _language_model(row: EdgeRow, known: Facts, precision: Precision) -> Network | Refusal:
    if row.params_m is None:
        return Refusal("params_m empty, and a language model is costed by its parameters")
    npu = not row.device.startswith("Jetson")
    if npu and row.precision == "w4":
        return Refusal("w4 with float activations: no measurement sets its constants")
    params = row.params_m * 1e6
    n_bytes = weight_bytes(row, known, precision)
    context = float(known.get("context_tokens", _NPU_CONTEXT if npu else 0))
    cache = attention_elements(params, context)
    tokens = known.get("prefill_tokens", known.get("pass_tokens"))
    if tokens is None and "one prefill pass" in row.workload:
        tokens = _PASS_TOKENS
    if "decode" in row.workload:
        macs, kind = params, "decode"
    elif tokens is not None:
        macs, kind = float(tokens) * (params + (cache if npu else 0)), "llm"
    elif row.gmacs is not None and "per" not in known:
        macs, kind = row.gmacs * 1e9, "llm"
    else:
        return Refusal("the workload is neither decode nor a pass of known tokens or gmacs")
    workload = Workload.from_totals(
        round(macs),
        round(n_bytes / WEIGHT_BYTES[precision]),
        name=row.network,
        op_class=kind,
        kv_elements=round(cache) if kind == "decode" else 0,
    )
    return Network(workload, 1)


def weight_bytes(row: EdgeRow, known: Facts, precision: Precision) -> float:
    """Return the bytes of weights that one pass reads: noted, else by format or precision."""
    for name in ("read_gb_per_token", "weights_gb"):
        if name in known:
            return float(known[name]) * 1e9
    params = (row.params_m or 0.0) * 1e6
    below, small_bits = _SMALL_Q4
    if re.search("q4_k_m", row.precision, re.IGNORECASE) and params < below:
        return params * small_bits / 8
    for pattern, bits in _BITS_PER_WEIGHT:
        if re.search(pattern, row.precision, re.IGNORECASE):
            return params * bits / 8
    return params * WEIGHT_BYTES[precision]


def doubt_of(row: EdgeRow, mode_stated: bool) -> float:
    """Return the standard deviation of the log of what runtime, mix and mode may change.

    TFLite against QNN on one graph: ratio 0.83 to 1.21 from the 10th to the 90th percentile; ONNX
    Runtime 0.9 to 2.1. Vendor runtimes of benchmark submissions are taken as the latter.
    """
    doubts = [sigma for pattern, sigma in _RUNTIME_DOUBTS if re.search(pattern, row.runtime)]
    if re.search(r"mixed", row.precision):
        doubts.append(0.15)
    if not mode_stated and row.device.startswith("Jetson"):
        doubts.append(_MODE_DOUBT)
    return math.hypot(*doubts)


def _with_assumed(workload: Workload, count: str) -> Workload:
    layers = tuple(replace(layer, assumed=(*layer.assumed, count)) for layer in workload.layers)
    return replace(workload, layers=layers)
