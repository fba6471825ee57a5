"""``neurovlm train`` and ``neurovlm evaluate``: models from recipes, and what they are worth."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from neurovlm.core.errors import UsageError


def train(
    out: Annotated[Path, typer.Option("--out", help="Folder for the model and its history.")],
    recipe: Annotated[
        str, typer.Option("--recipe", help="Name of a recipe, or a TOML file.")
    ] = "sttf-tiny",
    data: Annotated[
        str,
        typer.Option(
            "--data", help="scenes, nmnist:PATH, dvs128:FOLDER, or a folder of labelled recordings."
        ),
    ] = "scenes",
    seed: Annotated[int, typer.Option("--seed", min=0, help="First weights and batches.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT's checkpoint.")] = False,
    start: Annotated[
        str | None, typer.Option("--start", help="Begin from the weights of this model.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="Larger model to learn from, dense.")
    ] = None,
    detector: Annotated[
        str, typer.Option("--detector", help="Change detector: hand or learned.")
    ] = "hand",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of products.")] = 1,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that render, or see recordings.")
    ] = 1,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Stop after this much processor time.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder of rendered clips; default OUT/clips.")
    ] = None,
) -> None:
    """Train a model by a recipe; the same recipe and seed give the same model."""
    import torch

    from neurovlm.frontend.detect import Frontend
    from neurovlm.frontend.detector import DetectorConfig
    from neurovlm.training import run
    from neurovlm.training.distributed import joined
    from neurovlm.training.recipe import RunConfig, read_recipe
    from neurovlm.training.recordings import recorded_data
    from neurovlm.training.sources import scene_data
    from neurovlm.zoo.load import load

    if device not in ("cpu", "cuda"):
        raise UsageError(f"--device must be cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this machine has none that torch can use; use cpu")
    torch.set_num_threads(threads)
    told, config = read_recipe(recipe), DetectorConfig()
    first, larger = (None if name is None else load(name)[0] for name in (start, teacher))
    frontend = Frontend.build(config, detector=cast("Any", detector), window_ms=told.spec.window_ms)
    steps = sum(stage.steps for stage in told.stages)
    with joined(device) as world, _bar(steps, world.is_first) as (seen, report):
        if data == "scenes":
            with world.first_ahead():
                loaded = scene_data(told, frontend, cache or out / "clips", workers, seen)
        else:
            loaded, told = recorded_data(data, told, frontend, seed, workers, seen)
        workers = max(1, workers // world.size)
        path = run.train(
            told,
            loaded,
            config,
            RunConfig(
                out, seed, resume, workers, math.inf if minutes is None else 60 * minutes, device
            ),
            start=first,
            teacher=larger,
            world=world,
            report=report,
        )
    if world.is_first:
        typer.echo(path)


@contextmanager
def _bar(n_steps: int, shown: bool) -> Iterator[tuple[Callable[[int], None], Callable[..., None]]]:
    """Progress on stderr, on a terminal only: clips seen; steps, and accuracy at the last look."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("front end", total=n_steps)

        def seen(done: int) -> None:
            bar.update(task, description=f"front end: {done} done")

        def report(name: str, progress: Any, scores: dict[str, float] | None) -> None:
            told = "" if scores is None else f", held out {scores['held_out_accuracy']:.1%}"
            losses = ", ".join(f"{k} {v:.3f}" for k, v in progress.losses.items())
            bar.update(task, advance=1, description=f"{name} {progress.step}: {losses}{told}")

        yield seen, report


@contextmanager
def _parts() -> Iterator[Callable[[int, int], None]]:
    """Progress over the parts of an evaluation, as in `_bar`."""
    console = Console(stderr=True)
    columns = (TextColumn("scoring"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def evaluate(
    model: Annotated[str, typer.Argument(help="Name in the zoo, or a .safetensors file.")],
    data: Annotated[
        str, typer.Option("--data", help="scenes, or recordings as for neurovlm train.")
    ] = "scenes",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the scores and pictures.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Performances and noise.")] = 3,
    subjects: Annotated[int, typer.Option("--subjects", min=1, help="Unseen subjects.")] = 20,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 1,
    save: Annotated[
        bool, typer.Option("--save", help="Write the scores into the model's card.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a model on people it never saw, beside its dense twin and controls."""
    import torch

    from neurovlm.training import figures
    from neurovlm.training.evaluate import read_history
    from neurovlm.zoo.load import card_path, load, write_card

    torch.set_num_threads(1)
    loaded, card = load(model)
    with _parts() as report:
        scores, tables = _scored(model, loaded, card, data, (seeds, subjects, workers, report))
    if out is not None:
        looks = read_history(card_path(model))
        figures.write(out, looks, tables, card.spec.labels)
        text = json.dumps({**scores, "history": looks}, indent=1) + "\n"
        (out / "scores.json").write_text(text, encoding="utf-8")
    if save:
        write_card(dataclasses.replace(card, scores=scores), card_path(model))
    if as_json:
        typer.echo(json.dumps(scores))
        return
    _print_scores(scores)


def _scored(
    name: str, model: Any, card: Any, data: str, how: tuple[int, int, int, Callable[..., None]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores and confusion tables on scenes or on recordings."""
    from neurovlm.frontend.detect import Frontend
    from neurovlm.pipeline import Pipeline
    from neurovlm.training.evaluate import compare, confusion, evaluate, name_recordings
    from neurovlm.training.recordings import recorded_clips

    if data != "scenes":
        frontend = Frontend.build(card.detector, window_ms=card.spec.window_ms)
        clips = recorded_clips(data, frontend, how[2])
        scores, sparse, _ = compare(model, clips)
        return {"recordings": scores}, {"recordings": confusion(sparse, len(card.spec.labels))}
    seeds, subjects, workers, report = how
    scored: dict[str, Any]
    scored, tables = evaluate(
        model, card, seeds=seeds, n_subjects=subjects, workers=workers, report=report
    )
    folder = os.environ.get("NEUROVLM_DATA")
    if folder:
        pipeline = Pipeline.load(name)
        rows = name_recordings(pipeline, Path(folder) / "events_gesture" / "dvs128_gesture")
        right = sum(row["true"] == row["given"] for row in rows)
        scored["real"] = {"named": right, "recordings": len(rows), "each": rows}
    return scored, tables


def _print_scores(scores: dict[str, Any]) -> None:
    from neurovlm.training.evaluate import TARGETS, flat

    table = Table("score", "value", "target", box=None)
    for name, value in flat(scores).items():
        bound, limit = TARGETS.get(name, ("", ""))
        table.add_row(name, f"{value:.4g}", f"{bound} {limit}".strip())
    for row in scores.get("real", {}).get("each", []):
        table.add_row(row["file"], f"{row['given']} ({row['confidence']:.2f})", row["true"])
    Console(width=100).print(table)
