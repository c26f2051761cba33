"""A scratch folder is gone after its block, and after a kill when the next one is made."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from perflab.database.file_lock import FileLock
from perflab.errors import DatabaseUnusable
from perflab.lab.scratch.directory import LOCK, PREFIX, scratch_directory


def test_it_is_gone_after_the_block_and_after_an_error(tmp_path: Path) -> None:
    with scratch_directory(tmp_path) as folder:
        (folder / "scratch.db").write_bytes(b"rows")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), scratch_directory(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_it_is_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = tempfile.mkdtemp

    def interrupted(**where: Any) -> str:
        made: str = make(**where)
        signal.raise_signal(signal.SIGINT)
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", interrupted)
    with pytest.raises(KeyboardInterrupt), scratch_directory(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_the_temporary_folder_is_tried_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python writes a file there the first time that somebody asks, and removes it."""
    unlink = os.unlink
    tried = []

    def interrupted(path: str) -> None:
        tried.append(path)
        signal.raise_signal(signal.SIGINT)
        unlink(path)

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(os, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt), scratch_directory():
        pass
    assert len(tried) == 1, "the fault fired"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    left, used, starting = (tmp_path / f"{PREFIX}{name}" for name in ("left", "used", "starting"))
    for folder in (left, used, starting):
        folder.mkdir()
    (left / LOCK).touch()
    lock = FileLock(used / LOCK)
    assert lock.try_exclusive()
    with scratch_directory(tmp_path):
        assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted([used, starting])
    lock.release()


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(DatabaseUnusable, match=r"no scratch folder can be made in .*missing"),
        scratch_directory(tmp_path / "missing"),
    ):
        pass
