"""The open connections of one database, and the count of the round trips of all that it ever had."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, event

from perflab.database.operation import DriverConnection
from perflab.database.recorder import StatementRecorder


class Connections:
    """Hears of each connection that the engines of a database open and close."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[DriverConnection] = set()
        self._round_trips_of_closed = 0
        self.recorder: StatementRecorder | None = None

    def __contains__(self, connection: DriverConnection) -> bool:
        return connection in self._open

    def __iter__(self) -> Iterator[DriverConnection]:
        return iter(self._open.copy())

    @property
    def round_trips(self) -> int:
        """Of closed connections too: what was counted stays counted."""
        with self._lock:
            return self._round_trips_of_closed + sum(connection.round_trips for connection in self._open)

    def record_with(self, recorder: StatementRecorder | None) -> None:
        """Let all connections, also those to come, note their statements; None ends it."""
        with self._lock:
            self.recorder = recorder
            for connection in self._open:
                connection.record_statements(recorder)

    def follow(self, engine: Engine) -> None:
        """Count what the connections of this engine send once they are set up."""

        def opened(connection: Any, _record: Any) -> None:
            with self._lock:
                connection.round_trips = 0  # what SQLAlchemy asked of its first connection is set-up too
                connection.record_statements(self.recorder)
                self._open.add(connection)

        def closed(connection: Any, _record: Any) -> None:
            with self._lock:
                if connection in self._open:
                    self._open.remove(connection)
                    self._round_trips_of_closed += connection.round_trips

        event.listen(engine, "connect", opened)
        event.listen(engine, "close", closed)
