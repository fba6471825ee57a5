"""ModelSpec: every constant of a model, readable from and writable to a plain mapping."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes.boxes import BOX_CLASSES
from neurovlm.events.scenes.caption import LABELS, vocabulary
from neurovlm.language.decoder import DecoderConfig
from neurovlm.sttf.boxes import BoxConfig
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.thresholds import ThresholdConfig

T = TypeVar("T")


@dataclass(frozen=True)
class ModelSpec:
    """A whole model: encoder, policy, label head, decoder, labels and words.

    Attributes
    ----------
    name
        Name in the zoo.
    window_ms
        Window the model was trained on.
    encoder, policy, head, decoder
        Shapes and limits of the parts.
    thresholds
        Policy that chooses the gates' thresholds; None: they are ``encoder.gate_tau``.
    boxes, box_classes
        Head that draws boxes, and what it draws them around; None: the model draws none.
    labels
        Names of the classes, in the order of the probabilities.
    words
        Vocabulary of the captions.
    """

    name: str = "sttf-tiny"
    window_ms: int = 25
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    thresholds: ThresholdConfig | None = None
    boxes: BoxConfig | None = None
    box_classes: tuple[str, ...] = BOX_CLASSES
    labels: tuple[str, ...] = LABELS
    words: tuple[str, ...] = field(default_factory=vocabulary)

    def __post_init__(self) -> None:
        if self.thresholds is not None and self.encoder.gate_tau is None:
            raise UsageError("model: thresholds need gates; set encoder.gate_tau")
        if self.policy.n_uncertain and not self.encoder.uncertainty:
            raise UsageError("model: policy.n_uncertain needs encoder.uncertainty")
        if self.boxes is not None and self.boxes.n_classes != len(self.box_classes):
            raise UsageError(
                f"model: boxes.n_classes is {self.boxes.n_classes}, but box_classes names "
                f"{len(self.box_classes)}"
            )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> ModelSpec:
        """Build a spec from nested mappings; absent keys take their defaults.

        Raises
        ------
        UsageError
            For an unknown key, naming it and the known ones, or a value that does not fit.
        """
        return config_from_mapping(cls, mapping, "model")

    def to_mapping(self) -> dict[str, Any]:
        """Nested plain mapping; the inverse of `from_mapping`."""
        return dataclasses.asdict(self)


def config_from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str) -> T:
    """Build a configuration dataclass from nested mappings; ``where`` opens every message.

    Raises
    ------
    UsageError
        For an unknown key or a value that does not fit.
    """
    _check_keys(cls, mapping, where)
    try:
        return TypeAdapter(cls).validate_python(dict(mapping))
    except ValidationError as error:
        first = error.errors()[0]
        ours = first.get("ctx", {}).get("error")  # raised by the dataclass itself: already clear
        if isinstance(ours, UsageError):
            raise UsageError(f"{where}: {ours}") from error
        place = ".".join(str(part) for part in (where, *first["loc"]))
        raise UsageError(f"{place}: {first['msg']}, got {first['input']!r}") from error


def _check_keys(cls: type, mapping: object, where: str) -> None:
    if not isinstance(mapping, Mapping):
        raise UsageError(f"{where}: expected a table of keys, got {mapping!r}")
    parts = {part.name: part for part in dataclasses.fields(cls)}
    for key, value in mapping.items():
        if key not in parts:
            raise UsageError(f"{where}: unknown key {key!r}; known are {', '.join(parts)}")
        factory = parts[key].default_factory
        if isinstance(factory, type) and dataclasses.is_dataclass(factory):
            _check_keys(factory, value, f"{where}.{key}")
