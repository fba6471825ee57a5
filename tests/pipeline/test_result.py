"""RunResult: derived figures and how it shows itself."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import pytest

from neurovlm.pipeline.result import package_versions


def test_derived_figures(pipeline, stream):
    result = pipeline.run(stream)
    executed, dense = (result.workload.total(which).macs for which in ("executed", "dense"))
    assert result.mac_ratio == dense / executed
    assert result.spiking.spikes == sum(len(train) for train in result.trace.spikes.values())
    assert result.spiking.neurons == 126 * 126 + 4 * 196 + 1
    assert result.n_windows == 10


def test_nothing_executed_is_an_infinite_ratio_not_a_crash(pipeline, stream):
    result = pipeline.run(stream)
    spiking = tuple(x for x in result.workload.layers if x.is_spiking)
    silent = dataclasses.replace(result.workload, layers=spiking)
    assert dataclasses.replace(result, workload=silent).mac_ratio == float("inf")


def test_html_is_escaped_and_balanced(pipeline, stream):
    result = pipeline.run(stream)
    info = dataclasses.replace(result.recording, path="<b>&.npz")
    html = dataclasses.replace(result, recording=info)._repr_html_()
    assert "&lt;b&gt;&amp;.npz" in html
    opened: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Balance().feed(html)
    assert opened == []


def test_versions_name_what_took_part():
    versions = package_versions()
    assert {"neurovlm", "numpy", "torch", "nir", "numba"} <= set(versions)


def test_absent_packages_are_left_out(monkeypatch):
    monkeypatch.setattr("neurovlm.pipeline.result._PACKAGES", ("numpy", "no-such-package"))
    assert list(package_versions()) == ["numpy"]


def test_results_are_frozen(pipeline, stream):
    result = pipeline.run(stream)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.workload = None
    with pytest.raises(ValueError, match="read-only"):
        result.mask.changed[0, 0] = True
