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


class TestNorse(BackendContract):
    # Norse rounds v + k (i - v), the specification (1 - k) v + i: about 1e-16 a tick, and slow
    # decays keep thousands of ticks
    tolerance = 1e-12

    def backend(self):
        return get_backend("norse")


@pytest.mark.slow  # every run makes Brian2 generate its code again
class TestBrian2(BackendContract):
    def backend(self):
        return get_backend("brian2")


@pytest.mark.slow  # every run starts Lava in a child process
class TestLava(BackendContract):
    def backend(self):
        return get_backend("lava")
