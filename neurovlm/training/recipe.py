"""Recipes: how a model is trained, stage after stage, as data.

A recipe is a TOML file or one of `RECIPES`; everything that decides the weights beside the seed
stands in it.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.language.decoder import DecoderConfig
from neurovlm.sttf.boxes import BoxConfig
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.thresholds import ThresholdConfig
from neurovlm.training.batch import Augmentation
from neurovlm.training.clips import Mixture
from neurovlm.training.thresholds import Spending
from neurovlm.training.variations import VARIATIONS
from neurovlm.zoo.spec import ModelSpec, config_from_mapping

Part = Literal["whole", "heads", "thresholds"]


@dataclass(frozen=True)
class Stage:
    """One stretch of training with one schedule.

    Attributes
    ----------
    name
        For messages and the history.
    part
        ``"whole"``: everything learns. ``"heads"``: the encoder is frozen and runs once over all
        clips; label head, box head and decoder learn on what it saw. ``"thresholds"``: only the
        policy of the gates' thresholds learns, behind a model that was trained before.
    steps
        Batches.
    extra
        Whether the scenes' extra subjects are among those trained on.
    learning_rate, warmup, weight_decay, clip_norm
        AdamW with linear warm-up over the share ``warmup`` of the steps and a cosine to 0.
    averaging
        The weights that are kept are a running mean, whose memory grows to
        ``1 / (1 - averaging)`` steps.
    box_windows
        Windows of a batch after which boxes are asked for, beside those of captions.
    first_window
        Labels count from this window on (16 windows of 25 ms: 0.4 s).
    learn_share
        Share of the windows in which the encoder learns: more clips for the same work.
    dense_share, part_dense_share
        Shares of batches in which all windows, or the one before a caption, are dense steps.
    teach_share
        Share of batches that are also shown to the teacher, dense, for the three next weights.
    token_weight, kl_weight, drift_weight
        Of the distance of tokens to the teacher's, of the divergence of labels, of the estimate
        of that distance by the drift head.
    label_weight, caption_weight, box_weight
        Of the losses by truth; in a stage of heads, one of weight 0 stays as it is.
    token_dropout, state_dropout
        Shares of a frozen encoder's tokens, and of the recurrent state, that go unseen (heads).
    quantise
        Round weights and activations of linear layers to eight bits while training.
    bfloat16
        Run products in bfloat16; weights, norms and losses stay in float32.
    check_every, patience
        Steps between looks at people held out; so many looks without a lower loss end the stage,
        and the weights of the lowest are kept. With 0 nothing is chosen: the last are kept.
    augmentation
        How batches vary.
    spending
        What a threshold policy is asked to spend.
    """

    name: str = "clips"
    part: Part = "whole"
    steps: int = 300
    extra: bool = False
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    averaging: float = 0.99
    box_windows: int = 2
    first_window: int = 16
    learn_share: float = 0.35
    dense_share: float = 0.0
    part_dense_share: float = 0.3
    teach_share: float = 0.0
    token_weight: float = 1.0
    kl_weight: float = 1.0
    drift_weight: float = 1.0
    label_weight: float = 1.0
    caption_weight: float = 0.5
    box_weight: float = 0.2
    token_dropout: float = 0.1
    state_dropout: float = 0.1
    quantise: bool = False
    bfloat16: bool = False
    check_every: int = 100
    patience: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    spending: Spending = field(default_factory=Spending)

    def __post_init__(self) -> None:
        if self.part not in get_args(Part):
            known = ", ".join(get_args(Part))
            raise UsageError(f"stage {self.name}: part must be one of {known}, got {self.part!r}")
        if min(self.steps, self.check_every) < 1:
            raise UsageError(
                f"stage {self.name}: steps and check_every must be at least 1, "
                f"got {self.steps} and {self.check_every}"
            )


@dataclass(frozen=True)
class Scenes:
    """Procedural subjects to train on.

    Attributes
    ----------
    subjects
        How many; a stage of the whole model takes the first ``whole_subjects``.
    whole_subjects
        Kept in memory, frames included.
    held_out
        Other subjects, by which early stopping goes; neither trained nor tested on.
    frames_every
        Every so many a subject has frames; most recordings have none.
    extra_subjects, extra_labels
        Further subjects, of whom only some gestures are rendered: those that are easily taken for
        each other.
    mixture
        Styles and motions.
    """

    subjects: int = 400
    whole_subjects: int = 400
    held_out: int = 6
    frames_every: int = 5
    extra_subjects: int = 0
    extra_labels: tuple[str, ...] = ("right hand wave", "arm roll", "other gestures")
    mixture: Mixture = field(default_factory=Mixture)


@dataclass(frozen=True)
class Recipe:
    """A model, the scenes it sees and the stages it goes through.

    Attributes
    ----------
    spec
        The model; labels are replaced by those of the data where it is no scene.
    scenes
        Where the data is scenes.
    stages
        In order.
    variants
        Varied forms of each recording where the data is recordings.
    vary
        How: a name of `neurovlm.training.variations.VARIATIONS`; "" takes what suits the set.
    mixed
        Share of the varied forms into which a part of another recording is mixed.
    """

    spec: ModelSpec = field(default_factory=ModelSpec)
    scenes: Scenes = field(default_factory=Scenes)
    stages: tuple[Stage, ...] = (Stage(),)
    variants: int = 4
    vary: str = ""
    mixed: float = 0.0

    def __post_init__(self) -> None:
        if self.vary and self.vary not in VARIATIONS:
            known = ", ".join(VARIATIONS)
            raise UsageError(f"recipe: vary must be one of {known}, got {self.vary!r}")
        if not 0 <= self.mixed <= 1:
            raise UsageError(f"recipe: mixed must be in [0, 1], got {self.mixed}")


@dataclass(frozen=True)
class RunConfig:
    """How to run a recipe.

    Attributes
    ----------
    out
        Folder of the model, its history and its checkpoint.
    seed
        Decides first weights and batches.
    resume
        Go on from the checkpoint in ``out``.
    workers
        Processes that render and encode.
    max_cpu_s
        Stop training after this much processor time.
    device
        ``"cpu"`` or ``"cuda"``.
    """

    out: Path
    seed: int = 0
    resume: bool = False
    workers: int = 1
    max_cpu_s: float = math.inf
    device: str = "cpu"


TINY = ModelSpec(
    name="sttf-tiny",
    encoder=EncoderConfig(dim=64, depth=2, heads=2, uncertainty=True),
    head=HeadConfig(kind="conv", channels=24, observed_dim=96),
    decoder=DecoderConfig(dim=64, depth=2, heads=4),
    boxes=BoxConfig(n_classes=3),
    policy=PolicyConfig(max_active=28, n_refresh=4, cut_interval=None),
)
"""A head by convolutions learned faster on the same clips than one with weights for every place; no
flood of events takes a window above the cap."""

HEADS = Augmentation(batch_size=48, n_windows=None, max_active=(20, 30), n_refresh=(6, 8), drop=0.1)

RECIPES = {
    "sttf-tiny": Recipe(
        spec=TINY,
        stages=(
            Stage(
                name="clips",
                steps=2800,
                extra=True,
                teach_share=0.06,
                box_weight=0.5,
                check_every=400,
            ),
            Stage(
                name="whole clips",
                steps=450,
                extra=True,
                learning_rate=7e-4,
                teach_share=0.06,
                box_weight=0.5,
                first_window=24,
                check_every=225,
                augmentation=Augmentation(n_windows=None),
            ),
            Stage(
                name="words and boxes",
                part="heads",
                steps=1600,
                weight_decay=0.1,
                averaging=0.998,
                label_weight=0.0,
                caption_weight=1.0,
                box_weight=1.0,
                check_every=800,
                augmentation=HEADS,
            ),
        ),
        scenes=Scenes(extra_subjects=300),
    ),
    "gated": Recipe(
        spec=replace(
            TINY,
            name="gated",
            encoder=replace(TINY.encoder, gate_tau=0.0),
            thresholds=ThresholdConfig(0.0, 1.5),
        ),
        scenes=Scenes(subjects=32, whole_subjects=32, frames_every=0),
        stages=(
            Stage(
                name="thresholds",
                part="thresholds",
                steps=400,
                learning_rate=0.03,
                weight_decay=0.0,
                averaging=0.97,
                first_window=10,
                check_every=200,
                augmentation=Augmentation(batch_size=16, n_windows=48, max_shift=0, drop=0.0),
            ),
        ),
    ),
    "recordings": Recipe(
        spec=replace(TINY, name="recordings"),
        stages=(
            Stage(
                name="clips",
                steps=200,
                learning_rate=1e-3,
                caption_weight=0.0,
                teach_share=0.1,
                check_every=25,
                patience=3,
            ),
        ),
        mixed=0.3,
    ),
    "quick": Recipe(
        spec=replace(TINY, name="quick"),
        scenes=Scenes(subjects=4, whole_subjects=4, held_out=1),
        stages=(Stage(name="clips", steps=6, check_every=3, teach_share=0.5),),
    ),
}
"""``sttf-tiny`` makes the shipped weights; begun from them, ``gated`` learns when to close the
gates and ``recordings`` other labels; ``quick`` shows in a minute that everything works."""


def read_recipe(recipe: str | Path) -> Recipe:
    """Recipe by name or from a TOML file.

    Raises
    ------
    UsageError
        For an unknown name or key, naming the known ones.
    InputFileError
        When the file cannot be read.
    """
    path = Path(recipe)
    if path.suffix != ".toml":
        if str(recipe) not in RECIPES:
            raise UsageError(
                f"no recipe {str(recipe)!r}; known are {', '.join(RECIPES)}, "
                "or give the path of a .toml file"
            )
        return RECIPES[str(recipe)]
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFileError(f"{path}: cannot read the recipe: {error}") from error
    stages = mapping.pop("stages", None)
    found = config_from_mapping(Recipe, mapping, str(path))
    if stages is None:
        return found
    if not isinstance(stages, list) or not stages:
        raise UsageError(f"{path}: stages must be tables [[stages]], at least one")
    read = (
        config_from_mapping(Stage, stage, f"{path}: stages.{k}") for k, stage in enumerate(stages)
    )
    return replace(found, stages=tuple(read))
