"""Scores of a model on unseen subjects, beside the controls that say whether they mean anything.

``python -m neurovlm.training.evaluate --model sttf-tiny --seeds 3``
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
import typer

from neurovlm.events.scenes.caption import LABELS, slots_of
from neurovlm.events.scenes.subject import TEST_SEEDS, TRAIN_SEEDS
from neurovlm.frontend.detect import Frontend
from neurovlm.language.metrics import slot_score
from neurovlm.training.controls import (
    COUNT_LIMIT,
    IMAGE_LIMIT,
    SHUFFLE_LIMIT,
    LinearControl,
    count_features,
    image_features,
)
from neurovlm.training.data import ClipSet, encode_captions, make_clips
from neurovlm.training.loop import Batch, Plan, unroll
from neurovlm.zoo.load import card_path, load, write_card
from neurovlm.zoo.model import SttfModel

MIN_SUBJECTS = 20
FIRST_SCORED = 1000
"""Test subjects before this one were looked at often while the model was made. For the shipped
weights the twenty from here on were scored too before the number of epochs was settled."""
CHUNK = 22  # clips run side by side


@dataclass(frozen=True)
class Reading:
    """What a model made of some clips.

    Attributes
    ----------
    accuracy
        Share of labels right after the last window.
    slots, exact, by_slot
        Caption slots right, captions right as a whole, accuracy of each slot.
    mean_active
        Tokens computed per window, the first dense step included.
    """

    accuracy: float
    slots: float
    exact: float
    by_slot: dict[str, float]
    mean_active: float


@torch.no_grad()
def read(
    model: SttfModel,
    clips: ClipSet,
    *,
    dense: bool = False,
    shuffle: np.random.Generator | None = None,
) -> Reading:
    """Run a model over clips and compare with the truth after the last window.

    Parameters
    ----------
    model, clips
        What to run on what; frames are shown where the clips have them.
    dense
        The dense twin: compute all tokens in every window.
    shuffle
        Shuffle the windows of each clip.
    """
    n_windows = clips.n_windows
    plan = Plan(
        captions=frozenset({n_windows - 1}),
        dense=frozenset(range(n_windows) if dense else ()),
    )
    hits, n_active, said = [], [], []
    for batch in _chunks(model, clips, shuffle):
        seen = unroll(model, batch, plan)
        last = seen.states[:, -1]
        hits.append(model.head.label(last).argmax(-1) == batch.label)
        n_active.append(seen.n_active.double().mean(1))
        memory = seen.memories[n_windows - 1]
        context = model.decoder.context(last, memory.patches, batch.score[:, -1], memory.age)
        ids, _ = model.decoder.generate(context)
        said += [slots_of(model.tokenizer.decode(row)) for row in ids.tolist()]
    score = slot_score(said, _true_slots(clips))
    return Reading(
        accuracy=float(torch.cat(hits).double().mean()),
        slots=score.accuracy,
        exact=score.exact,
        by_slot=score.by_slot,
        mean_active=float(torch.cat(n_active).mean()),
    )


def _true_slots(clips: ClipSet) -> list[dict[str, str]]:
    """Slots that can be seen: colour only with frames."""
    hidden = set() if clips.frames is not None else {"colour"}
    return [{k: v for k, v in slots.items() if k not in hidden} for slots in clips.slots]


def _chunks(
    model: SttfModel, clips: ClipSet, shuffle: np.random.Generator | None
) -> Iterator[Batch]:
    policy = model.spec.policy
    for first in range(0, len(clips), CHUNK):
        part = slice(first, first + CHUNK)
        n, n_windows = clips.changed[part].shape[:2]
        order = np.tile(np.arange(n_windows), (n, 1))
        if shuffle is not None:
            order = shuffle.permuted(order, axis=1)
        row = np.arange(n)[:, None]
        yield Batch(
            counts=torch.from_numpy(np.stack([c.dense() for c in clips.counts[part]])[row, order]),
            frames=None if clips.frames is None else torch.from_numpy(clips.frames[part]),
            changed=torch.from_numpy(clips.changed[part][row, order]),
            score=torch.from_numpy(clips.score[part][row, order]),
            label=torch.from_numpy(clips.label[part]),
            words=encode_captions(_true_slots(clips)[part], model.tokenizer),
            max_active=torch.full((n,), policy.max_active),
            n_refresh=torch.full((n,), policy.n_refresh),
        )


@dataclass(frozen=True, eq=False)
class TrainingSide:
    """What every seed is compared with.

    Attributes
    ----------
    accuracy
        The model's on clips it was trained on.
    counts, images
        Controls fitted to clips of training subjects.
    """

    accuracy: float
    counts: LinearControl
    images: LinearControl


def training_side(
    model: SttfModel, frontend: Frontend, n_subjects: int, n_linear: int
) -> TrainingSide:
    """Read the first ``n_subjects`` training subjects, fit controls to the first ``n_linear``."""
    clips = make_clips(TRAIN_SEEDS[:n_subjects], frontend, with_frames=False)
    parts = [(clips.label, count_features(clips), image_features(clips))]
    for seed in TRAIN_SEEDS[n_subjects:n_linear]:
        more = make_clips([seed], frontend, with_frames=False)
        parts.append((more.label, count_features(more), image_features(more)))
    label, counts, images = (np.concatenate(column) for column in zip(*parts, strict=True))
    accuracy = read(model, clips).accuracy
    return TrainingSide(
        accuracy, LinearControl.fit(counts, label), LinearControl.fit(images, label)
    )


def evaluate_seed(
    model: SttfModel, frontend: Frontend, seed: int, n_subjects: int, training: TrainingSide
) -> dict[str, Any]:
    """All scores of one seed: other performances and other noise of the same unseen subjects."""
    subjects = TEST_SEEDS[FIRST_SCORED : FIRST_SCORED + n_subjects]
    test = make_clips(subjects, frontend, with_frames=True, repetition=seed)
    events = replace(test, frames=None)  # as an event camera alone sees them
    sparse, twin = read(model, events), read(model, events, dense=True)
    shuffled = read(model, events, shuffle=np.random.default_rng(seed))
    with_frames = read(model, test)
    return {
        "label_accuracy": sparse.accuracy,
        "label_accuracy_with_frames": with_frames.accuracy,
        "train_label_accuracy": training.accuracy,
        "train_test_gap": training.accuracy - sparse.accuracy,
        "caption_slot_accuracy": sparse.slots,
        "caption_slot_accuracy_with_frames": with_frames.slots,
        "caption_exact_with_frames": with_frames.exact,
        "dense_label_accuracy": twin.accuracy,
        "retention": sparse.accuracy / twin.accuracy,
        "mean_active_tokens": sparse.mean_active,
        "control_counts": training.counts.accuracy(count_features(test), test.label),
        "control_image": training.images.accuracy(image_features(test), test.label),
        "control_shuffled": shuffled.accuracy,
        **{f"slot_{name}": share for name, share in with_frames.by_slot.items()},
    }


def evaluate(
    model: SttfModel, frontend: Frontend, n_seeds: int, n_subjects: int, n_linear: int
) -> dict[str, Any]:
    """Mean, lowest and highest of every score over ``n_seeds`` seeds."""
    training = training_side(model, frontend, n_subjects, n_linear)
    runs = [evaluate_seed(model, frontend, seed, n_subjects, training) for seed in range(n_seeds)]
    values = {name: [run[name] for run in runs] for name in runs[0]}
    scores = {
        name: {"mean": float(np.mean(v)), "low": min(v), "high": max(v)}
        for name, v in values.items()
    }
    return {
        "test_subjects": n_subjects,
        "seeds": n_seeds,
        "clips_per_seed": len(LABELS) * n_subjects,
    } | scores


TARGETS = {
    "label_accuracy": ("at least", 0.95),
    "train_test_gap": ("at most", 0.03),
    "caption_slot_accuracy": ("at least", 0.90),
    "caption_slot_accuracy_with_frames": ("at least", 0.90),
    "control_counts": ("below", COUNT_LIMIT),
    "control_image": ("below", IMAGE_LIMIT),
    "control_shuffled": ("below", SHUFFLE_LIMIT),
}


def main(
    model: Annotated[str, typer.Option(help="name in the zoo or .safetensors file")] = "sttf-tiny",
    seeds: Annotated[int, typer.Option(min=1, help="performances and noise")] = 3,
    subjects: Annotated[int, typer.Option(min=1, help="unseen test subjects")] = MIN_SUBJECTS,
    linear_subjects: Annotated[
        int, typer.Option(min=1, help="training subjects of the linear controls")
    ] = 60,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    save: Annotated[bool, typer.Option(help="write the scores into the model's card")] = False,
) -> None:
    """Print a model's scores on unseen subjects beside targets and controls."""
    torch.set_num_threads(threads)
    loaded, card = load(model)
    frontend = Frontend.build(card.detector, window_ms=card.spec.window_ms)
    scores = evaluate(loaded, frontend, seeds, subjects, linear_subjects)
    for name, value in scores.items():
        if not isinstance(value, dict):
            typer.echo(f"{name:36} {value}")
            continue
        bound, limit = TARGETS.get(name, ("", None))
        target = "" if limit is None else f"{bound} {limit}"
        line = (
            f"{name:36} {value['mean']:8.4f}  [{value['low']:.4f}, {value['high']:.4f}]  {target}"
        )
        typer.echo(line.rstrip())
    if save:
        write_card(replace(card, scores=scores), card_path(model))


if __name__ == "__main__":
    typer.run(main)
