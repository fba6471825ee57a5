"""Copies of Hugging Face's vision towers: ViT, CLIP, SigLIP, DINOv2, and its registers.

The weights are copied; the model itself is not kept and may be deleted. With all patches active
the tokens are the model's ``last_hidden_state``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.sttf.config import Activation, EncoderConfig
from neurovlm.sttf.towers import SparseTower, TowerEmbed

SUPPORTED = "ViT, CLIP, SigLIP, DINOv2 and DINOv2 with registers"

_FAMILIES = (
    "vit",
    "clip_vision_model",
    "siglip_vision_model",
    "dinov2",
    "dinov2_with_registers",
)
_INSIDE = ("vision_model", "vit", "dinov2", "dinov2_with_registers")
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}

# Names of one thing in the families and in releases of transformers, after a layer's own prefix.
_LAYERS = ("layers", "encoder.layers", "encoder.layer")
_NORM1 = ("layernorm_before", "layer_norm1", "norm1")
_NORM2 = ("layernorm_after", "layer_norm2", "norm2")
_QKV = (
    ("attention.q_proj", "self_attn.q_proj", "attention.attention.query"),
    ("attention.k_proj", "self_attn.k_proj", "attention.attention.key"),
    ("attention.v_proj", "self_attn.v_proj", "attention.attention.value"),
)
_PROJ = ("attention.o_proj", "self_attn.out_proj", "attention.output.dense")
_MLP_IN = ("mlp.fc1", "mlp.weights_in", "intermediate.dense")
_GATE, _UP = ("mlp.gate_proj",), ("mlp.up_proj",)
_MLP_OUT = ("mlp.fc2", "mlp.down_proj", "mlp.weights_out", "output.dense")
_EMBED = (
    "embeddings.patch_embedding",
    "embeddings.patch_embeddings.projection",
)
_POSITION = ("embeddings.position_embedding.weight", "embeddings.position_embeddings")
_CLASS = ("embeddings.class_embedding", "embeddings.cls_token")
_LAST_NORM = ("layernorm", "post_layernorm")


@dataclass(frozen=True, eq=False)
class _Parts:
    """A tower taken apart."""

    config: EncoderConfig
    embed: TowerEmbed
    pooler: nn.Module | None
    weights: _Weights


class _Weights:
    """Tensors of a tower by what they are, whatever they are called."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        first = [name for name in _LAYERS if any(key.startswith(f"{name}.0.") for key in tensors)]
        if not first:
            raise UsageError(f"tower: no layers found in the model; supported are {SUPPORTED}")
        self.layers = first[0]

    def get(self, names: tuple[str, ...], prefix: str = "") -> Tensor | None:
        """The tensor under the first name that exists."""
        for name in names:
            if f"{prefix}{name}" in self.tensors:
                return self.tensors[f"{prefix}{name}"]
        return None

    def need(self, names: tuple[str, ...], prefix: str = "") -> Tensor:
        """The same, or an error that names what is missing."""
        found = self.get(names, prefix)
        if found is None:
            raise UsageError(
                f"tower: the model has no {prefix}{names[0]}; supported are {SUPPORTED}"
            )
        return found

    def linear(self, names: tuple[str, ...], prefix: str = "") -> tuple[Tensor, Tensor]:
        """Weight and bias; a bias that is missing is zero."""
        weight = self.need(tuple(f"{name}.weight" for name in names), prefix)
        bias = self.get(tuple(f"{name}.bias" for name in names), prefix)
        return weight, weight.new_zeros(len(weight)) if bias is None else bias

    def layer(self, index: int) -> dict[str, Tensor]:
        """State of our block from that of theirs."""
        prefix = f"{self.layers}.{index}."
        stacked = [self.linear(names, prefix) for names in _QKV]
        if self.get(tuple(f"{name}.weight" for name in _GATE), prefix) is None:
            mlp_in = [self.linear(_MLP_IN, prefix)]
        else:
            mlp_in = [self.linear(_GATE, prefix), self.linear(_UP, prefix)]
        pairs = {
            "norm1": [self.linear(_NORM1, prefix)],
            "qkv": stacked,
            "proj": [self.linear(_PROJ, prefix)],
            "norm2": [self.linear(_NORM2, prefix)],
            "mlp_in": mlp_in,
            "mlp_out": [self.linear(_MLP_OUT, prefix)],
        }
        state = {}
        for name, parts in pairs.items():
            state[f"{name}.weight"] = torch.cat([weight for weight, _ in parts])
            state[f"{name}.bias"] = torch.cat([bias for _, bias in parts])
        for number in (1, 2):
            scale = self.get((f"layer_scale{number}.lambda1",), prefix)
            if scale is not None:
                state[f"scale{number}"] = scale
        return state


def from_transformers(model: nn.Module) -> SparseTower:
    """Copy a vision tower; see `SparseViT.from_transformers`."""
    parts = _take_apart(_tower(model))
    sparse = SparseTower(parts.config, parts.embed, parts.pooler)
    reference = parts.embed.weight
    sparse.to(device=reference.device, dtype=reference.dtype)
    for index, block in enumerate(sparse.layers):
        block.load_state_dict(parts.weights.layer(index))
    if parts.config.final_norm:
        weight, bias = parts.weights.linear(_LAST_NORM)
        sparse.norm.load_state_dict({"weight": weight, "bias": bias})
    return sparse.eval()


def _tower(model: nn.Module) -> nn.Module:
    """The vision tower in a model that contains one, or the model itself."""
    children = dict(model.named_children())
    for name in _INSIDE:
        if name in children:
            return _tower(children[name])
    family = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if family not in _FAMILIES:
        raise UsageError(f"tower: {family} is not supported; supported are {SUPPORTED}")
    return model


def _take_apart(tower: nn.Module) -> _Parts:
    theirs = cast("Any", tower).config
    grid = _grid(theirs)
    weights = _Weights({name: value.detach() for name, value in tower.state_dict().items()})
    registers = weights.get(("embeddings.register_tokens",))
    token = weights.get(_CLASS)
    position = weights.need(_POSITION).reshape(-1, theirs.hidden_size)
    n_class = 0 if token is None else 1
    if len(position) != n_class + grid.n_patches:
        raise UsageError(
            f"tower: {len(position)} positions for {grid.n_patches} patches and {n_class} class "
            "tokens; an image size other than that of the positions is not supported"
        )
    prefix = position[:0] if token is None else token.reshape(1, -1) + position[:1]
    if registers is not None:
        prefix = torch.cat([prefix, registers.reshape(-1, theirs.hidden_size)])
    weight, bias = weights.linear(_EMBED)
    norm = copy.deepcopy(dict(tower.named_children()).get("pre_layrnorm"))
    is_clip = theirs.model_type == "clip_vision_model"
    embed = TowerEmbed(
        grid,
        weight.flatten(1).clone(),
        bias.clone(),
        position[n_class:].clone(),
        prefix.clone(),
        cast("nn.LayerNorm | None", norm),
    )
    config = _config(theirs, grid, weights, len(prefix), final_norm=not is_clip)
    return _Parts(config, embed, _pooler(tower, theirs.model_type), weights)


def _grid(theirs: Any) -> PatchGrid:
    sides = []
    for name in ("image_size", "patch_size"):
        value = getattr(theirs, name)
        height, width = value if isinstance(value, (list, tuple)) else (value, value)
        if height != width:
            raise UsageError(
                f"tower: {name} must be square, got {height} x {width}; "
                "rectangular images and patches are not supported"
            )
        sides.append(height)
    image, patch = sides
    if image % patch:
        raise UsageError(
            f"tower: image_size must be a multiple of patch_size, got {image} and {patch}"
        )
    return PatchGrid(image // patch, patch)


def _config(
    theirs: Any, grid: PatchGrid, weights: _Weights, n_prefix: int, *, final_norm: bool
) -> EncoderConfig:
    state = weights.layer(0)
    hidden = state["mlp_out.weight"].shape[1]
    doubled = len(state["mlp_in.weight"]) == 2 * hidden
    act = str(theirs.hidden_act)
    if not doubled and act not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise UsageError(f"tower: hidden_act {act!r} is not supported; supported are {known}")
    return EncoderConfig(
        dim=theirs.hidden_size,
        depth=theirs.num_hidden_layers,
        heads=theirs.num_attention_heads,
        channels=theirs.num_channels,
        grid_side=grid.side,
        patch=grid.patch,
        hidden=hidden,
        activation="swiglu" if doubled else _ACTIVATIONS[act],
        eps=theirs.layer_norm_eps,
        layer_scale="scale1" in state,
        final_norm=final_norm,
        n_prefix=n_prefix,
    )


class _ClassToken(nn.Module):
    """The class token, normalised in CLIP."""

    def __init__(self, norm: nn.Module | None) -> None:
        super().__init__()
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, tokens: Tensor) -> Tensor:
        return cast("Tensor", self.norm(tokens[:, 0]))


def _pooler(tower: nn.Module, family: str) -> nn.Module | None:
    children = dict(tower.named_children())
    if family == "clip_vision_model":
        return _ClassToken(copy.deepcopy(children["post_layernorm"]))
    if family.startswith("dinov2"):
        return _ClassToken(None)
    return copy.deepcopy(children.get("head" if family == "siglip_vision_model" else "pooler"))
