"""Laws that hold for every picture: the given axes, and nothing else, is drawn on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurovlm import viz
from neurovlm.core.errors import UsageError

DRAWINGS: dict[str, Callable[[Any, Any, Axes | None], Axes]] = {
    "raster of a train": lambda run, _, ax: viz.raster(run.trace.spikes["D"], ax),
    "raster of a trace": lambda run, _, ax: viz.raster(run.trace, ax, population="F"),
    "agreement": lambda run, _, ax: viz.agreement({"a": run.trace, "b": run.trace}, ax),
    "rates": lambda run, _, ax: viz.rates(run.trace, ax),
    "work": lambda run, _, ax: viz.work(run.trace, ax),
    "mask_over_frame": lambda run, _, ax: viz.mask_over_frame(
        run.snapshots[1], run.mask.changed[1], run.active[1], ax
    ),
    "tokens_over_time": lambda run, _, ax: viz.tokens_over_time(run, ax),
    "label_probabilities": lambda run, _, ax: viz.label_probabilities(run, ax),
    "macs_dense_vs_sttf": lambda run, _, ax: viz.macs_dense_vs_sttf(run, ax),
    "energy_by_stage": lambda _, reports, ax: viz.energy_by_stage(reports, ax),
    "devices": lambda _, reports, ax: viz.devices(reports, ax),
    "energy_dense_vs_sttf": lambda _, reports, ax: viz.energy_dense_vs_sttf(reports, ax),
}


@pytest.fixture(params=DRAWINGS)
def draw(request, run, reports):
    return lambda ax=None: DRAWINGS[request.param](run, reports, ax)


def test_drawing_on_the_second_axes_leaves_the_first_empty(draw):
    first, second = Figure().subplots(1, 2)
    untouched = len(first.get_children())
    before = len(second.get_children())
    assert draw(second) is second
    assert not first.has_data()
    assert len(first.get_children()) == untouched
    assert second.has_data() and len(second.get_children()) > before
    assert second.figure.axes == [first, second]


def test_without_axes_a_figure_is_made_behind_the_back_of_no_one(draw):
    settings = dict(matplotlib.rcParams)
    ax = draw()
    ax.figure.canvas.draw()
    assert ax.figure.axes == [ax]
    assert ax.figure.canvas.manager is None  # pyplot knows nothing of it
    assert dict(matplotlib.rcParams) == settings


def test_quantities_carry_their_units(run, reports):
    assert "(s)" in viz.raster(run.trace).get_xlabel()
    assert "(s)" in viz.tokens_over_time(run).get_xlabel()
    assert "(mJ" in viz.devices(reports).get_xlabel()
    assert "(mJ" in viz.energy_by_stage(reports).get_xlabel()
    assert "M MACs" in viz.macs_dense_vs_sttf(run).get_xlabel()


def test_sightings_show_every_box_with_its_score_and_say_which_colour_is_what(run):
    figure = viz.sightings(run)
    assert [ax.get_title() for ax in figure.axes] == ["window 1", "window 3", "window 5", ""]
    for ax in figure.axes[:3]:
        assert [text.get_text() for text in ax.texts] == ["93%", "40%"]
        assert len(ax.patches) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["head", "hand"]


def test_sightings_of_a_model_without_boxes_are_refused(run):
    with pytest.raises(UsageError, match="draws no boxes; use one with a box head"):
        viz.sightings(dataclasses.replace(run, sightings=()))


def test_overview_draws_snapshots_rasters_tokens_and_labels(run):
    figure = viz.overview(run)
    figure.canvas.draw()
    titles = [ax.get_title() + ax.get_title(loc="left") for ax in figure.axes]
    assert [title.split("\n")[0] for title in titles[:4]] == [f"window {k}" for k in (1, 2, 3, 4)]
    assert [title.split(":")[0] for title in titles[4:7]] == ["F", "D", "H"]
    assert len(titles) == 9 and all(ax.has_data() for ax in figure.axes)
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 0
