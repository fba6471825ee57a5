"""A person's own graph with one mistake, written with NIR and read from its file.

Each is one line that names the file, the node and the cure. NIR's own type check is off when these
are written, as it is in several exporters.
"""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

from neurovlm.core.errors import GraphError, InputFileError
from neurovlm.spiking import nir_io
from neurovlm.spiking.dynamics import Dynamics

DT = 1e-3
FLOAT = Dynamics(precision="float64")
LOIHI = Dynamics(precision="loihi")


def lif(n=3, **changes):
    values = {"tau": 8 * DT, "r": 8.0, "v_leak": 0.0, "v_threshold": 50.0, "v_reset": 0.0} | changes
    return nir.LIF(**{label: np.full(n, float(value)) for label, value in values.items()})


def cuba(n=3, **changes):
    values = {"tau_syn": 4 * DT, "tau_mem": 8 * DT, "r": 8.0, "v_leak": 0.0, "v_threshold": 50.0}
    values |= {"v_reset": 0.0, "w_in": 4.0} | changes
    return nir.CubaLIF(**{label: np.full(n, float(value)) for label, value in values.items()})


def conv(size=(4, 4), channels=1, kernel=3):
    weight = np.ones((1, channels, kernel, kernel))
    return nir.Conv2d(size, weight, 1, 0, 1, 1, np.zeros(1))


def graph(*between, n_in=(3,), n_out=(3,), extra=(), edges=()):
    """Input, ``n0``, ``n1`` and so on in a row, output; ``extra`` nodes and ``edges``."""
    nodes = {"input": nir.Input({"input": np.array(n_in)})}
    nodes |= {f"n{i}": node for i, node in enumerate(between)}
    nodes["output"] = nir.Output({"output": np.array(n_out)})
    row = list(pairwise(nodes))
    return nir.NIRGraph(nodes | dict(extra), [*row, *edges], type_check=False)


def eye(value=1.0):
    return nir.Linear(np.eye(3) * value)


CASES = {
    "weights-too-wide": (graph(nir.Linear(np.ones((3, 5))), lif()), FLOAT, "node 'n0': takes 5 in"),
    "neurons-too-few": (graph(eye(), lif(2)), FLOAT, "edge 'n0' -> 'n1': (3,) does not fit (2,)"),
    "output-port": (graph(eye(), lif(), n_out=(4,)), FLOAT, "edge 'n1' -> 'output': (3,) does not"),
    "image-channels": (
        graph(conv(channels=2), lif(4), n_in=(1, 4, 4), n_out=(4,)),
        FLOAT,
        "node 'n0': kernel takes 2 channels, its input has 1",
    ),
    "image-size": (
        graph(conv(size=(5, 5)), lif(4), n_in=(1, 4, 4), n_out=(4,)),
        FLOAT,
        "node 'n0': made for inputs of (5, 5) (height, width), gets (4, 4); set input_shape",
    ),
    "image-too-small": (
        graph(conv(kernel=5), lif(4), n_in=(1, 4, 4), n_out=(4,)),
        FLOAT,
        "node 'n0': the kernel is larger than its input (1, 4, 4)",
    ),
    "image-flat": (graph(conv(), lif()), FLOAT, "node 'n0': a Conv2d needs an input of (channels"),
    "edge-to-nowhere": (
        graph(eye(), lif(), edges=[("n1", "n9")]),
        FLOAT,
        "edge 'n1' -> 'n9': there is no node 'n9'; remove the edge",
    ),
    "cycle-without-delay": (
        graph(eye(), lif(), extra={"a": eye(), "b": eye()}.items(),
              edges=[("n1", "a"), ("a", "b"), ("b", "a"), ("b", "n1")]),
        FLOAT,
        "a cycle without a neuron, which has no delay; put a neuron population into it",
    ),
    "no-output": (
        nir.NIRGraph({"input": graph().nodes["input"], "n": lif()}, [("input", "n")], {}, False),
        FLOAT,
        "a graph needs exactly one Output node, got none",
    ),
    "unconnected": (
        graph(eye(), lif(), extra={"x": eye()}.items()),
        FLOAT,
        "node 'x': leads from no population or input to a population; connect it or remove it",
    ),
    "tau-nan": (graph(eye(), lif(tau=np.nan)), FLOAT, "node 'n1': tau is NaN; give a number"),
    "tau-negative": (
        graph(eye(), lif(tau=-8 * DT)),
        FLOAT,
        "node 'n1': tau must be positive, got -0.008 s; give seconds",
    ),
    "tau-zero": (
        graph(eye(), cuba(tau_syn=0)),
        FLOAT,
        "node 'n1': tau_syn must be positive, got 0 s; give seconds",
    ),
    "tau-in-ms": (
        graph(eye(), cuba(tau_mem=DT / 2)),
        FLOAT,
        "node 'n1': tau_mem must be at least dt = 0.001 s, got 0.0005 s; use a smaller dt (--dt-ms",
    ),
    "r-nan": (graph(eye(), lif(r=np.nan)), FLOAT, "node 'n1': r is NaN; give a number"),
    "r-negative": (graph(eye(), lif(r=-1)), FLOAT, "node 'n1': r and w_in must be positive"),
    "threshold-nan": (graph(eye(), lif(v_threshold=np.nan)), FLOAT, "node 'n1': v_threshold is N"),
    "threshold-infinite": (
        graph(eye(), lif(v_threshold=np.inf)),
        FLOAT,
        "node 'n1': v_threshold must be finite, got inf; use nir.LI for neurons that never fire",
    ),
    "reset": (graph(eye(), lif(v_reset=-5)), FLOAT, "node 'n1': v_reset must be 0 on every"),
    "leak": (graph(eye(), cuba(v_leak=5)), FLOAT, "node 'n1': v_leak must be 0 on every backend"),
    "weight-nan": (graph(eye(np.nan), lif()), FLOAT, "node 'n0': weight[0, 0] is nan; give finite"),
    "weight-infinite": (
        graph(nir.Affine(np.eye(3), np.array([0, np.inf, 0])), lif()),
        FLOAT,
        "node 'n0': bias[1] is inf; give finite numbers",
    ),
    "weight-fraction": (graph(eye(1.5), cuba()), LOIHI, "node 'n0': Loihi precision needs integer"),
    "weight-range": (
        graph(eye(255 * 128 + 128), cuba()),
        LOIHI,
        "node 'n0': Loihi weights lie in -255..255 times one power of two up to 128, got 32768",
    ),
    "weight-odd-mixed": (
        graph(nir.Linear(np.array([[3.0, -5, 0], [0, 1, 0], [0, 0, 1]])), cuba()),
        LOIHI,
        "node 'n0': a mixed-sign matrix loses its lowest bit on Loihi and has odd weights; split",
    ),
    "threshold-range": (
        graph(eye(), cuba(v_threshold=131072)),
        LOIHI,
        "node 'n1': Loihi thresholds lie in 0..131071, got 131072..131072",
    ),
    "decay-range": (
        graph(eye(), cuba(tau_mem=DT, r=1)),
        LOIHI,
        "node 'n1': tau_mem gives a Loihi decay of 4096..4096, allowed is 0..4095; change",
    ),
    "bias-fraction": (
        graph(nir.Affine(np.eye(3), np.full(3, 0.5)), cuba()),
        LOIHI,
        "node 'n1': Loihi precision needs integer biases, got 0.5",
    ),
    "wrap": (
        graph(eye(255), cuba(tau_syn=4.096)),
        LOIHI,
        "node 'n1': u could reach",
    ),
    "delay-negative": (
        graph(nir.Delay(np.full(3, -DT)), eye(), lif()),
        FLOAT,
        "node 'n0': a delay must be a whole number of ticks of 0.001 s, got -0.001 s; round it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_in_a_file_is_named_with_its_cure(name, tmp_path):
    whole, dynamics, message = CASES[name]
    path = tmp_path / "own.nir"
    nir.write(str(path), whole)
    with pytest.raises(GraphError) as caught:
        nir_io.load(path, dynamics)
    got = str(caught.value)
    assert got.startswith(f"{path}: ")
    assert message in got
    assert "\n" not in got


def test_the_graph_they_all_come_from_is_sound(tmp_path):
    for i, (whole, dynamics) in enumerate(
        [(graph(eye(), lif()), FLOAT), (graph(eye(2), cuba(w_in=4096 / 1024, r=8)), LOIHI)]
    ):
        path = tmp_path / f"{i}.nir"
        nir.write(str(path), whole)
        assert nir_io.load(path, dynamics).network.output == "n1"


def test_a_leak_potential_is_a_constant_input(tmp_path):
    """NIR's LIF: tau dv/dt = v_leak - v + r I, so v_leak acts as an input of v_leak / r."""
    path = tmp_path / "own.nir"
    nir.write(str(path), graph(eye(), lif(v_leak=16)))
    assert nir_io.load(path, FLOAT).network.population("n1").bias.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("kind", [nir.LIF, nir.CubaLIF])
def test_parameters_of_different_sizes_never_reach_us(kind, tmp_path):
    """NIR refuses to read them; the message is one line and names the file."""
    path = tmp_path / "own.nir"
    node = lif() if kind is nir.LIF else cuba()
    node.v_threshold = np.ones(4)
    nir.write(str(path), graph(eye(), node))
    with pytest.raises(InputFileError, match="All parameters must have the same shape") as caught:
        nir_io.load(path)
    assert str(caught.value).startswith(f"{path}: cannot be read as a NIR graph")
