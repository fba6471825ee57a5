"""Pictures of answers, computed and drawn only where a face shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hw_models.accelerator import Accelerator
from hw_models.device import System
from hw_models.loader import load_device
from hw_models.page import Picture
from hw_models.report import EnergyReport
from hw_models.workload import Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def stages(reports: Sequence[EnergyReport]) -> list[Picture]:
    """Energy by stage above idle, and with idle where every report knows it."""
    costed = any(report.energy_active_j for report in reports)
    known = all(report.scope == "device" for report in reports)

    def picture(title: str, *, with_idle: bool) -> Picture:
        def draw(ax: Axes | None) -> Axes:
            from hw_models.plot import energy_by_stage

            return energy_by_stage(reports, ax, with_idle=with_idle)

        return Picture(title, draw)

    above = picture("Energy above idle by stage; error bars are 5-95%.", with_idle=False)
    whole = picture("The same with idle power spread over the inferences.", with_idle=True)
    return [above, *([whole] if known else [])] if costed else []


def tornado(workload: Workload, report: EnergyReport, options: dict[str, Any]) -> list[Picture]:
    """Constants that move energy above idle, then those that move latency."""
    if report.energy_active_j is None or not report.dominant:
        return []

    def picture(title: str, quantity: Any) -> Picture:
        def draw(ax: Axes | None) -> Axes:
            from hw_models import plot
            from hw_models.sensitivity import sensitivity

            return plot.tornado(sensitivity(workload, report.device, quantity, **options), ax)

        return Picture(title, draw)

    pictures = [
        picture(
            "Each constant alone over its range; at the ends of a bar its value there.",
            "energy_active_j",
        )
    ]
    if options.get("latency_s") is None:
        pictures.append(picture("The same for latency.", "latency_s"))
    return pictures


def roofline(workload: Workload, report: EnergyReport, options: dict[str, Any]) -> list[Picture]:
    """Layers under the ceilings of each processor."""
    device = load_device(report.device)
    parts = [p.device for p in device.parts] if isinstance(device, System) else [device]
    processors = [part for part in parts if isinstance(part, Accelerator)]

    def picture(index: int) -> Picture:
        def draw(ax: Axes | None) -> Axes:
            from hw_models import plot
            from hw_models.intensity import layer_roofline

            found = layer_roofline(
                workload, report.device, deploy_as=options["deploy_as"], processor=index
            )
            return plot.roofline(found, ax)

        name = processors[index].title
        return Picture(f"Layers under the ceilings of {name}; area: share of the time.", draw)

    return [picture(index) for index in range(len(processors))]
