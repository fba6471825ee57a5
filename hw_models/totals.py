"""What to take for a network of which only some totals are known.

The defaults come from published networks with all columns known; they are marked as assumed, and
the models widen their intervals for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hw_models.ops import OpKind


@dataclass(frozen=True, slots=True)
class Typical:
    """What a class of networks usually has.

    Parameters
    ----------
    layers
        Graph layers.
    elements
        Elements written, as a multiple of what a uniform stack of convolutions writes, see
        :func:`typical_elements`.
    """

    layers: int
    elements: float


TYPICAL: Mapping[OpKind, Typical] = {
    OpKind.CNN: Typical(130, 1.2),
    OpKind.GROUPED_CNN: Typical(200, 1.6),
    OpKind.DW_CNN: Typical(200, 2.5),
    OpKind.VIT: Typical(500, 0.9),
    OpKind.HYBRID: Typical(400, 1.7),
    OpKind.LLM: Typical(1000, 1.0),
    OpKind.DECODE: Typical(1000, 1.0),
}


def typical_elements(kind: OpKind, macs: int, params: int, layers: int) -> int:
    """Activation elements that one sample writes, from the other totals.

    Half of the graph layers are taken as products of equal size: each has 2 params / layers
    weights, so a row of ``sqrt(2 params / layers)`` of them makes one output element. Networks of
    a class write a multiple of that (``TYPICAL``).
    """
    row = math.sqrt(2 * max(params, layers, 1) / max(layers, 1))
    return round(TYPICAL[kind].elements * macs / row)


def attention_elements(params: float, context: float) -> float:
    """Elements of keys and values that one decoded token attends to, by parameters and context.

    ``2 * layers * width * context``, with layers times width from the parameters: published
    decoders (Llama 2 and 3, Phi 3.5, Qwen 2.5; 1.2 to 8 billion parameters) have 0.026 to 0.040
    times ``params ** (2 / 3)``. Counted for all query heads, as a static graph computes them; a
    cache shared between heads is smaller.

    Parameters
    ----------
    params
        Parameters of the language model.
    context
        Tokens of context, for a static graph the length it was compiled for.
    """
    return float(2 * 0.033 * params ** (2 / 3) * context)
