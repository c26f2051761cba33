"""Closing, and settings that are refused: one suite, run on all three batchers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Table, insert

from perflab.batching.drain_report import DrainReport
from perflab.batching.retry import RetryPolicy
from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.errors import (
    InvalidInput,
    LifecycleError,
)
from perflab.events import FlushCompleted

MakeShell = Callable[..., Any]
Rows = Callable[[], list[int]]
QUICK = RetryPolicy(base_seconds=0.001, cap_seconds=0.002)


# -- closing -----------------------------------------------------------------------------------------------------------


def test_closing_writes_what_waits_and_says_how_it_ended(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    """Elsewhere nobody says what was not delivered (influxdb-client-python#697)."""
    shell = make_shell()
    shell.submit_all(append, [1, 2])
    shell.flush()
    handles = shell.submit_all(append, [3, 13, -1, 4, 5])
    report = shell.close()
    assert report == DrainReport(delivered=3, failed=2, abandoned=0)
    assert rows() == [1, 2, 3, 4, 5]
    assert all(handle.future.done() for handle in handles)
    assert shell.close() is report, "closing again changes nothing"


def test_nothing_is_accepted_after_close(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    shell = make_shell()
    shell.close()
    with pytest.raises(LifecycleError, match="is closed: it accepts no more items"):
        shell.submit(append, 1)
    shell.flush()
    assert rows() == []
    assert shell.close() == DrainReport(0, 0, 0)


def test_an_unused_batcher_closes(make_shell: MakeShell) -> None:
    assert make_shell().close() == DrainReport(0, 0, 0)


def test_closing_out_of_time_abandons_what_waits(
    make_shell: MakeShell, append: Any, rows: Rows, lock: Any, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell(retry=RetryPolicy(base_seconds=3_000.0, cap_seconds=3_000.0, delivery_timeout=4_000.0))
    lock.hold()
    handles = shell.submit_all(append, range(4))
    report = shell.close(timeout=0.05)
    assert len(flushes) == 1, "the fault fired once"
    assert report == DrainReport(delivered=0, failed=0, abandoned=4)
    for handle in handles:
        error = handle.error()
        assert type(error) is LifecycleError
        assert "closed before this item could be delivered" in str(error)
    assert shell.metrics().failed == 4
    assert rows() == []


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), "soon"])
def test_a_bad_timeout_is_refused_and_changes_nothing(
    make_shell: MakeShell, append: Any, rows: Rows, timeout: Any
) -> None:
    shell = make_shell()
    with pytest.raises(InvalidInput, match="timeout is"):
        shell.close(timeout)
    with pytest.raises(InvalidInput, match="timeout is"):
        shell.flush(timeout)
    shell.submit(append, 1)
    shell.flush()
    assert rows() == [1]


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"overflow": "drop"}, {"flush_interval": -1.0}])
def test_bad_settings_are_refused(make_shell: MakeShell, setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(setting))} is"):
        make_shell(**setting)


def test_an_operation_may_be_shared_with_direct_calls(
    make_shell: MakeShell, db: Database, table: Table, rows: Rows
) -> None:
    operation = CoreWrite(insert(table), db.dialect)
    shell = make_shell()
    shell.submit(operation, {"n": 1})
    db.apply(operation, [{"n": 2}])
    shell.flush()
    assert rows() == [2, 1]
