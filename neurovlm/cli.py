"""The command line: ``neurovlm run|demo|simulate|convert|train|power|devices|validate|...``.

Exit codes: 0 done, 2 wrong usage, 3 bad input file, 4 a needed component is missing, 1 else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from typer.exceptions import TyperException

from neurovlm import cli_hardware, cli_train
from neurovlm.cli_convert import Dialect, NormInput, Reset, convert
from neurovlm.cli_hardware import Deploy, Device, Json, Rate, Seed
from neurovlm.core.errors import NeurovlmError, UsageError
from neurovlm.spiking.backends.base import BACKENDS
from neurovlm.spiking.dynamics import Precision

INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Simulate spiking vision-language pipelines and estimate what they cost in hardware.",
)

Backend = Annotated[
    str | None, typer.Option("--backend", help=f"One of {', '.join(BACKENDS)}; default fast.")
]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", help=f"One of {', '.join(Precision)}; default loihi.")
]
Model = Annotated[
    str | None, typer.Option("--model", help="Model of the zoo or path of a .safetensors file.")
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="Runs the encoder: plain, packed, packed-bf16, packed-int8, onnx or onnx-int8; "
        "default plain.",
    ),
]
Detector = Annotated[
    str | None, typer.Option("--detector", help="Change detector: hand or learned; default hand.")
]
WindowMs = Annotated[
    float | None, typer.Option("--window-ms", help="Window of one inference; default 25.")
]
FitOption = Annotated[
    str | None,
    typer.Option("--fit", help="Sensor on the square grid: crop (default), letterbox, stretch."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file with any of these and every constant.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the report and data.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")]
Sensor = Annotated[
    str | None, typer.Option("--sensor", help="Sensor size WxH, where the file does not say.")
]
Start = Annotated[
    float | None, typer.Option("--start", help="Seconds after the first event to start at.")
]
Stop = Annotated[
    float | None, typer.Option("--stop", help="Seconds after the first event to stop at.")
]
Sort = Annotated[bool, typer.Option("--sort", help="Accept events up to 10 ms out of order.")]
Recording = Annotated[
    Path, typer.Argument(help="Event-camera recording, or a video.", metavar="PATH")
]


@app.command(epilog="Example: neurovlm run hand.aedat4 --out out/hand --device jetson-nano")
def run(
    path: Recording,
    out: Out,
    backend: Backend = None,
    precision: PrecisionOption = None,
    model: Model = None,
    engine: EngineOption = None,
    detector: Detector = None,
    device: Device = None,
    rate: Rate = None,
    deploy_precision: Deploy = None,
    window_ms: WindowMs = None,
    fit: FitOption = None,
    config: Config = None,
    seed: Seed = None,
    sensor: Sensor = None,
    start: Start = None,
    stop: Stop = None,
    sort: Sort = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Run the pipeline on a recording or a video and estimate its cost on each device."""
    from neurovlm.events.io import open_recording

    pipeline = _prepare(
        out,
        overwrite,
        config,
        backend=backend,
        precision=precision,
        model=model,
        engine=engine,
        detector_name=detector,
        devices=device,
        rate_hz=rate,
        deploy_precision=deploy_precision,
        window_ms=window_ms,
        fit=fit,
        seed=seed,
    )
    recording = open_recording(
        path,
        sensor=_sensor(sensor),
        sort=sort,
        start_s=start,
        stop_s=stop,
        seed=pipeline.config.seed,
    )
    with _progress("windows") as progress:
        result = pipeline.run(recording, progress=progress)
    _finish(result, out, overwrite, as_json)


@app.command(epilog="Example: neurovlm demo --out out/demo")
def demo(
    out: Out,
    backend: Backend = None,
    precision: PrecisionOption = None,
    model: Model = None,
    engine: EngineOption = None,
    detector: Detector = None,
    device: Device = None,
    rate: Rate = None,
    deploy_precision: Deploy = None,
    window_ms: WindowMs = None,
    fit: FitOption = None,
    config: Config = None,
    seed: Seed = None,
    start: Start = None,
    stop: Stop = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Run the pipeline on a bundled procedural scene of four seconds."""
    import dataclasses

    from neurovlm.events.io import Frame
    from neurovlm.events.scenes import demo_clip

    pipeline = _prepare(
        out,
        overwrite,
        config,
        backend=backend,
        precision=precision,
        model=model,
        engine=engine,
        detector_name=detector,
        devices=device,
        rate_hz=rate,
        deploy_precision=deploy_precision,
        window_ms=window_ms,
        fit=fit,
        seed=seed,
    )
    clip = demo_clip()
    assert clip.frames is not None
    frames = [Frame(int(t), pixels) for t, pixels in zip(clip.frame_t_us, clip.frames, strict=True)]
    events = _cut(clip.stream, start, stop)
    with _progress("windows") as progress:
        result = pipeline.run(events, frames=frames, progress=progress)
    info = dataclasses.replace(
        result.recording, path="demo scene", notes=(f"true caption: {clip.caption}",)
    )
    work = dataclasses.replace(result.workload, name=info.path)
    named = dataclasses.replace(result, recording=info, workload=work)
    _finish(named, out, overwrite, as_json)


@app.command(epilog="Example: neurovlm simulate hand.es --graph net.nir --out trace.npz")
def simulate(
    path: Recording,
    out: Annotated[Path, typer.Option("--out", help="npz file for the spikes.")],
    graph: Annotated[
        str,
        typer.Option(
            "--graph", help="change-detector, learned-detector, patch-lif, or a NIR file."
        ),
    ] = "change-detector",
    backend: Backend = None,
    precision: PrecisionOption = None,
    dt_ms: Annotated[
        float | None,
        typer.Option("--dt-ms", help="Tick of a NIR file that does not say; default 1 ms."),
    ] = None,
    from_tool: Dialect = None,
    reset: Reset = None,
    norm_input: NormInput = None,
    fit: FitOption = None,
    sensor: Sensor = None,
    start: Start = None,
    stop: Stop = None,
    sort: Sort = False,
    as_json: Json = False,
) -> None:
    """Run a spiking graph on a recording and write every population's spikes."""
    from neurovlm.core.grid import FITS
    from neurovlm.events.io import open_recording
    from neurovlm.frontend.named import graph_by_name
    from neurovlm.report.simulation import describe, print_counts
    from neurovlm.report.trace_file import trace_writer
    from neurovlm.spiking.backends.base import get_backend
    from neurovlm.spiking.simulate import run_traces

    chosen = fit or "crop"
    if chosen not in FITS:
        raise UsageError(f"--fit must be one of {', '.join(FITS)}, got {fit!r}")
    _check_file(out)
    engine = get_backend(backend or "fast")
    spiking = graph_by_name(
        graph, precision, dt_ms, dialect=from_tool, reset=reset, norm_input=norm_input
    )
    recording = open_recording(path, sensor=_sensor(sensor), sort=sort, start_s=start, stop_s=stop)
    with _progress("windows") as progress, trace_writer(spiking.network, out) as writer:
        chunks = recording.chunks()
        for trace in run_traces(spiking, engine, chunks, fit=chosen, progress=progress):
            writer.add(trace)
    summary = describe(writer.counts, spiking, engine.name, recording.path, out)
    if as_json:
        typer.echo(json.dumps({**summary, "notes": list(recording.notes)}, allow_nan=False))
        return
    print_counts(summary, Console())
    for note in recording.notes:
        typer.echo(f"note: {note}")


app.command(epilog="Example: neurovlm convert net.nir ours.nir --from norse")(convert)
app.command(epilog="Example: neurovlm train --recipe quick --out out/quick")(cli_train.train)
app.command(epilog="Example: neurovlm evaluate sttf-tiny --out out/scores")(cli_train.evaluate)


cli_hardware.add_commands(app)


def main() -> None:
    """Entry point: every error raised on purpose is one line on stderr and its exit code."""
    from hw_models import HwModelError

    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except TyperException as error:
        _fail(f"{error.format_message().rstrip('.')}; --help shows how", error.exit_code)
    except NeurovlmError as error:
        _fail(str(error), error.exit_code)
    except HwModelError as error:
        _fail(str(error), _hw_code(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", 1)
    if code == INTERRUPTED:
        _fail("interrupted; nothing was written", 1)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo("error: " + " ".join(message.split()), err=True)
    sys.exit(code)


def _hw_code(error: Exception) -> int:
    from hw_models import CatalogError, WorkloadError

    return 3 if isinstance(error, CatalogError | WorkloadError) else 2


def _prepare(out: Path, overwrite: bool, config: Path | None, **options: Any) -> Any:
    """The pipeline of a config file and options (None where not given).

    What would only fail after the run, in estimates and output, is refused here.
    """
    import torch

    from hw_models import Workload, estimate
    from neurovlm.pipeline import Pipeline, load_config, make_config
    from neurovlm.report.files import check_target

    check_target(out, overwrite=overwrite)
    torch.set_num_threads(1)  # two threads make small layers slower on a busy machine
    given = {key: value for key, value in options.items() if value not in (None, [])}
    if "devices" in given:
        given["devices"] = tuple(given["devices"])
    c = make_config(given, where="options") if config is None else load_config(config, given)
    nothing = Workload("nothing", inferences=1, window_ms=c.window_ms, layers=())
    for name in c.devices:
        estimate(nothing, name, rate_hz=c.rate_hz, deploy_as=c.deploy_precision)
    return Pipeline.from_config(c)


def _finish(result: Any, out: Path, overwrite: bool, as_json: bool) -> None:
    from neurovlm.report.files import write_outputs
    from neurovlm.report.summary import estimate_devices, summarise, to_json
    from neurovlm.report.table import run_table

    reports = estimate_devices(result)
    with _progress("writing the report", count=False):
        write_outputs(result, reports, out, overwrite=overwrite)
    if as_json:
        typer.echo(to_json(summarise(result, reports)))
    else:
        console = Console()
        console.print(run_table(result, reports))
        console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)


def _check_file(out: Path) -> None:
    """Refuse before the run what the file could not be written to."""
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; give --out a file name")
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UsageError(f"{out}: cannot write in {folder}; choose another --out")


def _sensor(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--sensor must be WxH, for example 640x480, got {text!r}")
    return int(width), int(height)


def _cut(stream: Any, start: float | None, stop: float | None) -> Any:
    for name, value in (("--start", start), ("--stop", stop)):
        if value is not None and not 0 <= value < float("inf"):
            raise UsageError(f"{name} must be a number of seconds, at least 0, got {value}")
    first = int(stream.t[0])
    low = first if start is None else first + round(start * 1e6)
    high = int(stream.t[-1]) + 1 if stop is None else first + round(stop * 1e6)
    events = stream.between(low, high)
    if not len(events):
        raise UsageError(f"no event between --start {start} and --stop {stop}; widen them")
    return events


@contextmanager
def _progress(what: str, *, count: bool = True) -> Iterator[Any]:
    """A progress line on stderr, only on a terminal; yields a callback or None."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = [BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int) -> None:
            bar.update(task, description=f"{done:,} {what}" if count else what)

        yield advance


if __name__ == "__main__":
    main()
