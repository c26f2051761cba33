"""The limit: SQL by hand on the raw driver, with the tables of perflab and without its promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from perflab.lab.bench.arms import BenchEngine, RawWrite
from perflab.lab.bench.bulk_calls import JobRow
from perflab.lab.bench.drain_writes import RAW_TURNS, Lease
from perflab.lab.bench.sqlite_engine import SQLiteBench
from perflab.lab.peers.durability import sqlite_durability
from perflab.lab.peers.ours import BATCH_SIZE, OurQueue
from perflab.lab.peers.peer import Card, Handle, Payload
from perflab.lab.sweep.plan import Engine

_FASTEST_ENQUEUE = {"sqlite": "sqlite3 executemany", "postgresql": "psycopg unnest, binary"}


@dataclass(frozen=True, slots=True)
class RawQueue:
    """A loop that acknowledges one batch and claims the next in one transaction."""

    engine: Engine
    sync: Literal["normal", "full"] = "full"

    @property
    def card(self) -> Card:
        return Card(
            name="raw driver" if self.engine == "postgresql" else f"raw driver, {self.sync}",
            package="psycopg" if self.engine == "postgresql" else "",
            engine=self.engine,
            role="limit",
            setting=f"{next(iter(RAW_TURNS[self.engine]))}, {BATCH_SIZE} jobs a turn",
            source="perflab/lab/bench/drain_writes.py",
            guarantee="at least once if somebody takes back the leases of dead workers; nobody does",
            finished="deleted",
            durability=self.sync,
        )

    @property
    def _tables(self) -> OurQueue:
        return OurQueue(self.engine, self.sync)

    def _bench(self, url: str) -> BenchEngine:
        if self.engine == "sqlite":
            return SQLiteBench()
        from perflab.lab.bench.postgresql_engine import PostgresBench  # noqa: PLC0415  # its driver is an extra

        return PostgresBench(url)

    @contextmanager
    def _connection(self, url: str) -> Iterator[tuple[BenchEngine, Any]]:
        bench = self._bench(url)
        with bench.connect(url) as connection:
            if self.engine == "sqlite":
                connection.execute(f"PRAGMA synchronous = {self.sync}")
            yield bench, connection

    def create(self, url: str) -> None:
        self._tables.create(url)

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        self.enqueue_bulk(url, ([payload] for payload in payloads))

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:
        with self._connection(url) as (bench, connection):
            write: RawWrite = bench.raw_forms["bulk_enqueue"][_FASTEST_ENQUEUE[self.engine]]
            for batch in batches:
                with bench.transaction(connection):
                    write(connection, [JobRow(0, payload) for payload in batch])

    def work(self, url: str, handle: Handle) -> None:
        (turn,) = RAW_TURNS[self.engine].values()
        with self._connection(url) as (bench, connection):
            done: list[Lease] = []
            is_last = False
            while not is_last:
                with bench.transaction(connection):
                    jobs = turn(connection, done, BATCH_SIZE)
                for _, _, payload in jobs:
                    is_last = handle(payload)
                done = [(job_id, attempt) for job_id, attempt, _ in jobs]
            with bench.transaction(connection):
                turn(connection, done, 0)

    def unfinished(self, url: str) -> int:
        return self._tables.unfinished(url)

    def durability(self, url: str) -> str:
        if self.engine == "postgresql":
            return self._tables.durability(url)
        with self._connection(url) as (_, connection):
            return sqlite_durability(connection)
