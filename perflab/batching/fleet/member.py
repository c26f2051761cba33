"""A member of a fleet: one process, which follows the settings, passes the gate, and reports."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self, runtime_checkable

from perflab.batching.fleet.settings import FleetSettings
from perflab.batching.fleet.sizing import FleetSizing
from perflab.batching.metrics import BatchingMetrics
from perflab.batching.sizing.choice import SizingChoice
from perflab.batching.threads import start_thread
from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection
from perflab.database.statements import load_statements

logger = logging.getLogger(__name__)

COUNTS = ("items", "batches", "round_trips", "round_trips_saved", "retries", "failed", "pending")
"""Of `BatchingMetrics`, what a member reports."""


class Reporting(Protocol):
    """What a member needs to report: both batchers and the inserter are such."""

    def metrics(self) -> BatchingMetrics: ...


@runtime_checkable
class Following(Protocol):
    """What follows new settings: both batchers."""

    def retarget(self) -> None: ...


class FleetMember:
    """One process in a fleet, made by `Fleet.join`; a `FlushGate` for its batchers. Safe to share between threads.

    It reports every `heartbeat` seconds in a thread of its own, and when the settings change, of which PostgreSQL
    notifies it on one connection more; where no thread can start, whenever `beat` is called. A database that cannot be
    reached is no reason to stop: batchers go on with the settings that they know.
    """

    def __init__(self, database: Database, fleet: str, instance: str, heartbeat: float, *, listen: bool) -> None:
        self.instance = instance
        self._database = database
        self._fleet = fleet
        self._heartbeat = heartbeat
        self._sql = load_statements("perflab.batching.fleet", database.engine_name)
        self._lock = threading.Lock()
        self._version = -1
        self._settings = FleetSettings()
        self._batchers: list[Reporting] = []
        self._closing = threading.Event()
        # Before the settings are read, so as to miss none.
        self._listener = database.listen("perflab_fleets", fleet) if listen else None
        with TypedErrors("joining a fleet"), database.driver_transaction() as connection:
            connection.execute(self._sql["forget"], {})
        self.beat()
        self._thread = start_thread(self._keep_beating, "perflab-fleet-member", without="call beat() now and then")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FleetMember({self._fleet!r}, {self.instance!r})"

    @property
    def settings(self) -> FleetSettings:
        """The newest settings that this process has heard of; costs nothing."""
        return self._settings

    def sizing(self, within: SizingChoice = "fixed") -> FleetSizing:
        """The sizing for a batcher of this process.

        Args:
            within: what chooses the size of batches as long as the settings of the fleet allow it.
        """
        return FleetSizing(lambda: self._settings, within)

    def add(self, batcher: Reporting) -> None:
        """Count a batcher or inserter in what this member reports, and let a batcher hear of new settings while it is
        idle.
        """
        with self._lock:
            self._batchers.append(batcher)

    def enter(self, connection: DriverConnection) -> Callable[[], None]:
        """Wait for a slot inside the transaction of a flush, and take the settings along.

        That wait ends with `TransientError` after the busy timeout, and the batcher tries again.
        """
        follow = self._answer(connection, "admit", {"fleet": self._fleet})

        def entered() -> None:
            try:
                follow()
            except Exception:  # the flush is committed: nothing that happens now may have it written again
                logger.exception("the settings of the fleet %r cannot be followed: those before hold", self._fleet)

        return entered

    def statements(self) -> Sequence[str]:
        """For a COPY: it takes the slot; the settings come with the next other flush or heartbeat."""
        return [self._sql["admit"].replace("%(fleet)s", f"'{self._fleet}'")]  # an identifier, as it was checked

    @contextmanager
    def reading(self, connection: DriverConnection) -> Iterator[None]:
        """A flush of loads holds a slot, too, but on SQLite, where reads never stand in the way of the writer."""
        if self._database.engine_name == "sqlite":
            yield
            return
        with connection.transaction():
            entered = self.enter(connection)
            yield
        entered()

    def beat(self) -> None:
        """Report, and hear of new settings: one transaction.

        Raises:
            DatabaseError: the database refused or failed.
        """
        self._beat(has_left=False)

    def close(self) -> None:
        """Report for the last time and leave. Close the batchers first; calling it again changes nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._listener is not None:
            self._listener.wake()
        if self._thread is not None:
            self._thread.join()
        if self._listener is not None:
            self._listener.close()
        self._try_to_beat(has_left=True)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _keep_beating(self) -> None:
        while not self._is_closing_after_a_pause():
            self._try_to_beat(has_left=False)

    def _is_closing_after_a_pause(self) -> bool:
        """Wait for the time of a heartbeat, or until the settings change."""
        if self._listener is None:
            return self._closing.wait(self._heartbeat)
        if not self._closing.is_set():
            self._listener.wait(self._heartbeat)
        return self._closing.is_set()

    def _try_to_beat(self, *, has_left: bool) -> None:
        try:
            self._beat(has_left=has_left)
        except Exception as error:  # noqa: BLE001  # a later one may get through
            logger.warning("the fleet %r did not hear of %s: %s", self._fleet, self.instance, error)

    def _beat(self, *, has_left: bool) -> None:
        with self._lock:
            batchers = list(self._batchers)
        reports = [batcher.metrics() for batcher in batchers]
        counts = {name: sum(getattr(report, name) for report in reports) for name in COUNTS}
        row = {
            "fleet": self._fleet,
            "instance": self.instance,
            "heartbeat": self._heartbeat,
            "has_left": has_left,
            **counts,
        }
        with TypedErrors("a report to a fleet"):
            with self._database.driver_transaction() as connection:
                connection.execute(self._sql["report"], row)
                follow = self._answer(connection, "settings", {"fleet": self._fleet})
            follow()

    def _answer(self, connection: DriverConnection, statement: str, parameters: dict[str, Any]) -> Callable[[], None]:
        """Send what returns the settings, and return what follows them once they can be read."""
        cursor = connection.execute(self._sql[statement], parameters)
        if connection.answers_at_once:
            row = cursor.fetchone()
            return lambda: self._follow(row)
        return lambda: self._follow(cursor.fetchone())

    def _follow(self, row: Sequence[Any] | None) -> None:
        if row is None or row[0] == self._version:
            return
        version, settings = settings_in(row)
        with self._lock:
            if version <= self._version:  # answers may overtake each other
                return
            self._version, self._settings = version, settings
            batchers = list(self._batchers)
        for batcher in batchers:
            if isinstance(batcher, Following):
                batcher.retarget()


def settings_in(row: Sequence[Any]) -> tuple[int, FleetSettings]:
    """The version and the settings of a row of the fleet."""
    version, *settings = row
    return version, FleetSettings(*settings)
