"""A missing package says who needs it and how to get it."""

from __future__ import annotations

import math

import pytest

from neurovlm.core.errors import MissingComponentError
from neurovlm.core.optional import require


def test_returns_the_module():
    assert require("math", "this test") is math


def test_a_missing_package_is_named_with_its_command():
    with pytest.raises(MissingComponentError) as caught:
        require("no_such_package.part", "the demo")
    message = str(caught.value)
    assert "the demo needs the package 'no_such_package'" in message
    assert "pip install no_such_package" in message
    assert "\n" not in message


def test_extras_are_installed_by_their_own_name(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "snntorch", None)
    with pytest.raises(MissingComponentError, match=r'pip install "neurovlm\[snntorch\]"'):
        require("snntorch", "the snntorch backend")
