"""Models on disk: ``NAME.safetensors`` with ``NAME.json`` beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as dump

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec, config_from_mapping

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""Folder of the shipped models."""

CARD_KEYS = ("spec", "detector", "seed", "training", "scores")


@dataclass(frozen=True)
class ModelCard:
    """What is known of a trained model beside its weights.

    Attributes
    ----------
    spec
        The model.
    detector
        The change detector it was trained behind.
    seed
        Seed of its training.
    training
        How it was trained: data, steps, time.
    scores
        What it reached, by name; empty until evaluated.
    """

    spec: ModelSpec
    detector: DetectorConfig
    seed: int
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)


def known_models() -> tuple[str, ...]:
    """Names of the shipped models."""
    return tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))


def card_path(model: str | Path) -> Path:
    """Where the card of a model lies, named as for `load`."""
    path = Path(model)
    if path.suffix == ".safetensors":
        return path.with_suffix(".json")
    if str(model) not in known_models():
        raise UsageError(
            f"no model {str(model)!r}; known are {', '.join(known_models())}, "
            "or give the path of a .safetensors file"
        )
    return WEIGHTS / f"{model}.json"


def load(model: str | Path) -> tuple[SttfModel, ModelCard]:
    """Load a model by name, or from a path ending in ``.safetensors``.

    Raises
    ------
    UsageError
        For an unknown name, naming the known ones.
    InputFileError
        For files that are missing, damaged or do not belong together.
    """
    card_file = card_path(model)
    card = _read_card(card_file)
    built = SttfModel(card.spec)
    built.load_state_dict(_read_weights(card_file.with_suffix(".safetensors"), built))
    return built.eval(), card


def save(model: SttfModel, card: ModelCard, folder: Path) -> Path:
    """Write both files into ``folder``, each whole or not at all; return the weights' path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.spec.name}.safetensors"
    partial = path.with_suffix(".partial")
    partial.write_bytes(dump({name: t.contiguous() for name, t in model.state_dict().items()}))
    partial.replace(path)
    write_card(card, path.with_suffix(".json"))
    return path


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card as JSON, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _read_card(path: Path) -> ModelCard:
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot read the model's card: {error}") from error
    if not isinstance(mapping, dict) or set(mapping) != set(CARD_KEYS):
        raise InputFileError(f"{path}: a model's card has the keys {', '.join(CARD_KEYS)}")
    try:
        spec = ModelSpec.from_mapping(mapping["spec"])
        detector = config_from_mapping(DetectorConfig, mapping["detector"], "detector")
    except UsageError as error:
        raise InputFileError(f"{path}: {error}") from error
    return ModelCard(spec, detector, mapping["seed"], mapping["training"], mapping["scores"])


def _read_weights(path: Path, model: SttfModel) -> dict[str, Any]:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputFileError(f"{path}: cannot read the weights: {error}") from error
    expected = model.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        wanted = tuple(expected[name].shape) if name in expected else "nothing"
        found = tuple(weights[name].shape) if name in weights else "nothing"
        if wanted != found:
            raise InputFileError(
                f"{path}: weights do not fit the spec beside them: {name} should be {wanted}, "
                f"is {found}"
            )
    return weights
