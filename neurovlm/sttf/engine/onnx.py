"""All layers of an encoder as an ONNX graph, run by ONNX Runtime.

The graph holds no remembered state and copies none: new rows attend to the remembered keys, of
which those about to be replaced are masked, and to the new ones beside them::

    P = softmax([q K^T + mask | q k^T]),   out = P[:, :R] V + P[:, R:] v

New keys and values are outputs, written into the banks after the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovlm.core.errors import MissingComponentError
from neurovlm.sttf.engine.fold import Affine, FoldedLayer
from neurovlm.sttf.engine.layers import Biases
from neurovlm.sttf.engine.pieces import Piece
from neurovlm.sttf.engine.quantise import quantise_channels

OPSET = 20
"""First version with Gelu."""

IR_VERSION = 9
MICROSOFT = "com.microsoft"


class OnnxLayers:
    """The layers as one session; pieces run one after the other.

    In ``int8`` a product's rows share one scale (ONNX Runtime's ``DynamicQuantizeMatMul``), its
    weights have one per output.
    """

    def __init__(
        self,
        layers: Sequence[FoldedLayer],
        heads: int,
        eps: float,
        activation: str,
        precision: str,
    ) -> None:
        onnx, runtime = _import("onnx"), _import("onnxruntime")
        self.depth = len(layers)
        self.heads = heads
        graph = _Graph(onnx, heads, eps, precision)
        model = graph.model(layers, activation)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self.session = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(
        self,
        x: Tensor,
        pieces: Sequence[Piece],
        keys: Sequence[Tensor],
        values: Sequence[Tensor],
        biases: Biases,
    ) -> Tensor:
        """Compute the rows of all pieces; see `TorchLayers`."""
        return torch.cat([self._run(x[p.stacked], p, keys, values) for p in pieces])

    def _run(
        self, x: Tensor, piece: Piece, keys: Sequence[Tensor], values: Sequence[Tensor]
    ) -> Tensor:
        mask = torch.zeros(keys[0].shape[-2])
        mask[piece.rows] = -math.inf
        feed: dict[str, NDArray[np.float32]] = {"x": x.numpy(), "mask": mask.numpy()}
        for layer in range(self.depth):
            feed[f"K{layer}"] = keys[layer][piece.stream].numpy()
            feed[f"V{layer}"] = values[layer][piece.stream].numpy()
        out, *new = map(torch.from_numpy, self.session.run(None, feed))
        for layer in range(self.depth):
            for bank, rows in ((keys, new[2 * layer]), (values, new[2 * layer + 1])):
                by_head = rows.view(len(rows), self.heads, -1).transpose(0, 1)
                bank[layer][piece.stream].index_copy_(1, piece.rows, by_head)
        return out


class _Graph:
    """Collects nodes and constants; every method returns the name of what it adds."""

    def __init__(self, onnx: Any, heads: int, eps: float, precision: str) -> None:
        self.onnx = onnx
        self.heads = heads
        self.eps = eps
        self.precision = precision
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **keys: Any) -> Any:
        names = [f"{kind}{len(self.nodes)}.{n}" for n in range(outputs)]
        node = self.onnx.helper.make_node(kind, list(inputs), names, domain=domain, **keys)
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def constant(self, value: NDArray[Any]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def product(self, x: str, affine: Affine) -> str:
        bias = self.constant(affine.bias.numpy())
        if self.precision == "fp32":
            return self.add(
                "Add", self.add("MatMul", x, self.constant(affine.weight.t().numpy())), bias
            )
        codes, scale = quantise_channels(affine.weight)
        packed, scales = self.constant(codes.t().numpy()), self.constant(scale.numpy())
        return self.add("DynamicQuantizeMatMul", x, packed, scales, "", bias, domain=MICROSOFT)

    def norm(self, x: str, dim: int) -> str:
        ones = self.constant(np.ones(dim, dtype=np.float32))
        return self.add("LayerNormalization", x, ones, epsilon=self.eps)

    def activation(self, x: str, name: str) -> str:
        if name in ("gelu", "gelu_tanh"):
            return self.add("Gelu", x, approximate="tanh" if name == "gelu_tanh" else "none")
        if name == "relu":
            return self.add("Relu", x)
        if name == "swiglu":
            gate, value = self.add("Split", x, outputs=2, axis=-1, num_outputs=2)
            return self.add("Mul", self.activation(gate, "silu"), value)
        slope = np.float32(1.702 if name == "quick_gelu" else 1.0)
        inner = self.add("Sigmoid", self.add("Mul", x, self.constant(np.array(slope))))
        return self.add("Mul", x, inner)

    def attention(self, qkv: str, layer: int, dim: int) -> tuple[str, str, str]:
        """Mixed rows ``(M, D)``, new keys and values ``(M, D)``."""
        shape = self.constant(np.array([0, self.heads, dim // self.heads]))
        flat = self.constant(np.array([0, dim]))
        rows = self.add("Split", qkv, outputs=3, axis=-1, num_outputs=3)
        query, key, value = (
            self.add("Transpose", self.add("Reshape", each, shape), perm=[1, 0, 2]) for each in rows
        )
        old = self.add("FusedMatMul", query, f"K{layer}", domain=MICROSOFT, transB=1)
        new = self.add("FusedMatMul", query, key, domain=MICROSOFT, transB=1)
        logits = self.add("Concat", self.add("Add", old, "mask"), new, axis=-1)
        weights = self.add("Softmax", logits, axis=-1)
        n_rows = self.add("Shape", "mask")
        axis = self.constant(np.array([2]))
        zero, end = self.constant(np.array([0])), self.constant(np.array([2**31 - 1]))
        to_old = self.add("Slice", weights, zero, n_rows, axis)
        to_new = self.add("Slice", weights, n_rows, end, axis)
        mixed = self.add(
            "Add", self.add("MatMul", to_old, f"V{layer}"), self.add("MatMul", to_new, value)
        )
        by_row = self.add("Transpose", mixed, perm=[1, 0, 2])
        return self.add("Reshape", by_row, flat), rows[1], rows[2]

    def model(self, layers: Sequence[FoldedLayer], activation: str) -> Any:
        """The whole model: ``x, mask, K.., V..`` -> ``x, k.., v..``."""
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        dim = len(layers[0].proj.weight)
        bank = [self.heads, "R", dim // self.heads]
        inputs = [("x", ["M", dim]), ("mask", ["R"])]
        x, outputs = "x", []
        for layer, folded in enumerate(layers):
            inputs += [(f"K{layer}", bank), (f"V{layer}", bank)]
            qkv = self.product(self.norm(x, dim), folded.qkv)
            mixed, key, value = self.attention(qkv, layer, dim)
            outputs += [key, value]
            x = self.add("Add", x, self.product(mixed, folded.proj))
            hidden = self.activation(self.product(self.norm(x, dim), folded.mlp_in), activation)
            x = self.add("Add", x, self.product(hidden, folded.mlp_out))
        graph = helper.make_graph(
            self.nodes,
            "encoder",
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
            [helper.make_tensor_value_info(name, kind, ["M", dim]) for name in (x, *outputs)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingComponentError(
            f"engine: kind='onnx' needs {name}; install it: pip install neurovlm[onnx]"
        ) from error
