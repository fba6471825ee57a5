"""RunConfig: everything that decides a run, readable from and writable to TOML."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ConfigDict, TypeAdapter, ValidationError

from hw_models import Precision as DeployPrecision
from neurovlm.core.errors import UsageError
from neurovlm.core.grid import FITS, Fit
from neurovlm.frontend.detect import DETECTORS, DetectorName
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.spiking.backends.base import BACKENDS
from neurovlm.spiking.dynamics import Precision
from neurovlm.sttf.engine import ENGINES
from neurovlm.zoo.spec import config_from_mapping

DEFAULT_DEVICES = ("jetson-orin-nano", "snapdragon-8-gen-3", "loihi2+jetson-orin-nano", "loihi2")


@dataclass(frozen=True)
class RunConfig:
    """Settings of ``neurovlm run``; the fields of a config file.

    Attributes
    ----------
    backend, precision
        Where and in which arithmetic the spiking front end runs.
    model
        Name in the zoo, or path of a ``.safetensors`` file.
    engine
        What runs the encoder's layers, one of `neurovlm.sttf.engine.ENGINES`.
    window_ms
        Length of a window; one window is one inference.
    fit
        How the sensor is laid on the model's square grid.
    caption_every
        Windows between captions; the last window is captioned as well.
    caption_eps
        A caption is decoded anew when the mean of the token memory or the recurrent state moved
        by more than this share of itself since the last one that was; else that is repeated.
    devices
        Devices and systems to estimate.
    rate_hz
        Inferences per second the devices are asked for; 1000 / window_ms when None.
    deploy_precision
        Precision the ANN is costed at; each device's default when None.
    seed
        Seed of the Monte Carlo over device constants, and of the camera where a video is read.
    detector_name
        Which change detector says what changed: ``hand`` or ``learned``.
    detector
        Fields of `DetectorConfig` that replace those the model was trained behind; the learned
        detector takes the three of its support filter.
    spec
        Fields of the model's spec that replace the trained ones; nested as in `ModelSpec`.
    """

    backend: str = "fast"
    precision: Precision = Precision.LOIHI
    model: str = "sttf-tiny"
    engine: str = "plain"
    window_ms: float = 25.0
    fit: Fit = "crop"
    caption_every: int = 20
    caption_eps: float = 0.05
    devices: tuple[str, ...] = DEFAULT_DEVICES
    rate_hz: float | None = None
    deploy_precision: DeployPrecision | None = None
    seed: int = 0
    detector_name: DetectorName = "hand"
    detector: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            known = ", ".join(BACKENDS)
            raise UsageError(f"unknown backend {self.backend!r}; known are {known}")
        if self.engine not in ENGINES:
            known = ", ".join(ENGINES)
            raise UsageError(f"unknown engine {self.engine!r}; known are {known}")
        if self.fit not in FITS:
            raise UsageError(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")
        if self.detector_name not in DETECTORS:
            known = ", ".join(DETECTORS)
            raise UsageError(f"detector must be one of {known}, got {self.detector_name!r}")
        if not 0 < self.window_ms <= 255:
            raise UsageError(f"window_ms must be in (0, 255], got {self.window_ms:g}")
        if self.caption_every < 1:
            raise UsageError(f"caption_every must be at least 1, got {self.caption_every}")
        if not 0 <= self.caption_eps < float("inf"):
            raise UsageError(f"caption_eps must be at least 0, got {self.caption_eps}")
        if self.rate_hz is not None and not 0 < self.rate_hz < float("inf"):
            raise UsageError(f"rate_hz must be a positive number, got {self.rate_hz}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, got {self.seed}")

    def to_toml(self) -> str:
        """The config as TOML; fields that are None are left out."""
        return tomli_w.dumps(_without_none(dataclasses.asdict(self)))


_ADAPTER = TypeAdapter(RunConfig)


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Read a TOML file; ``overrides`` (from the command line) win.

    Raises
    ------
    UsageError
        When the file is missing, no TOML, or has an unknown or ill-typed key, or when the
        overrides do not fit.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(f"{file}: cannot read the config ({reason}); give a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: no valid TOML: {error}") from error
    config = make_config(data, where=str(file))
    return make_config({**data, **overrides}, where="options") if overrides else config


def make_config(values: Mapping[str, Any], *, where: str = "config") -> RunConfig:
    """Validate plain values.

    Raises
    ------
    UsageError
        For an unknown key or a value that does not fit, naming the key.
    """
    known = [f.name for f in dataclasses.fields(RunConfig)]
    for key in values:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")
    values = dict(values)
    if "detector" in values:
        values["detector"] = _detector_fields(values["detector"], f"{where}: detector")
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        ours = first.get("ctx", {}).get("error")  # raised by one of the dataclasses
        if isinstance(ours, UsageError):
            raise UsageError(f"{where}: {ours}") from error
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}: {key}: {first['msg']}, got {first['input']!r}") from error


def _detector_fields(given: Any, where: str) -> dict[str, Any]:
    """The given fields of a DetectorConfig, validated; a whole one stands for all its fields."""
    if isinstance(given, DetectorConfig):
        return dataclasses.asdict(given)
    valid = config_from_mapping(DetectorConfig, given, where)
    return {name: getattr(valid, name) for name in given}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else _plain(value)
        for key, value in values.items()
        if value is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Precision):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
