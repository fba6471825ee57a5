"""Wrong usage: exit code 2, one line that says what was got and what is known."""

from __future__ import annotations

import re
import sys

import pytest

from neurovlm.cli import app

RUN = ("--out", "OUT")

WRONG = [
    (("run", "REC", *RUN, "--backend", "nest"), "unknown backend 'nest'; known are fast"),
    (("run", "REC", *RUN, "--model", "gpt"), "no model 'gpt'; known are .*safetensors"),
    (("run", "REC", *RUN, "--device", "tpu"), "'?tpu'?.*jetson-orin-nano"),
    (("run", "REC", *RUN, "--device", "jetson-orin-nano@99w"), "99w"),
    (("run", "REC", *RUN, "--device", "jetson-nano+loihi2"), "jetson-nano"),
    (("run", "REC", *RUN, "--precision", "int4"), "precision: .*got 'int4'"),
    (("run", "REC", *RUN, "--fit", "zoom"), "fit: .*got 'zoom'"),
    (("run", "REC", *RUN, "--deploy-precision", "fp4"), "deploy_precision: .*got 'fp4'"),
    (("run", "REC", *RUN, "--device", "jetson-nano", "--deploy-precision", "int8"), "no int8"),
    (("run", "REC", *RUN, "--rate", "0"), "rate_hz must be a positive number, got 0"),
    (("run", "REC", *RUN, "--rate", "fast"), "--rate"),
    (("run", "REC", *RUN, "--window-ms", "0"), "window_ms must be in .*got 0"),
    (("run", "REC", *RUN, "--window-ms", "2.5"), "window-ms must be a multiple of the tick"),
    (("run", "REC", *RUN, "--seed", "-1"), "--seed"),
    (("run", "REC", *RUN, "--sensor", "128"), "--sensor must be WxH, .* got '128'"),
    (("run", "REC", *RUN, "--sensor", "0x128"), "--sensor must be WxH, .* got '0x128'"),
    (("run", "REC", *RUN, "--sensor", "²x3"), "--sensor must be WxH"),
    (("run", "REC", *RUN, "--start", "5"), "no event between --start and --stop"),
    (("run", "REC", *RUN, "--start", "2", "--stop", "1"), "start must be before stop"),
    (("run", "REC", *RUN, "--start", "-1"), "start must be a number of seconds"),
    (("run", "REC", *RUN, "--config", "CONFIG"), "unknown key 'treshold'; known are backend"),
    (("run", "REC", *RUN, "--config", "none.toml"), "none.toml: cannot read the config"),
    (("run", "REC", *RUN, "--precision", "loihi", "--backend", "snntorch"), "backends with loihi"),
    (("run", "REC"), "Missing option '--out'"),
    (("run", "REC", *RUN, "--colour", "red"), "No such option: --colour"),
    (("demo", *RUN, "--start", "nan"), "--start must be a number of seconds"),
    (("demo", *RUN, "--start", "3", "--stop", "3"), "no event between --start 3.0 and --stop 3.0"),
    (("simulate", "REC", *RUN, "--graph", "vgg"), "unknown graph 'vgg'; known are change-detector"),
    (("simulate", "REC", *RUN, "--backend", "nest"), "unknown backend 'nest'"),
    (("simulate", "REC", *RUN, "--precision", "int4"), "precision must be one of .*got 'int4'"),
    (("simulate", "REC", *RUN, "--backend", "snntorch"), "precision loihi is not exact there"),
    (("simulate", "REC", *RUN, "--fit", "zoom"), "--fit must be one of .*got 'zoom'"),
    (("simulate", "REC", *RUN, "--dt-ms", "2"), "--dt-ms is for NIR files"),
    (("simulate", "REC", "--out", "FOLDER"), "is a folder; give --out a file name"),
    (("simulate", "REC", "--out", "CONFIG/x.npz"), "cannot write in"),
    (("power", "WORK", "--device", "tpu"), "tpu"),
    (("power", "WORK", "--rate", "-1"), "rate_hz must be positive"),
    (("power", "WORK", "--deploy-precision", "fp4"), "fp32, fp16, bf16, int8, w8a16"),
    (("frobnicate",), "No such command 'frobnicate'"),
]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    WRONG,
    ids=lambda v: " ".join(v[:1] + v[-2:]) if isinstance(v, tuple) else "",
)
def test_wrong_usage(arguments, expected, call, model, recording, workload, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("treshold = 3\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    paths = {
        "REC": recording,
        "OUT": tmp_path / "out",
        "CONFIG": config,
        "WORK": workload,
        "FOLDER": folder,
    }

    def fill(argument: str) -> str:
        head, slash, tail = argument.partition("/")
        return f"{paths.get(head, head)}{slash}{tail}"

    given = [fill(argument) for argument in arguments]
    if arguments[0] in ("run", "demo") and "--model" not in arguments:
        given += ["--model", str(model)]
    called = call(*given)
    assert called.code == 2, called.err
    assert re.search(expected, called.message), called.message
    assert called.out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "folder"]


def test_an_existing_folder_is_kept_unless_told(call, model, recording, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    called = call("run", recording, "--model", model, "--out", tmp_path)
    assert called.code == 2
    assert "not empty; use --overwrite or another --out" in called.message
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("out", ["/dev/null/out", "FILE"])
def test_an_output_that_cannot_be_a_folder_is_refused_first(call, model, out, tmp_path):
    (tmp_path / "file").write_text("x")
    target = out.replace("FILE", str(tmp_path / "file"))
    called = call("run", tmp_path / "no such recording", "--model", model, "--out", target)
    assert called.code == 2  # before the recording is even looked at
    assert called.message.startswith(f"{target}: ")
    assert "--out" in called.message


@pytest.mark.parametrize("component", ["snntorch", "lava"])
def test_a_missing_component_is_named_with_the_command_that_installs_it(
    component, call, recording, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, component, None)  # what Python does where it is absent
    options = ["--backend", component, "--precision", "float64"]
    called = call("simulate", recording, "--out", tmp_path / "x.npz", *options)
    assert called.code == 4
    assert f"needs the package '{component}'" in called.message
    assert f'pip install "neurovlm[{component}]"' in called.message
    assert list(tmp_path.iterdir()) == []


def test_no_arguments_show_the_commands(call):
    called = call()
    assert called.code == 0
    for command in ("run", "demo", "simulate", "power", "devices"):
        assert command in called.out


def name_of(command) -> str:
    return command.name or command.callback.__name__


@pytest.mark.parametrize("command", app.registered_commands, ids=name_of)
def test_help_shows_an_example_that_can_be_copied(command, call):
    name = name_of(command)
    called = call(name, "--help")
    assert (called.code, called.err) == (0, "")
    epilog = (
        command.epilog or f"example: neurovlm {name}"
    )  # the latter from the parser of hw_models
    assert epilog.lower().startswith(f"example: neurovlm {name}")
    assert any(line.strip().startswith(epilog) for line in called.out.splitlines())


def test_an_unexpected_system_error_is_one_line_too(call, recording, monkeypatch, tmp_path):
    def full(*_args: object, **_arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurovlm.report.trace_file.shutil.copyfileobj", full)
    called = call("simulate", recording, "--out", tmp_path / "x.npz")
    assert called.code != 0
    assert "No space left on device" in called.message
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_is_said_and_leaves_nothing(call, recording, monkeypatch, tmp_path):
    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neurovlm.spiking.simulate.encode", interrupt)
    called = call("simulate", recording, "--out", tmp_path / "x.npz")
    assert called.code == 1
    assert called.message == "interrupted; nothing was written"
    assert list(tmp_path.iterdir()) == []
