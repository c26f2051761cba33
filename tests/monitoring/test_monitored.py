"""What a process does so that others see how it is doing."""

from __future__ import annotations

import logging

import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.monitoring.instruments import flushes
from perflab.monitoring.monitored import monitored
from perflab.monitoring.publishing import published_snapshots
from tests.monitoring.flushes import FAILURE, FLUSH


def test_what_happens_is_counted_published_and_logged(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with monitored(database, interval=600.0) as registry:
        database.events.emit(FLUSH)
        database.events.emit(FAILURE)
        assert registry.snapshot().counted(flushes.DELIVERED) == FLUSH.delivered
    (published,) = published_snapshots(database)
    assert published.snapshot.counted(flushes.DELIVERED) == FLUSH.delivered, "the last publication has all"
    assert [record.name for record in caplog.records] == ["perflab.failures"]
    assert not database.events, "nobody listens any longer"


def test_work_goes_on_where_nothing_can_be_published(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE perflab_metrics")
    with monitored(database) as registry:
        database.events.emit(FLUSH)
    assert registry.snapshot().counted(flushes.DELIVERED) == FLUSH.delivered
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "not published" in record.message


def test_an_interval_out_of_range_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput, match="interval"), monitored(database, interval=0.0):
        pass
    assert not database.events
