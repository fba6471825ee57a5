"""The hash of a graph: blind to order, changed by everything else."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import replace

import nir
import numpy as np
import pytest

from neurovlm.core.errors import GraphError

NUMBERS = {
    "conv": "weight stride padding dilation groups bias",
    "pool": "kernel_size stride padding",
    "cuba": "tau_syn tau_mem r w_in v_leak v_threshold v_reset",
    "lif": "tau r v_leak v_threshold v_reset",
    "if": "r v_threshold v_reset",
    "affine": "weight bias",
    "linear": "weight",
    "scale": "scale",
    "flat": "start_dim end_dim",
}


def test_order_of_nodes_and_edges_does_not_matter(chain):
    shuffled = dict(reversed(chain.nodes().items()))
    assert chain.build(shuffled, chain.edges[::-1]).hash == chain.build(chain.nodes()).hash


@pytest.mark.parametrize(
    ("name", "field"), [(name, f) for name, fields in NUMBERS.items() for f in fields.split()]
)
def test_every_number_matters(chain, name, field):
    node = copy.copy(chain.nodes()[name])
    value = np.array(getattr(node, field))
    value.flat[-1] += 1
    object.__setattr__(node, field, value)
    changed = copy.copy(chain.build(chain.nodes()))  # not built anew: it may be a bad graph now
    bare = nir.NIRGraph(chain.nodes(**{name: node}), chain.edges, type_check=False)
    object.__setattr__(changed, "nir", bare)
    assert changed.hash != chain.build(chain.nodes()).hash


def test_no_number_is_left_out_above(chain):
    for name, node in chain.nodes().items():
        numbers = {f for f, v in vars(node).items() if np.asarray(v).dtype.kind in "iuf"}
        assert numbers - {"input_shape"} == set(NUMBERS.get(name, "").split())


def test_what_nir_infers_does_not_matter(chain):
    """A convolution may leave its input's size out; another size than it is fed with is refused."""
    conv = chain.nodes()["conv"]
    open_ended = dataclasses.replace(conv, input_shape=None)
    assert chain.build(chain.nodes(conv=open_ended)).hash == chain.build(chain.nodes()).hash
    wrong = dataclasses.replace(conv, input_shape=(5, 4))
    with pytest.raises(GraphError, match=r"node 'conv': made for inputs of \(5, 4\)"):
        chain.build(chain.nodes(conv=wrong))


def test_dynamics_names_and_edges_matter(chain):
    base = chain.build(chain.nodes())
    recurrent = chain.nodes(back=nir.Linear(np.eye(3)))
    loop = [*chain.edges, ("cuba", "back"), ("back", "cuba")]
    around = [*chain.edges, ("linear", "back"), ("back", "cuba")]  # the same nodes
    renamed = {name.replace("conv", "kernel"): node for name, node in chain.nodes().items()}
    renamed_edges = [tuple(n.replace("conv", "kernel") for n in edge) for edge in chain.edges]
    graphs = [
        base,
        base.with_precision("float32"),
        replace(base, dynamics=replace(base.dynamics, dt_s=base.dynamics.dt_s / 2)),
        replace(base, dynamics=replace(base.dynamics, allow_wrap=True)),
        chain.build(recurrent, loop),
        chain.build(recurrent, around),
        chain.build(renamed, renamed_edges),
    ]
    assert len({graph.hash for graph in graphs}) == len(graphs)


def test_the_shape_of_the_input_matters(chain):
    def scaled(*shape):
        nodes = {
            "input": nir.Input({"input": np.array(shape)}),
            "s": nir.Scale(np.ones(16)),
            "n": nir.IF(np.full(16, 1e3), np.ones(16), np.zeros(16)),
            "output": nir.Output({"output": np.array([16])}),
        }
        return chain.build(nodes, [("input", "s"), ("s", "n"), ("n", "output")])

    assert scaled(1, 4, 4).hash != scaled(1, 2, 8).hash
