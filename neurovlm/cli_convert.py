"""``neurovlm convert``: NIR files of other tools, in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Dialect = Annotated[
    str | None,
    typer.Option("--from", help="Tool that wrote the file: snntorch, norse, spikingjelly, sinabs."),
]
Reset = Annotated[
    str | None,
    typer.Option("--reset", help="zero: confirms a hard reset, where the file cannot tell."),
]
NormInput = Annotated[
    bool | None,
    typer.Option("--norm-input/--no-norm-input", help="Sinabs: what its layers were built with."),
]


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN.nir", help="NIR file to read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.nir", help="NIR file to write.")],
    from_tool: Dialect = None,
    for_tool: Annotated[
        str | None, typer.Option("--to", help="Tool that will read OUT.nir: snntorch, norse.")
    ] = None,
    dt_ms: Annotated[float | None, typer.Option("--dt-ms", help="Step of the network.")] = None,
    reset: Reset = None,
    norm_input: NormInput = None,
    quantise: Annotated[
        bool, typer.Option("--quantise", help="Round to Loihi's integers and say what changes.")
    ] = False,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Compare spikes with the tools installed here.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Convert a NIR file from or for another tool and test that its spikes stay the same."""
    from neurovlm.spiking.nir_bridge.convert import convert as convert_file

    result = convert_file(
        source,
        target,
        from_tool=from_tool,
        for_tool=for_tool,
        dt_ms=dt_ms,
        reset=reset,
        norm_input=norm_input,
        quantised=quantise,
        test=test,
    )
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False))
        return
    sizes = ", ".join(f"{name} {size}" for name, size in result["populations"].items())
    typer.echo(f"{result['target']}: populations {sizes}; {result['synapses']} synapses")
    typer.echo(f"steps of {result['dt_ms']:g} ms, {result['precision']}")
    if result["lag_ticks"] is not None:
        typer.echo(f"output {result['lag_ticks']} ticks after the tool's")
    for note in result["notes"]:
        typer.echo(f"note: {note}")
    for found in result["tests"]:
        outcome = found["text"] if found["run"] else f"not run: {found['why']}"
        typer.echo(f"self-test, graph {found['graph']}: {outcome}")
