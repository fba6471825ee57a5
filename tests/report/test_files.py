"""The output folder: whole or not at all, and nothing of the user's is lost."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from hw_models import Workload
from neurovlm.core.errors import NeurovlmError, UsageError
from neurovlm.pipeline import load_config
from neurovlm.report import check_target, files, write_outputs
from neurovlm.report.files import FILES
from neurovlm.report.partial import STALE_S


@pytest.fixture
def quick(monkeypatch):
    """Write one small text instead of all the pictures: these tests are about folders."""

    def write_all(result, reports, folder):
        for name in FILES:
            (folder / name).write_text("new")

    monkeypatch.setattr(files, "_write_all", write_all)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_every_file_is_there_and_holds_what_it_says(result, reports, tmp_path):
    out = tmp_path / "deep" / "out"
    write_outputs(result, reports, out)
    assert names(out) == sorted(FILES)
    assert names(out.parent) == ["out"]
    assert load_config(out / "config.toml").to_toml() == result.config.to_toml()
    assert tomllib.loads((out / "config.toml").read_text())["window_ms"] == 25.0
    assert Workload.load(out / "workload.json") == result.workload
    assert json.loads((out / "summary.json").read_text())["seed"] == 5
    for name in FILES:
        if name.endswith(".png"):
            assert (out / name).read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.usefixtures("quick")
class TestFolders:
    def test_a_full_folder_is_refused_and_left_alone(self, result, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        with pytest.raises(UsageError, match=r"not empty; use --overwrite") as caught:
            write_outputs(result, {}, out)
        assert caught.value.exit_code == 2
        assert names(out) == ["notes.txt"]
        assert names(tmp_path) == ["out"]

    def test_an_empty_folder_is_filled(self, result, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        write_outputs(result, {}, out)
        assert names(out) == sorted(FILES)

    def test_overwrite_replaces_our_files_and_keeps_all_others(self, result, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "summary.json").write_text("old")
        (out / "notes.txt").write_text("mine")
        (out / "plots").mkdir()
        (out / "plots" / "a.txt").write_text("mine too")
        write_outputs(result, {}, out, overwrite=True)
        assert names(out) == sorted([*FILES, "notes.txt", "plots"])
        assert (out / "summary.json").read_text() == "new"
        assert (out / "notes.txt").read_text() == "mine"
        assert (out / "plots" / "a.txt").read_text() == "mine too"
        assert names(tmp_path) == ["out"]

    def test_a_link_to_a_folder_stays_a_link(self, result, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "out").symlink_to(tmp_path / "real")
        write_outputs(result, {}, tmp_path / "out", overwrite=True)
        assert (tmp_path / "out").is_symlink()
        assert names(tmp_path / "real") == sorted(FILES)

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_a_failure_while_writing_leaves_the_target_as_it_was(
        self, result, tmp_path, monkeypatch, error
    ):
        out = tmp_path / "out"
        write_outputs(result, {}, out)

        def half(result, reports, folder):
            (folder / "summary.json").write_text("half")
            raise error

        monkeypatch.setattr(files, "_write_all", half)
        expected = NeurovlmError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected):
            write_outputs(result, {}, out, overwrite=True)
        with pytest.raises(expected):
            write_outputs(result, {}, tmp_path / "fresh")
        assert (out / "summary.json").read_text() == "new"
        assert names(tmp_path) == ["out"]

    def test_a_failed_swap_puts_the_old_folder_back(self, result, tmp_path, monkeypatch):
        out = tmp_path / "out"
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        rename = Path.rename

        def refuse_new(self, target):
            if "partial" in self.name:
                raise OSError(5, "Input/output error")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", refuse_new)
        with pytest.raises(NeurovlmError, match=r"Input/output error.*undone"):
            write_outputs(result, {}, out, overwrite=True)
        assert names(out) == ["notes.txt"]
        assert names(tmp_path) == ["out"]

    def test_a_swap_killed_before_the_new_folder_came_is_undone(self, result, tmp_path):
        old = tmp_path / ".out.old"
        old.mkdir()
        (old / "notes.txt").write_text("mine")
        with pytest.raises(UsageError, match="--overwrite"):
            write_outputs(result, {}, tmp_path / "out")
        assert names(tmp_path / "out") == ["notes.txt"]

    def test_a_swap_killed_after_the_new_folder_came_is_finished(self, result, tmp_path):
        write_outputs(result, {}, tmp_path / "out")
        old = tmp_path / ".out.old"
        old.mkdir()
        (old / "notes.txt").write_text("mine")
        (old / "summary.json").write_text("old")
        check_target(tmp_path / "out", overwrite=True)
        assert names(tmp_path) == ["out"]
        assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
        assert (tmp_path / "out" / "summary.json").read_text() == "new"

    def test_old_leftovers_of_killed_runs_go_and_running_ones_stay(self, result, tmp_path):
        stale, running, others = (
            tmp_path / name for name in (".out.partial-0a", ".out.partial-0b", ".other.partial-0c")
        )
        for folder in (stale, running, others):
            folder.mkdir()
            (folder / "summary.json").write_text("half")
        for folder in (stale, others):
            then = folder.stat().st_mtime - 2 * STALE_S
            os.utime(folder, (then, then))
        write_outputs(result, {}, tmp_path / "out")
        assert names(tmp_path) == [".other.partial-0c", ".out.partial-0b", "out"]

    def test_a_file_in_the_place_of_the_folder_is_refused(self, result, tmp_path):
        (tmp_path / "out").write_text("mine")
        with pytest.raises(UsageError, match="is a file"):
            write_outputs(result, {}, tmp_path / "out", overwrite=True)
        assert (tmp_path / "out").read_text() == "mine"

    def test_a_parent_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(UsageError, match=r"file/out: cannot write there.*--out"):
            check_target(tmp_path / "file" / "out")
