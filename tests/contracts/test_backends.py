"""Every backend against the shipped contract suite."""

from __future__ import annotations

import pytest

from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import BackendContract


class TestReference(BackendContract):
    def backend(self):
        return get_backend("reference")


class TestFast(BackendContract):
    def backend(self):
        return get_backend("fast")


class TestSnnTorch(BackendContract):
    def backend(self):
        return get_backend("snntorch")


@pytest.mark.slow  # every run starts Lava in a child process
class TestLava(BackendContract):
    def backend(self):
        return get_backend("lava")
