"""What the notes of a row say that a prediction needs, as names and values.

Notes are written in two styles, and one file may mix them: ``idle_w=10.1; boundary=wall`` as in
the tables shipped here, or remarks in words as their authors wrote them (``wall idle around run
10.10 W``). Parts are separated by semicolons. Words that no pattern knows are passed over: a note
may say anything. Nothing here is a measured result of the row, except the parts of a chip's power
that have no column of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hw_models.errors import RowsError
from hw_models.validate.rows import SCENARIOS, LoihiRow, Row

Facts = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class _Number:
    """A number in words, times ``factor``; of a range ``1-2`` the middle, and both ends."""

    name: str
    pattern: re.Pattern[str]
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class _Word:
    """Words that mean ``name=value``."""

    name: str
    value: float | str
    pattern: re.Pattern[str]


def _number(name: str, words: str, factor: float = 1.0) -> _Number:
    """Compile ``words``, in which ``#`` is a number and ``#-#`` may be a range."""
    one = r"(\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)"
    pattern = words.replace("#-#", f"{one}(?:-{one})?").replace("#", one)
    return _Number(name, re.compile(pattern, re.IGNORECASE), factor)


def _word(name: str, value: float | str, words: str) -> _Word:
    return _Word(name, value, re.compile(words, re.IGNORECASE))


_EDGE: tuple[_Number | _Word, ...] = (
    _number("idle_w", r"\bidle (?:around run|after run|before run|of this board)? ?#-# W\b"),
    _number("gpu_mhz", r"\bGPU # MHz"),
    _number("emc_mhz", r"\bEMC # MHz"),
    _number("dla_mhz", r"\bDLA # MHz"),
    _number("cpu_mhz", r"\bCPU # MHz"),
    _number("cpu_cores", r"MHz, # cores"),
    _number("weights_gb", r"\bweights # GB"),
    _number("read_gb_per_token", r"^# GB read per token"),
    _number("read_gb_per_token", r"^# MB read per token", 1e-3),
    _number("graph_layers", r"^# graph layers"),
    _number("npu_layers", r"graph layers, # on NPU"),
    _number("samples_per_query", r"MultiStream query of # samples|per #-sample query"),
    _number("pass_tokens", r"pass length # tokens"),
    _number("context_tokens", r"\bcontext #"),
    _number("prefill_tokens", r"\bprefill # tokens"),
    _word("boundary", "wall", r"\bwall \(AC\) power|\bwall meter"),
    _word("boundary", "module", r"\bVDD_IN\b"),
    _word("boundary", "rail", r"\bCPU_GPU_CV rail"),
    _word("boundary", "phone", r"for the whole phone"),
    _word("energy", "net", r"^NET energy|^DYNAMIC energy"),
    _word("power_statistic", "peak", r"\bVDD_IN peak"),
    _word("latency_statistic", "mean", r"^mean latency|^mean GPU compute time"),
    _word("latency_statistic", "p90", r"latency = official p90"),
    _word("latency_statistic", "p99", r"latency = official p99"),
    _word("engines", "gpu+2dla", r"GPU \+ 2 DLA together|GPU and both DLAs together"),
    _word("engines", "2dla", r"^both DLAs together"),
    _word("ran_on", "npu", r"^ran on NPU"),
    _word("ran_on", "gpu", r"^ran on GPU"),
    _word("ran_on", "cpu", r"^ran on CPU"),
    _word("gmacs_basis", "lower-bound", r"^gmacs .*lower bound"),
    _word("gmacs_basis", "params", r"^gmacs taken = params"),
    _word("gmacs_basis", "proxy", r"^gmacs .*proxy"),
    _word("gmacs_basis", "memory", r"gmacs .*memory"),
    _word("params_basis", "memory", r"^(?:params|parameter count) .*memory"),
    _word("latency_basis", "throughput", r"^latency = 1/throughput, batch not stated"),
    _word("scope", "end-to-end", r"^end-to-end|^pipeline latency|^vision encoding plus prefill"),
    _word("per", "token", r"\(per token\)"),
    *(_word("scenario", name, rf"\b{name}\b") for name in SCENARIOS),
)

_LOIHI: tuple[_Number | _Word, ...] = (
    _number("core_dynamic_mw", r"(?:neurocore dynamic only:|core dynamic) # mW"),
    _number("core_dynamic_uj", r"neurocore dynamic only: [\d.]+ mW = # uJ"),
    _number("core_dynamic_nj_per_step", r"core dynamic [\d.]+ mW \(# nJ per step"),
    _number("active_nj_per_step", r"active # nJ per step"),
    _number("core_static_mw", r"core static #"),
    _number("x86_dynamic_mw", r"x86 dynamic #"),
    _number("x86_static_mw", r"x86 static # mW"),
    _number("dynamic_mj", r"dynamic(?: energy)? # mJ"),
    _number("dynamic_mj", r"dynamic(?: energy)? # uJ", 1e-3),
    _number("step_us", r"\bstep #-# us|(?:^|at |row: |, )#-# us (?:spiking|per step)"),
    _number("management_us", r"# us management per step"),
    _number("transfer_us", r"image transfer #"),
    _number("injection_us", r"spike generation and injection #"),
    _number("spiking_us", r"spike processing #"),
    _number("reset_us", r"\+ reset #"),
    _number("image_io_ms", r"# ms image I/O"),
    _number("input_cores", r"input layer spread over # cores"),
    _number("cores", r"(?:^|[(, ]|row: )(?<!over )#-# cores?\b(?! per)"),
    _number("cores", r"neurocores [\d.]+ W over # cores"),
    _number("chips", r"(?:on|[,(]) ?# chips|\b#-chip\b"),
    _word("chips", 1.0, r"single chip"),
    _number("board_idle_mw", r"board idle # (?:mW|/)"),
    _number("board_running_mw", r"board idle [\d.]+ / running # mW"),
    _number("injection_bound_steps", r"T<=# is bound by spike injection"),
    _word("adaptive_compartments", 2.0, r"adaptive neurons may use two compartments"),
    _number("synapses_nonzero", r"# ?k non-zero weights", 1e3),
    _number("synops_per_step", r"activity plot \(# per step"),
    _number("passes_per_step", r"# microcode passes"),
    _number("spikes_per_step", r"# output spikes per step"),
    _number("neuron_updates", r"# neuron updates"),
    _number("packets", r"# packets"),
    _number("spikes", r"^# spikes$"),
    _word("energy", "attributed-total", r"^energy=attributed total"),
    _word("energy", "chip-total", r"^energy=chip total"),
    _word("energy", "board-total", r"^energy=board total"),
    _word("energy", "total", r"^energy=total"),
    _word("energy", "dynamic", r"^energy=(?:dynamic|active)"),
    _word("energy", "as-reported", r"^energy=as reported"),
    _word("evidence", "primary", r"^evidence=primary"),
    _word("evidence", "secondary", r"^evidence=secondary"),
    _word("evidence", "simulation", r"^evidence=simulation"),
    _word("evidence", "memory", r"^evidence=memory"),
    _word("timing_only", "yes", r"^timing row"),
    _word("board", "nahuku32", r"\bNahuku32\b"),
    _word("board", "oheo-gulch", r"\bOheo Gulch\b|\bncl-ext-og"),
    _word("board", "kapoho-point", r"\bKapoho Point\b"),
    _word("board", "kapoho-bay", r"\bKapoho Bay\b"),
    _word("board", "wolf-mountain", r"\bWolf Mountain\b"),
    _word("board", "vpx", r"\bVPX\b"),
    _word("stepping", "n3b3", r"\bN3B3\b"),
    _word("stepping", "n3c1", r"\bN3C1\b"),
    _word("io", "host-bound", r"host-I/O bound"),
    _word("synops_basis", "layer-sizes", r"synops are our count from the layer sizes"),
    _word("synops_basis", "activity-plot", r"synops read off"),
    _word("per", "step", r"\(per step\)|energy is per step|energy=total per step"),
)


def facts(row: Row) -> Facts:
    """Return what notes, workload and power mode of a row say, by name.

    A range ``150-153`` gives its middle under the name and its ends under ``name_low`` and
    ``name_high``. Of several statements about one thing the first counts; ``name=value`` goes
    before words, and the workload's name before the notes.

    Raises
    ------
    RowsError
        A known name is followed by what is not a number.
    """
    patterns = _LOIHI if isinstance(row, LoihiRow) else _EDGE
    numbers = {p.name for p in patterns if isinstance(p, _Number) or isinstance(p.value, float)}
    words = {(each.name, each.value) for each in patterns if isinstance(each, _Word)}
    found: dict[str, float | str] = {}
    rest = [row.workload]
    if not isinstance(row, LoihiRow):
        rest.append(row.power_mode)
    for part in re.split(r";\s*", row.notes):
        name, equals, value = part.partition("=")
        base = re.sub(r"_(?:low|high)$", "", name)
        if equals and (name in numbers or base in numbers):
            found.setdefault(name, _value(row, name, value))
        elif (name, value) in words:
            found.setdefault(name, value)
        else:
            rest.append(part)
    for part in rest:
        for pattern in patterns:
            if pattern.name not in found:
                found.update(_read(pattern, part))
    if found.get("emc_mhz") == 0:  # the record's way of saying: not capped
        del found["emc_mhz"]
    return found


def format_facts(known: Facts) -> str:
    """Write facts as notes that :func:`facts` reads back as they are."""
    return "; ".join(
        f"{name}={value if isinstance(value, str) else repr(value).removesuffix('.0')}"
        for name, value in known.items()
    )


def _read(pattern: _Number | _Word, part: str) -> Iterator[tuple[str, float | str]]:
    match = pattern.pattern.search(part)
    if not match:
        return
    if isinstance(pattern, _Word):
        yield pattern.name, pattern.value
        return
    ends = [float(group.replace(",", "")) * pattern.factor for group in match.groups() if group]
    yield pattern.name, round(sum(ends) / len(ends), 9)
    if len(ends) == 2:
        yield f"{pattern.name}_low", ends[0]
        yield f"{pattern.name}_high", ends[1]


def _value(row: Row, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RowsError(
            f"line {row.line}: notes: {name}: expected a number, got {text!r}"
        ) from None
