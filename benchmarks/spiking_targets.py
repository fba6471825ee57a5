"""What must be reached, and what is: one row per target, from the rows of the other tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.peers.brian import EVENTS
from benchmarks.peers.lava.run import SPARSE_PIXELS

Row = dict[str, Any]

TORCH_PEERS = ("snnTorch", "Norse", "SpikingJelly", "Sinabs")
AT_500K, AT_5M = "500 k/s", "5,000 k/s"
MIB_PER_GIB = 1024


def target_rows(figures: dict[str, Any]) -> list[Row]:
    """Every target with the peer's figure, ours, and whether it is met.

    ``figures`` holds the lists ``agreement``, ``patch``, ``engines``, ``throughput``, ``binning``,
    ``memory`` and the dict ``first_result`` (or None). A target whose peer is not installed is
    listed as "not measured".
    """
    return [
        *_agreement(figures["agreement"]),
        *_patch(figures["patch"]),
        *_detector(figures["engines"]),
        *_throughput(figures["throughput"], figures["binning"]),
        *_memory(figures["memory"]),
        *_first_result(figures["first_result"]),
    ]


def row(
    work: str,
    stream: str,
    against: str,
    theirs: str,
    ours: str,
    reached: float | None,
    wanted: float,
    *,
    unit: str = "x",
    at_most: bool = False,
    note: str = "",
) -> Row:
    """One line of the table; ``reached`` of None means that it was not measured."""
    met = "not measured"
    if reached is not None:
        met = "yes" if (reached <= wanted if at_most else reached >= wanted) else "NO"
    return {
        "work": work,
        "stream": stream,
        "against": against,
        "theirs": theirs,
        "ours": ours,
        "reached": "-" if reached is None else f"{reached:,.4g} {unit}".rstrip(),
        "wanted": f"{'at most' if at_most else 'at least'} {wanted:,g} {unit}".rstrip(),
        "met": met,
        "note": note,
    }


def _agreement(rows: Sequence[Row]) -> Iterator[Row]:
    lava = [r for r in rows if r["engine"] == "lava" and r["differing"] is not None]
    differing = sum(r["differing"] for r in lava) if lava else None
    streams = f"{len({r['recording'] for r in lava})} recordings"
    yield row(
        "differing spikes, both graphs", streams, "Lava fixed point", "", "", differing, 0,
        unit="", at_most=True,
    )  # fmt: skip


def _patch(rows: Sequence[Row]) -> Iterator[Row]:
    for wanted, rate, peer, form in (
        (500, AT_500K, "Lava", SPARSE_PIXELS.words),
        (5, AT_500K, "Brian2", EVENTS),
        (1.5, AT_5M, "Brian2", EVENTS),
    ):
        for r in rows:
            if (r["peer"], r["form"]) == (peer, form) and r["stream"].endswith(rate):
                yield _against("patch-lif, events -> spikes", r, wanted)
    for stream in dict.fromkeys(r["stream"] for r in rows if r["stream"].endswith(AT_500K)):
        peers = [r for r in rows if r["stream"] == stream and r["peer"] in TORCH_PEERS]
        there = [r for r in peers if r["us/tick"] is not None]
        absent = [r["peer"] for r in peers if r["us/tick"] is None]
        fastest = min(there, key=lambda r: r["us/tick"], default=peers[0])
        note = "fastest of four"
        if absent:
            note = f"of the rest; not installed: {', '.join(absent)}"
        yield _against("patch-lif, counts -> spikes", fastest, 100) | {"note": note}


def _against(work: str, r: Row, wanted: float) -> Row:
    against = f"{r['peer']} ({r['form']})"
    if r["us/tick"] is None:
        return row(work, r["stream"], against, "", "", None, wanted, note=r["note"])
    theirs, ours = (f"{r[key]:,.3g} us/tick" for key in ("us/tick", "fast us/tick"))
    return row(work, r["stream"], against, theirs, ours, r["fast is"], wanted)


def _detector(rows: Sequence[Row]) -> Iterator[Row]:
    mine = [r for r in rows if r["graph"] == "change-detector" and r["stream"].endswith(AT_500K)]
    for stream in dict.fromkeys(r["stream"] for r in mine):
        of = {r["engine"]: r for r in mine if r["stream"] == stream}
        for engine, wanted in (("lava", 150), ("norse", 12)):
            other = of[engine] | {"peer": engine, "form": of[engine]["precision"]}
            yield _against("change-detector, spikes -> spikes", other, wanted)
        real = of["fast, from events"]
        yield row(
            "change-detector, events -> spikes", stream, "real time", "1,000 us/tick",
            f"{real['us/tick']:,.3g} us/tick", real["x real time"], 30,
        )  # fmt: skip


def _throughput(sustained: Sequence[Row], binning: Sequence[Row]) -> Iterator[Row]:
    for r in sustained:
        if r["graph"] == "patch-lif":
            speed = r["M events/s"]
            yield row(
                "patch-lif, sustained, one core", r["stream"], "", "", "", speed, 400,
                unit="M events/s",
            )  # fmt: skip
    for r in binning:
        theirs, ours = (
            "" if r[key] is None else f"{r[key]:,.3g} M events/s"
            for key in ("tonic M events/s", "ours M events/s")
        )
        yield row(
            "binning to 1 ms patch counts", r["stream"], "Tonic", theirs, ours, r["ratio"], 40,
            note=r["note"],
        )  # fmt: skip


def _memory(rows: Sequence[Row]) -> Iterator[Row]:
    for r in rows:
        enough = r["events"] >= 200_000_000
        yield row(
            f"simulate --graph {r['graph']}, peak memory", f"{r['events']:,} events", "", "",
            f"{r['peak_mib']:,.0f} MiB", r["peak_mib"] / MIB_PER_GIB if enough else None, 1,
            unit="GiB", at_most=True, note="" if enough else "the target is for 200,000,000 events",
        )  # fmt: skip


def _first_result(seconds: dict[str, float] | None) -> Iterator[Row]:
    first = None if seconds is None else seconds["cold_s"]
    later = None if seconds is None else max(seconds["warm_s"], seconds["new_graph_s"])
    for work, reached, wanted in (
        ("engine compiled once per machine", first, 15),
        ("a new graph after that", later, 2),
    ):
        yield row(work, "", "", "", "", reached, wanted, unit="s", at_most=True)
