"""The items of a load: made before the clock starts, and looked for in the database after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, func, insert, select

from perflab.database.database import Database
from perflab.errors import WrongAnswer
from perflab.lab.load.observed import Observed
from perflab.lab.workloads.schedule import Schedule
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

QUEUE = "load"
WATCHES = 1_000
_HOUR = 3_600.0
_TEXT_LENGTH = 1 << 16

_metadata = MetaData()
ROWS = Table(
    "load_rows",
    _metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("data", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One arrival: what to write."""

    number: int
    operation: str
    value: Any
    """A `NewJob`, the columns of a row, or an `IngestState`."""


def prepare_database(database: Database) -> None:
    """Make the tables and the watches that a load writes to."""
    database.create_schema()
    with database.transaction() as connection:
        _metadata.create_all(connection)
    scheduler = Scheduler(database, PriorityQueue(database, QUEUE))
    scheduler.add_watches_bulk([Watch(_watch(number), interval=_HOUR) for number in range(WATCHES)])
    # a watch in service has a state; its first one costs more than those that follow
    scheduler.update_ingest_states_bulk([IngestState(_watch(number), cursor="") for number in range(WATCHES)])


def make_items(schedule: Schedule, names: tuple[str, ...], seed: int) -> list[Item]:
    """The items of a schedule, with payloads of about the bytes that it says, of letters that do not compress well."""
    text = Random(seed).randbytes(_TEXT_LENGTH // 2).hex()
    columns = (
        schedule.numbers.tolist(),
        schedule.offsets_seconds.tolist(),
        schedule.operations.tolist(),
        schedule.payload_bytes.tolist(),
        schedule.service_seconds.tolist(),
    )
    items = []
    for number, due, operation, size, service in zip(*columns, strict=True):
        name = names[operation]
        items.append(Item(number, name, _MAKE[name](number, due, service, size, text)))
    return items


def _filling(number: int, size: int, text: str) -> str:
    start = number * 7_919 % _TEXT_LENGTH
    return (text * (1 + (start + size) // _TEXT_LENGTH))[start : start + size] if size > 0 else ""


def _job(number: int, due: float, service: float, size: int, text: str) -> NewJob:
    payload = {"number": number, "due": due, "service": service, "data": ""}
    payload["data"] = _filling(number, size - len(json.dumps(payload)), text)
    return NewJob(payload)


def _row(number: int, due: float, service: float, size: int, text: str) -> dict[str, Any]:  # noqa: ARG001  # as all
    return {"number": number, "data": _filling(number, size, text)}


def _state(number: int, due: float, service: float, size: int, text: str) -> IngestState:  # noqa: ARG001  # the same
    return IngestState(_watch(number % WATCHES), cursor=str(number))


_MAKE: dict[str, Callable[..., Any]] = {"enqueue": _job, "insert": _row, "state": _state}


def _watch(number: int) -> str:
    return f"watch-{number:03}"


insert_row = insert(ROWS)


def check_written(database: Database, seen: Observed, worked_off: int) -> None:
    """Compare what is in the database with what was acknowledged.

    Args:
        database: That was written to.
        seen: What all generators saw. Where items failed, more may be there than was acknowledged.
        worked_off: Jobs that workers have done.

    Raises:
        WrongAnswer: Rows are missing, or too many.
    """
    counts = PriorityQueue(database, QUEUE).counts()
    with database.transaction() as connection:
        rows = connection.execute(select(func.count()).select_from(ROWS)).scalar_one()
    found = {"enqueue": counts.unfinished + counts.dead + worked_off, "insert": rows}
    for operation, there in found.items():
        done = seen.done[operation]
        if there < done or (there > done and not seen.failed):
            raise WrongAnswer(
                f"{done:,} items of {operation!r} were acknowledged, and {there:,} are there. No figures."
            )
    strange = [
        (watch, cursor)
        for watch, cursor in database.fetch(
            "SELECT watches.name, states.cursor FROM perflab_ingest_states AS states "
            "JOIN perflab_watches AS watches ON watches.id = states.watch_id WHERE states.cursor <> ''"
        )
        if _watch(int(cursor) % WATCHES) != watch
    ]
    if strange:
        raise WrongAnswer(f"watches have the states of others: {strange[:3]}. No figures.")
