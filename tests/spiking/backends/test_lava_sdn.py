"""Our delta and sigma-delta equations against Lava's own models, in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys

# 250 neurons, 500 ticks; thresholds from 1 (every change is sent) to one that holds back most
CODE = """
import numpy as np
from neurovlm.spiking.backends.lava.shim import import_lava
import_lava()
from lava.proc.sdn import models
from lava.proc.sdn.process import ActivationMode
from neurovlm.spiking.fixed_point import step_sigma_delta
from neurovlm.spiking.network import Kind, Population

def compare(kind, rectified, tag, vth):
    n, rng = 250, np.random.default_rng(7)
    dtype = np.int32 if tag == "Fixed" else np.float64
    bias = np.zeros(n) if kind is Kind.DELTA else rng.integers(-50, 50, n).astype(float)
    zero = np.zeros(n)
    ours = Population("x", (n,), zero, zero, zero + vth, bias, kind, rectified=rectified)
    cells = {name: np.zeros(n, np.int64) for name in ours.variables}
    name = f"Py{'Delta' if kind is Kind.DELTA else 'SigmaDelta'}Model{tag}"
    lava = getattr(models, name)({"act_mode": ActivationMode(rectified)})
    for variable in ("sigma", "act", "residue", "error"):
        setattr(lava, variable, np.zeros(n, dtype))
    lava.vth, lava.bias = np.array([vth], dtype), bias.astype(dtype)
    lava.cum_error = np.array([False])
    sent = 0
    for _ in range(500):
        a = rng.integers(-300, 301, n) * (rng.random(n) < 0.5)
        cells, payload = step_sigma_delta(ours, cells, a)
        if kind is Kind.DELTA:
            theirs = lava.delta_dynamics(a.astype(dtype))
            lava.act = a.astype(dtype)
        else:
            theirs = lava.dynamics(a.astype(dtype))
        assert np.array_equal(payload, theirs)
        assert np.array_equal(cells["act"], lava.act)
        assert np.array_equal(cells["residue"], lava.residue)
        sent += np.count_nonzero(payload)
    return sent

for tag in ("Fixed", "Float"):
    for kind, rectified in ((Kind.DELTA, 0), (Kind.SIGMA_DELTA, 0), (Kind.SIGMA_DELTA, 1)):
        every, many, few = (compare(kind, rectified, tag, vth) for vth in (1, 40, 300))
        assert every > many > few > 100, (every, many, few)
"""


def test_step_sigma_delta_is_lavas():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
