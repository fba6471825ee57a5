"""Graphs by name and from files."""

from __future__ import annotations

import pytest

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.frontend.detector import change_detector
from neurovlm.frontend.named import GRAPHS, graph_by_name
from neurovlm.spiking import nir_io
from neurovlm.spiking.contract import CASES


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("precision", ["loihi", "float32"])
def test_by_name(name, precision):
    graph = graph_by_name(name, precision)
    assert (graph.name, graph.dynamics.precision) == (name, precision)
    assert graph_by_name(name).dynamics.precision == "loihi"


def test_from_a_file_with_its_own_precision_or_another(tmp_path):
    path = tmp_path / "mine.nir"
    nir_io.save(change_detector(precision="float64"), path)
    assert graph_by_name(str(path)).dynamics.precision == "float64"
    assert graph_by_name(str(path), "loihi").hash == change_detector().hash


def test_the_tick_of_a_file_can_be_given(tmp_path):
    path = tmp_path / "g.nir"
    nir_io.save(CASES[0].build()[0], path)
    assert graph_by_name(str(path), "float64", dt_ms=0.5).dynamics.dt_s == 0.5e-3


def test_messages(tmp_path):
    with pytest.raises(UsageError, match=r"unknown graph 'resnet'; known are change-detector"):
        graph_by_name("resnet")
    with pytest.raises(UsageError, match=r"--dt-ms is for NIR files"):
        graph_by_name("patch-lif", dt_ms=2.0)
    with pytest.raises(InputFileError, match="no such NIR file"):
        graph_by_name(str(tmp_path / "none.nir"))
