"""The page."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from neurovlm.pipeline import Prediction
from neurovlm.report.html import merge_predictions, render_html
from neurovlm.report.pictures import Picture, draw_pictures

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Checks nesting, collects what loads something, images and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.images, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.loads += [values[key] for key in ("src", "href", "srcset", "data") if key in values]
        if tag == "img":
            self.images.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def pictures(result, reports):
    return draw_pictures(result, reports)


@pytest.fixture(scope="module")
def page(result, reports, pictures):
    return render_html(result, reports, pictures)


def test_nothing_is_loaded_from_elsewhere(page):
    assert not re.search(r"https?:|url\(|@import|<script|<link|//\w", page.split("base64,")[0])
    without_images = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"url\(|@import|<script|<link|<iframe", without_images)
    # addresses stand in the text of citations, never in what a browser would fetch
    assert not re.search(r"""=\s*["']?(https?:)?//""", without_images)
    assert all(each.startswith("data:image/png;base64,") for each in Page(page).loads)


def test_every_picture_is_embedded_whole_with_its_words(page, pictures):
    images = Page(page).images
    embedded = {base64.b64decode(image["src"].split(",")[1]) for image in images}
    assert embedded == {p.png for name, p in pictures.items() if name != "overview"}
    assert {image["alt"] for image in images} == {
        p.alt for name, p in pictures.items() if name != "overview"
    }


def test_every_device_stands_with_its_figures_and_sources(page, reports):
    text = Page(page).text
    for name, report in reports.items():
        assert name in text
        assert report.boundary in text
        assert all(note in text for note in report.notes)
        assert all(source in text for source in report.sources)
        assert all(each.name in text for each in report.dominant)
    assert text.index("Front end only: not a whole pipeline") > text.index("snapdragon-8-gen-3")


def test_what_is_estimated_is_called_so(page):
    text = " ".join(Page(page).text.split())
    assert "Estimated: energy, power and latency" in text
    assert "Measured on hardware: nothing on this page" in text


def test_settings_and_hash_are_on_the_page(page, result):
    text = Page(page).text
    assert result.workload.hash() in text
    assert "window_ms = 25.0" in text
    assert "[detector]" in text


def test_a_page_without_devices_says_nothing_of_cost(result, pictures):
    kept = {name: p for name, p in pictures.items() if name not in ("devices", "energy", "twin")}
    text = Page(render_html(result, {}, kept)).text
    assert "Cost on devices" not in text
    assert "Dense against STTF" in text


def test_names_are_escaped(result, reports):
    path = "/tmp/<script>alert(1)</script>.dat"
    odd = replace(result, recording=replace(result.recording, path=path))
    names = ("mask", "raster", "tokens", "labels", "macs", "devices", "energy", "twin")
    page = render_html(odd, reports, {n: Picture(b"", '"><script>', "<b>") for n in names})
    assert "<script>" not in page
    assert "<b>" not in page


def test_the_page_is_small(page):
    assert len(page) < 5_000_000


def test_predictions_that_say_the_same_are_drawn_together():
    said = merge_predictions(
        [
            Prediction(500_000, "wave", 0.5, "a wave", 0.9),
            Prediction(1_000_000, "wave", 0.7, "a wave", 0.9),
            Prediction(1_500_000, "wave", 0.6, "a quick wave", 0.9),
        ]
    )
    assert [(s.start_s, s.stop_s, s.confidence, s.caption) for s in said] == [
        (0.0, 1.0, 0.7, "a wave"),
        (1.0, 1.5, 0.6, "a quick wave"),
    ]
