"""A copied tower equals the model it was copied from, and refuses what it cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

from neurovlm.core.errors import UsageError
from neurovlm.sttf.block import Rows
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.towers import SparseTower, Watch
from neurovlm.sttf.vit import SparseViT

SIZE = {"num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 64, "patch_size": 8}
BASE = {**SIZE, "hidden_size": 32, "intermediate_size": 72}
DINO = {**SIZE, "hidden_size": 24, "mlp_ratio": 3}


def _dino_swiglu() -> nn.Module:
    return hf.Dinov2Model(hf.Dinov2Config(**DINO, use_swiglu_ffn=True, qkv_bias=False))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "vit": lambda: hf.ViTModel(hf.ViTConfig(**BASE)),
    "vit-no-bias-relu": lambda: hf.ViTModel(
        hf.ViTConfig(**BASE, qkv_bias=False, hidden_act="relu", num_channels=1)
    ),
    "clip": lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**BASE)),
    "clip-gelu": lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**BASE, hidden_act="gelu")),
    "siglip": lambda: hf.SiglipVisionModel(hf.SiglipVisionConfig(**BASE)),
    "dinov2": lambda: hf.Dinov2Model(hf.Dinov2Config(**DINO, layerscale_value=0.7)),
    "dinov2-swiglu": _dino_swiglu,
    "dinov2-registers": lambda: hf.Dinov2WithRegistersModel(
        hf.Dinov2WithRegistersConfig(**DINO, num_register_tokens=3)
    ),
}


def _model(name: str) -> nn.Module:
    """Weights random everywhere, norms, biases and scales too, so that nothing can hide."""
    torch.manual_seed(0)
    model = MODELS[name]().eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def _pixels(seed: int, channels: int = 3, n_streams: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_streams, channels, 64, 64, generator=generator)


def _error(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def _all(n_streams: int, n: int) -> Rows:
    return Rows(torch.arange(n).expand(n_streams, n), None)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_all_active_is_the_model_after_any_history(name: str) -> None:
    model = _model(name)
    sparse = SparseViT.from_transformers(model)
    channels = sparse.config.channels
    n = sparse.config.grid.n_patches
    memory = sparse.dense((_pixels(1, channels),))
    assert _error(memory.tokens, model(_pixels(1, channels)).last_hidden_state) < 1e-5
    for seed in range(2, 5):
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        index = torch.stack([order[:7], order[-7:]])
        valid = torch.arange(7).expand(2, 7) < torch.tensor([[7], [seed]])
        memory, _ = sparse.step((_pixels(seed, channels),), Rows(index, valid), memory)
    now = _pixels(9, channels)
    assert _error(memory.tokens, model(now).last_hidden_state) > 0.01  # there is a history
    memory, _ = sparse.step((now,), _all(2, n), memory)
    wanted = model(now)
    assert _error(memory.tokens, wanted.last_hidden_state) < 1e-5
    assert _error(sparse.pooled(memory), wanted.pooler_output) < 1e-5


def test_whole_models_are_asked_for_their_tower() -> None:
    torch.manual_seed(0)
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 50}
    small = {**text, "intermediate_size": 32}
    models = (
        hf.CLIPModel(hf.CLIPConfig(text_config=small, vision_config=BASE)),
        hf.SiglipModel(hf.SiglipConfig(text_config=small, vision_config=BASE)),
    )
    for model in models:
        model.eval()
        with torch.no_grad():
            wanted = model.vision_model(_pixels(3)).last_hidden_state
            found = SparseViT.from_transformers(model).dense((_pixels(3),)).tokens
        assert _error(found, wanted) < 1e-5
    classifier = hf.ViTForImageClassification(hf.ViTConfig(**BASE)).eval()
    sparse = SparseViT.from_transformers(classifier)
    with torch.no_grad():
        memory = sparse.dense((_pixels(3),))
        assert _error(memory.tokens, classifier.vit(_pixels(3)).last_hidden_state) < 1e-5
    with pytest.raises(UsageError, match="no pooler"):
        sparse.pooled(memory)


def test_weights_are_copied() -> None:
    model = _model("vit")
    sparse = SparseViT.from_transformers(model)
    before = sparse.dense((_pixels(1),)).tokens
    for parameter in model.parameters():
        parameter.zero_()
    assert torch.equal(sparse.dense((_pixels(1),)).tokens, before)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: hf.Dinov2Model(hf.Dinov2Config(**DINO, hidden_act="tanh")), "hidden_act 'tanh'"),
        (
            lambda: hf.ViTModel(hf.ViTConfig(**{**BASE, "image_size": (64, 32)})),
            "square, got 64 x 32",
        ),
        (
            lambda: hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**{**BASE, "hidden_size": 32})),
            "dinov3_vit is not supported; supported are ViT, CLIP",
        ),
        (lambda: nn.Linear(2, 2), "Linear is not supported; supported are ViT, CLIP"),
    ],
)
def test_other_models_are_refused(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SparseViT.from_transformers(build())


@pytest.fixture
def sparse() -> SparseTower:
    return SparseViT.from_transformers(_model("clip"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pixels: pixels[..., :56], r"must be \(streams, 3, 64, 64\), got \(2, 3, 64, 56\)"),
        (lambda pixels: pixels[:, :1], r"got \(2, 1, 64, 64\)"),
        (lambda pixels: pixels.double(), "must be torch.float32"),
        (lambda pixels: (255 * pixels).to(torch.uint8), "got torch.uint8"),
        (lambda pixels: pixels.index_fill(3, torch.tensor(5), torch.nan), "NaN or infinity"),
        (lambda pixels: pixels[:1], "each batch of streams keeps its own"),
    ],
)
def test_wrong_frames_leave_the_state_alone(
    sparse: SparseTower, change: Callable[[Tensor], Tensor], message: str
) -> None:
    _, state = sparse.watch(_pixels(1))
    kept = [value.copy() for value in state.sttf.memory.to_arrays().values()]
    with pytest.raises(UsageError, match=message):
        sparse.watch(change(_pixels(2)), state)
    after = state.sttf.memory.to_arrays().values()
    assert all((old == new).all() for old, new in zip(kept, after, strict=True))


def test_watch_computes_the_patches_that_changed(sparse: SparseTower) -> None:
    first = _pixels(1)
    tokens, state = sparse.watch(first)
    assert torch.equal(tokens, sparse.dense((first,)).tokens.detach())
    assert state.computed.all()
    second = first.clone()
    second[0, :, 8:16, 16:24] += 1  # row 1, column 2
    second[1, :, 56:, 56:] -= 1
    quiet = Watch(policy=PolicyConfig(max_active=8, n_refresh=0, idle_refresh=0))
    tokens, state = sparse.watch(second, state, quiet)
    assert state.computed[0].nonzero().flatten().tolist() == [10]
    assert state.computed[1].nonzero().flatten().tolist() == [63]
    again, later = sparse.watch(second, state, quiet)
    assert not later.computed.any()
    assert torch.equal(again, tokens)


def test_slow_drift_adds_up_until_it_is_computed(sparse: SparseTower) -> None:
    frame = _pixels(1, n_streams=1)
    quiet = Watch(threshold=0.1, policy=PolicyConfig(max_active=8, n_refresh=0, idle_refresh=0))
    _, state = sparse.watch(frame)
    computed = []
    for _ in range(8):
        frame = frame.clone()
        frame[..., :8, :8] += 0.04
        _, state = sparse.watch(frame, state, quiet)
        computed.append(bool(state.computed[0, 0]))
    assert computed == [False, False, True, False, False, True, False, False]


def test_where_nothing_is_left_to_save_everything_is_computed(sparse: SparseTower) -> None:
    whole = Watch(policy=PolicyConfig(max_active=64, n_refresh=64, idle_refresh=64))
    _, state = sparse.watch(_pixels(1))
    tokens, state = sparse.watch(_pixels(2), state, whole)
    assert _error(tokens, sparse.dense((_pixels(2),)).tokens) < 1e-5
