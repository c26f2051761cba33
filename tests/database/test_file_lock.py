from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from perflab.database.file_lock import FileLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def is_free(path: Path) -> bool:
    other = FileLock(path)
    taken = other.try_exclusive()
    other.release()
    return taken


def test_one_alone_or_several_together(path: Path) -> None:
    first, second, third = FileLock(path), FileLock(path), FileLock(path)
    assert first.try_shared()
    assert second.try_shared()
    assert not third.try_exclusive()
    first.release()
    second.release()
    assert third.try_exclusive()
    assert not is_free(path)
    third.release()
    assert is_free(path)


def test_of_two_that_want_to_be_last_the_second_gets_it(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.try_shared()
    assert second.try_shared()
    assert not first.try_exclusive()
    assert second.try_exclusive()
    first.release()
    second.release()


def test_a_program_that_inherits_it_holds_it_until_its_end(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_exclusive()
    heir = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor])
    lock.hand_over()
    assert not is_free(path)
    heir.communicate()
    assert is_free(path)


def test_a_program_that_does_not_inherit_it_does_not_hold_it(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_exclusive()
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    lock.hand_over()
    assert is_free(path)
    other.communicate()


def test_releasing_it_takes_it_from_heirs_too(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_shared()
    heir = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor])
    lock.release()
    assert is_free(path)
    heir.communicate()


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    FileLock(path).release()
    assert path.stat().st_mode & 0o777 == 0o600
