"""Pictures show the numbers of the records, on the axes given and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hw_models import (
    ComparisonError,
    LayerOps,
    OpKind,
    Ops,
    Workload,
    break_even,
    estimate,
    layer_roofline,
    load_device,
    plot,
    sensitivity,
)
from hw_models.chip import NeuromorphicChip
from hw_models.core_map import CorePlacement, core_map
from hw_models.errors import OutputError
from hw_models.mapping import mesh_of
from hw_models.mesh import Mesh
from hw_models.page import Picture
from hw_models.plot import style
from hw_models.plot.sheet import save_sheet

Draw = Callable[[Axes | None], Axes]
NAMES = ("energy_by_stage", "tornado", "roofline", "cores", "break_even")


def chip() -> NeuromorphicChip:
    device = load_device("loihi2")
    assert isinstance(device, NeuromorphicChip)
    return device


@pytest.fixture(scope="module")
def draws(pipeline: Workload) -> dict[str, Draw]:
    board = "jetson-orin-nano"
    reports = [estimate(pipeline, name, samples=50) for name in (board, "loihi2")]
    swings = sensitivity(pipeline, "loihi2+jetson-orin-nano")
    layers = layer_roofline(pipeline, board)
    placed, mesh = core_map(pipeline, chip()), mesh_of(chip().limits)
    crossing = break_even(
        pipeline, board, "jetson-nano", over="rate", low=1, high=1e4, samples=50, points=9
    )
    return {
        "energy_by_stage": lambda ax: plot.energy_by_stage(reports, ax),
        "tornado": lambda ax: plot.tornado(swings, ax),
        "roofline": lambda ax: plot.roofline(layers, ax),
        "cores": lambda ax: plot.cores(placed, mesh, ax),
        "break_even": lambda ax: plot.break_even(crossing, ax),
    }


@pytest.mark.parametrize("name", NAMES)
def test_only_the_given_axes_are_drawn_on(draws: dict[str, Draw], name: str) -> None:
    first, second = Figure().subplots(1, 2)
    untouched = len(first.get_children())
    assert draws[name](second) is second
    assert len(first.get_children()) == untouched
    assert not first.has_data()
    assert second.has_data()
    assert second.figure.axes == [first, second]


@pytest.mark.parametrize("name", NAMES)
def test_without_axes_a_figure_is_made_that_pyplot_does_not_know(
    draws: dict[str, Draw], name: str
) -> None:
    settings = dict(matplotlib.rcParams)
    ax = draws[name](None)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()
    assert figure.axes == [ax]
    assert figure.canvas.manager is None
    assert dict(matplotlib.rcParams) == settings


@pytest.mark.parametrize("name", NAMES)
def test_no_text_leaves_the_picture(draws: dict[str, Draw], name: str) -> None:
    ax = draws[name](None)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()
    box = figure.bbox
    texts = [t for t in ax.findobj(matplotlib.text.Text) if t.get_text().strip()]
    assert texts
    for text in texts:
        at = text.get_window_extent()
        inside = at.x0 >= -1 and at.y0 >= -1 and at.x1 <= box.x1 + 1 and at.y1 <= box.y1 + 1
        assert inside or not text.get_visible() or text in _off_scale(ax), text.get_text()


def _off_scale(ax: Axes) -> list[object]:
    """Labels of ticks outside the limits: matplotlib keeps but does not draw them."""
    return [
        tick.label1
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
    ]


def bars(ax: Axes) -> list[Rectangle]:
    return [p for p in ax.patches if isinstance(p, Rectangle) and p.get_width() > 0]


@pytest.mark.parametrize("with_idle", [False, True])
def test_stacked_bars_are_as_long_as_the_total(pipeline: Workload, with_idle: bool) -> None:
    names = ["jetson-orin-nano", "loihi2", "loihi2+jetson-orin-nano"]
    reports = [estimate(pipeline, name, samples=50) for name in names]
    ax = plot.energy_by_stage(reports, with_idle=with_idle)
    assert ax.get_xlabel().endswith("(mJ)")
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [names[0], names[2], "loihi2\nfront end only"]  # front ends stand last
    for place, name in zip(ax.get_yticks(), [names[0], names[2], names[1]], strict=True):
        report = reports[names.index(name)]
        total = report.energy_j if with_idle else report.energy_active_j
        assert total is not None
        mine = [bar for bar in bars(ax) if bar.get_y() < place < bar.get_y() + bar.get_height()]
        assert sum(bar.get_width() for bar in mine) == pytest.approx(total.value * 1e3)
        ends = {round(bar.get_x() + bar.get_width(), 9) for bar in mine}
        starts = {round(bar.get_x(), 9) for bar in mine}
        assert len(starts | ends) == len(mine) + 1  # each begins where one ends
    arms = [c.lines[2][0] for c in ax.containers if isinstance(c, ErrorbarContainer)]
    for arm, name in zip(arms, [names[0], names[2], names[1]], strict=True):
        report = reports[names.index(name)]
        total = report.energy_j if with_idle else report.energy_active_j
        assert total is not None
        ((low, _), (high, _)) = arm.get_segments()[0]
        assert (low, high) == pytest.approx((total.low * 1e3, total.high * 1e3))


def test_a_device_that_costs_nothing_says_so(pipeline: Workload) -> None:
    ann = Workload("ann", 1, 25, pipeline.layers[3:])
    reports = [estimate(ann, name, samples=50) for name in ("loihi2", "jetson-nano")]
    ax = plot.energy_by_stage(reports)
    assert any("nothing costed" in text.get_text() for text in ax.texts)


def test_unlike_reports_are_not_stacked(pipeline: Workload) -> None:
    reports = [estimate(pipeline, "jetson-nano", rate_hz=hz, samples=50) for hz in (20, 40)]
    with pytest.raises(ComparisonError, match=r"different rates \(20.0, 40.0 Hz\)"):
        plot.energy_by_stage(reports)
    with pytest.raises(ComparisonError, match="at least 1 report"):
        plot.energy_by_stage([])
    unknown = replace(reports[0], scope="active", energy_j=None)
    with pytest.raises(ComparisonError, match="idle power of jetson-nano is unknown"):
        plot.energy_by_stage([unknown], with_idle=True)


def test_a_tornado_has_the_swings_as_bars_and_their_sources_as_labels(pipeline: Workload) -> None:
    found = sensitivity(pipeline, "loihi2+jetson-orin-nano")
    ax = plot.tornado(found, at_most=4)
    assert len(bars(ax)) == 4
    labels = [label.get_text() for label in ax.get_yticklabels()]
    scale = 1e6  # uJ
    assert ax.get_xlabel() == "energy above idle per inference (uJ)"
    for bar, label, swing in zip(bars(ax), labels, found.swings, strict=False):
        assert bar.get_x() == pytest.approx(swing.low * scale)
        assert bar.get_x() + bar.get_width() == pytest.approx(swing.high * scale)
        assert swing.name.split(".", 1)[1] in label
        assert f"{swing.constant.basis}, {swing.constant.source}" in label
    texts = [text.get_text() for text in ax.texts]
    assert any(f"{len(found.swings) - 4} more constants move it less" in text for text in texts)


def test_the_ends_of_a_bar_say_what_the_constant_is_there(pipeline: Workload) -> None:
    """Time falls with efficiency: its low end stands at the long time, to the right."""
    found = sensitivity(pipeline, "jetson-orin-nano", "latency_s")
    falling = next(swing for swing in found.swings if swing.name.endswith("gemm.efficiency"))
    ax = plot.tornado(replace(found, swings=(falling,)))
    at = {text.get_text(): text.xy[0] for text in ax.texts if hasattr(text, "xy")}
    assert at[f"{falling.constant.low:g}"] > at[f"{falling.constant.high:g}"]


def test_a_roofline_has_its_ridge_where_both_ceilings_meet(pipeline: Workload) -> None:
    found = layer_roofline(pipeline, "jetson-orin-nano")
    ax = plot.roofline(found)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    x, y = ax.lines[0].get_data()
    assert (x[1], y[1]) == (found.ridge_mac_per_byte, found.peak_mac_per_s)
    assert y[0] == pytest.approx(x[0] * found.byte_per_s)
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections])
    assert drawn.tolist() == [[p.mac_per_byte, p.mac_per_s] for p in found.points]
    texts = " ".join(text.get_text() for text in ax.texts)
    assert f"ridge {found.ridge_mac_per_byte:.3g} MAC/B" in texts
    assert "qkv" in texts
    legend = ax.get_legend()
    assert legend is not None
    words = " ".join(text.get_text() for text in legend.get_texts())
    assert "launching takes longest: 1 layer" in words
    assert "7 layers have no place here" in words


def test_names_cover_neither_points_nor_each_other() -> None:
    layers = tuple(
        LayerOps(
            "encoder",
            f"layer number {i}",
            OpKind.GEMM,
            Ops(macs=10**8 + i * 10**6, weight_bytes=10**6 + i * 1000, launches=1),
            ran_as="fp16",
        )
        for i in range(40)
    )
    ax = plot.roofline(layer_roofline(Workload("crowd", 1, 25, layers), "jetson-orin-nano"))
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()
    names = [text for text in ax.texts if text.get_text().startswith("layer number")]
    assert names
    boxes = [text.get_window_extent() for text in names]
    points = np.concatenate(
        [ax.transData.transform(np.asarray(c.get_offsets())) for c in ax.collections]
    )
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not ((points > box.min) & (points < box.max)).all(axis=1).any()


@pytest.mark.parametrize("by", ["memory", "activity"])
def test_every_core_in_use_is_a_coloured_square(pipeline: Workload, by: plot.By) -> None:
    placed, mesh = core_map(pipeline, chip()), mesh_of(chip().limits)
    ax = plot.cores(placed, mesh, by=by)
    free, used = (c for c in ax.collections if isinstance(c, PatchCollection))
    assert len(free.get_paths()) == mesh.cores_per_chip
    assert len(used.get_paths()) == len(placed)
    shares = [c.memory_share if by == "memory" else c.activity_share for c in placed]
    assert np.asarray(used.get_array()).tolist() == shares
    corners = {tuple(np.round(path.vertices[0], 6)) for path in used.get_paths()}
    assert len(corners) == len(placed)  # no core hides another
    assert corners <= {tuple(np.round(path.vertices[0], 6)) for path in free.get_paths()}
    text = " ".join(each.get_text() for each in ax.texts)
    assert "1  frontend/F: 3 cores" in text


def test_chips_stand_apart_and_are_counted() -> None:
    mesh = Mesh(cores_per_chip=8, cores_per_tile=4, columns=2, rows=1)
    placed = [
        CorePlacement(i // 8, i % 8 // 4, 0, i % 4, "frontend", "F", 0.5, 0.5, i / 19)
        for i in range(20)
    ]
    ax = plot.cores(placed, mesh)
    _, used = (c for c in ax.collections if isinstance(c, PatchCollection))
    assert len({tuple(np.round(path.vertices[0], 6)) for path in used.get_paths()}) == 20
    text = [each.get_text() for each in ax.texts]
    assert {"chip 1", "chip 2", "chip 3"} <= set(text)
    assert "chip 4" not in text


def test_the_crossing_is_marked_where_the_curves_meet() -> None:
    network = Workload.from_totals(4_100_000_000, 25_600_000, op_class="cnn", window_ms=40)
    found = break_even(
        network, "jetson-nano", "jetson-orin-nano", over="rate", low=0.1, high=250, samples=100
    )
    assert found.crossing is not None
    ax = plot.break_even(found)
    marks = [line for line in ax.lines if line.get_label() == "break-even, 5-95% shaded"]
    assert [line.get_xdata()[0] for line in marks] == [found.crossing.value]
    (span,) = (p for p in ax.patches if isinstance(p, Rectangle))
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx(
        (found.crossing.low, found.crossing.high)
    )
    a, b = ax.lines[0], ax.lines[1]
    below = a.get_xdata() < found.crossing.value
    assert ((a.get_ydata() < b.get_ydata()) == below).all()
    assert "(J)" in ax.get_ylabel()
    assert "Hz" in ax.get_xlabel()


def test_without_a_crossing_none_is_marked(pipeline: Workload) -> None:
    found = break_even(
        pipeline,
        "jetson-orin-nano",
        "loihi2+jetson-orin-nano",
        over="activity",
        low=0,
        high=1,
        samples=50,
        points=5,
    )
    assert found.crossing is None
    ax = plot.break_even(found)
    assert not any("break-even" in str(line.get_label()) for line in ax.lines)
    assert ax.get_xscale() == "linear"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, (1.0, "")),
        (2.0, (1.0, "")),
        (1e-3, (1e3, "m")),
        (5e-7, (1e9, "n")),
        (3e4, (1e-3, "k")),
    ],
)
def test_scales(value: float, expected: tuple[float, str]) -> None:
    factor, prefix = style.scale_of(value)
    assert (factor, prefix) == (pytest.approx(expected[0]), expected[1])


def test_a_sheet_needs_a_picture_and_a_known_ending(draws: dict[str, Draw], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x.png: there is no picture to draw"):
        save_sheet([], tmp_path / "x.png")
    picture = Picture("x", draws["tornado"])
    with pytest.raises(OutputError, match=r"x.bmp: a picture file ends in .png or .svg"):
        save_sheet([picture], tmp_path / "x.bmp")


def test_a_sheet_is_as_high_as_its_pictures(draws: dict[str, Draw], tmp_path: Path) -> None:
    pictures = [Picture(name, draws[name]) for name in ("energy_by_stage", "tornado")]
    heights = []
    for picture in pictures:
        figure = picture.draw(None).get_figure(root=True)
        assert figure is not None
        heights.append(figure.get_size_inches()[1])
    path = tmp_path / "sheet.png"
    save_sheet(pictures, path)
    size = path.read_bytes()[16:24]
    assert int.from_bytes(size[4:]) == pytest.approx(sum(heights) * style.DPI, abs=1)
    assert int.from_bytes(size[:4]) == pytest.approx(style.WIDTH_IN * style.DPI, abs=1)
