"""``python -m hw_models map``: which neurocores a network takes, and whether it fits."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from hw_models.chip import NeuromorphicChip
from hw_models.core_map import CorePlacement, core_map
from hw_models.device import System
from hw_models.errors import EstimateError
from hw_models.faces.options import add_workload_options, workload_of
from hw_models.faces.output import add_output_options, deliver
from hw_models.loader import load_device
from hw_models.mapping import Mapping, map_layers, mesh_of
from hw_models.neuromorphic import take
from hw_models.page import Lines, Page, Part, Picture, Table
from hw_models.report import NotCovered
from hw_models.workload import Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "map",
        help="map spiking layers to the cores of a neuromorphic chip",
        epilog="example: %(prog)s run.json --device loihi2 --plot cores.png",
    )
    add_workload_options(parser)
    parser.add_argument("--device", required=True, help="a neuromorphic chip, or a system with one")
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> str:
    """Return the text to print.

    Raises
    ------
    EstimateError
        The device has no neuromorphic chip, or the chip runs nothing of the workload.
    """
    chip = _chip(arguments.device)
    workload = workload_of(arguments)
    layers, left = take(workload.layers, chip)
    if not any(layer.neurons or layer.delta_density is not None for layer in layers):
        reasons = "; ".join(f"{each.stage}: {each.reason}" for each in left)
        raise EstimateError(
            f"{chip.full_name} runs nothing of {workload.name!r} that takes cores"
            f"{': ' + reasons if reasons else ''}"
        )
    mapping = map_layers(layers, chip.limits, workload.inferences)
    placed = core_map(workload, chip)
    verdict = [mapping.reason, *map(str, mapping.shortfalls)]
    outside = [f"{each.stage}: {each.reason}" for each in left]
    lines = (Lines("Verdict", tuple(dict.fromkeys(verdict))), Lines("Not mapped", tuple(outside)))
    said = [each for each in lines if each.lines]
    title = f"{workload.name} on {chip.full_title}"
    part = Part(title, (_table(mapping), *said, *_pictures(workload, chip, placed)))
    return deliver(Page(title, (part,)), _record(workload, chip, mapping, placed, left), arguments)


def _chip(name: str) -> NeuromorphicChip:
    device = load_device(name)
    parts = [p.device for p in device.parts] if isinstance(device, System) else [device]
    for part in parts:
        if isinstance(part, NeuromorphicChip):
            return part
    raise EstimateError(f"{name}: only a neuromorphic chip has cores to map to, try loihi2")


def _table(mapping: Mapping) -> Table:
    rows = []
    broken = {shortfall.layer for shortfall in mapping.shortfalls}
    for place in mapping.placements:
        name = f"{place.stage}/{place.layer}"
        rows.append(
            (
                name,
                str(place.n_cores) if place.n_cores else "input",
                f"{place.memory_share:.0%}",
                f"{place.neuron_share:.0%}",
                f"{place.axon_in_share:.0%}" if math.isfinite(mapping.limits.axons_in) else "-",
                f"{place.axon_out_share:.0%}" if math.isfinite(mapping.limits.axons_out) else "-",
                f"{place.n_destination_cores:.3g}",
                f"{place.hops_x + place.hops_y:.2g}",
                f"{place.leaves_chip:.0%}",
                "does not fit" if name in broken else "fits",
            )
        )
    header = (
        "layer",
        "cores",
        "memory of each",
        "neurons of each",
        "input axons of each",
        "output axons of each",
        "cores that hear a neuron",
        "hops",
        "to other chips",
        "verdict",
    )
    return Table(header, tuple(rows), numbers=tuple(range(1, 9)))


def _pictures(
    workload: Workload, chip: NeuromorphicChip, placed: Sequence[CorePlacement]
) -> tuple[Picture, Picture]:
    def picture(by: Literal["memory", "activity"]) -> Picture:
        def draw(ax: Axes | None) -> Axes:
            from hw_models.plot import cores

            title = f"{workload.name} on {chip.name}"
            return cores(placed, mesh_of(chip.limits), ax, by=by, title=title)

        return Picture(f"Cores of {chip.title} in use, coloured by {by}.", draw)

    return picture("memory"), picture("activity")


def _record(
    workload: Workload,
    chip: NeuromorphicChip,
    mapping: Mapping,
    placed: Sequence[CorePlacement],
    left: Sequence[NotCovered],
) -> dict[str, Any]:
    return {
        "workload": workload.name,
        "workload_hash": workload.hash(),
        "device": chip.full_name,
        "fits": mapping.fits,
        "reason": mapping.reason,
        "n_cores": mapping.n_cores,
        "n_chips": mapping.n_chips,
        "layers": [asdict(place) for place in mapping.placements],
        "shortfalls": [asdict(each) for each in mapping.shortfalls],
        "not_mapped": [asdict(each) for each in left],
        "cores": [asdict(core) for core in placed],
    }
