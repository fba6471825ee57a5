"""Vision towers of Hugging Face as sparse encoders: ViT, CLIP, SigLIP, DINOv2, and its registers.

The weights are copied; the model itself is not kept and may be deleted. With all patches active
the tokens are the model's ``last_hidden_state``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.sttf.change import frame_difference, renewed
from neurovlm.sttf.config import Activation, EncoderConfig
from neurovlm.sttf.memory import TokenMemory, take_rows
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.vit import SparseViT
from neurovlm.sttf.window import SttfState, encode_window

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


class TowerEmbed(nn.Module):
    """``x_i = LN(E pixels_i + position_i)`` for the chosen patches; LN in CLIP only.

    Parameters
    ----------
    grid
        Patches of the image.
    weight, bias
        ``(D, C * patch^2)`` and ``(D,)``, E.
    position
        ``(N, D)``.
    prefix
        ``(P, D)``, class token and registers, their positions added.
    norm
        Applied to everything, or None.
    """

    def __init__(
        self,
        grid: PatchGrid,
        weight: Tensor,
        bias: Tensor,
        position: Tensor,
        prefix: Tensor,
        norm: nn.LayerNorm | None,
    ) -> None:
        super().__init__()
        self.grid, self.channels = grid, weight.shape[1] // grid.patch**2
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.position, self.tokens = nn.Parameter(position), nn.Parameter(prefix)
        self.norm = norm

    @property
    def prefix(self) -> Tensor:
        """Embeddings of the tokens that stand for no patch, ``(P, D)``."""
        return self._normed(self.tokens)

    def patches(self, pixels: Tensor) -> Tensor:
        """Cut ``(B, C, H, W)`` into ``(B, N, C * patch^2)``.

        Raises
        ------
        UsageError
            For pixels of another size or type, and for NaN or infinity.
        """
        side = self.grid.pixels
        wanted = (self.channels, side, side)
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != wanted:
            raise UsageError(
                f"tower: pixels must be (streams, {self.channels}, {side}, {side}), "
                f"got {tuple(pixels.shape)}; use the model's own image processor"
            )
        if pixels.dtype != self.weight.dtype:
            raise UsageError(
                f"tower: pixels must be {self.weight.dtype} as the weights are, got {pixels.dtype};"
                " scale them as the model's image processor does, then convert"
            )
        if not bool(pixels.isfinite().all()):
            raise UsageError("tower: pixels hold NaN or infinity; leave the frame out or repair it")
        patch = self.grid.patch
        return functional.unfold(pixels, patch, stride=patch).transpose(1, 2)

    def forward(self, inputs: tuple[Tensor], index: Tensor | None = None) -> Tensor:
        """Embed the patches at ``index (B, k)``, or all of them, as ``(B, k, D)``."""
        patches = self.patches(inputs[0])
        position = self.position if index is None else self.position[index]
        chosen = patches if index is None else take_rows(patches, index)
        return self._normed(functional.linear(chosen, self.weight, self.bias) + position)

    def _normed(self, x: Tensor) -> Tensor:
        return x if self.norm is None else cast("Tensor", self.norm(x))


@dataclass(frozen=True)
class Watch:
    """How `SparseTower.watch` decides what to compute.

    Attributes
    ----------
    threshold
        Root mean square by which a patch differs from the frame it was computed on, in units of
        ``pixels``; see `neurovlm.sttf.change.frame_difference`.
    policy
        Limits. None: at most a sixth of the patches a frame, a quarter of these refreshed.
    """

    threshold: float = 0.1
    policy: PolicyConfig | None = None

    def limits(self, n_patches: int) -> PolicyConfig:
        """The policy for so many patches."""
        if self.policy is not None:
            return self.policy
        most = max(1, n_patches // 6)
        return PolicyConfig(max_active=most, n_refresh=most // 4, idle_refresh=min(1, most // 4))


class WatchState(NamedTuple):
    """What `SparseTower.watch` carries from frame to frame.

    Attributes
    ----------
    sttf
        Tokens, and what is owed to which patch.
    reference
        ``(B, N, C * patch^2)``, pixels each patch was last computed on.
    """

    sttf: SttfState
    reference: Tensor

    @property
    def computed(self) -> Tensor:
        """Patches computed in the last frame, bool ``(B, N)``; the others were reused."""
        return self.sttf.memory.age == 0


@dataclass(frozen=True, eq=False)
class _Parts:
    """A tower taken apart."""

    config: EncoderConfig
    embed: TowerEmbed
    pooler: nn.Module | None
    weights: _Weights = field(repr=False)


class SparseTower(SparseViT):
    """A vision tower of Hugging Face that computes the patches that changed.

    Made by `SparseViT.from_transformers`; ``dense`` and ``step`` take ``(pixels,)``, pixels as the
    model takes them, ``(B, C, H, W)``.
    """

    def __init__(self, config: EncoderConfig, embed: TowerEmbed, pooler: nn.Module | None) -> None:
        super().__init__(config, embed)
        self.pooler = pooler

    def pooled(self, memory: TokenMemory) -> Tensor:
        """What the model's own pooler makes of all tokens, remembered ones included, ``(B, D)``.

        Raises
        ------
        UsageError
            When the model has no pooler.
        """
        if self.pooler is None:
            raise UsageError("tower: this model has no pooler; read memory.tokens instead")
        return cast("Tensor", self.pooler(memory.tokens))

    @torch.no_grad()
    def watch(
        self, pixels: Tensor, state: WatchState | None = None, settings: Watch | None = None
    ) -> tuple[Tensor, WatchState]:
        """Take the next frame of each stream; compute what changed, reuse the rest.

        Parameters
        ----------
        pixels
            ``(B, C, H, W)`` as the model takes them.
        state
            Of the frame before, not changed; None at first, when everything is computed.
        settings
            When a patch has changed and how much may be computed; `Watch` by default.

        Returns
        -------
        tokens
            ``(B, R, D)``, as ``last_hidden_state`` of the model.
        state
            For the next frame; ``state.computed`` says what was.

        Raises
        ------
        UsageError
            For pixels the model does not take and the state of other streams or another model;
            before anything is computed.
        """
        settings = Watch() if settings is None else settings
        patches = cast("TowerEmbed", self.embed).patches(pixels)
        reference = patches if state is None else state.reference
        change = frame_difference(patches, reference, settings.threshold)
        policy = settings.limits(self.config.grid.n_patches)
        before = None if state is None else state.sttf
        out = encode_window(self, policy, (pixels,), change.changed, change.score, before)
        computed = out.state.memory.age == 0
        after = WatchState(out.state, renewed(reference, patches, computed))
        return out.state.memory.tokens, after


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
