"""From how many rows on a bulk form is the cheaper one: what the thresholds in `perflab/database/bulk` come from.

`make crossovers` writes the table. Each cell is the geometric mean of the blocks; in each block every form writes every
number of rows once, in random order, into a table of its own, with half of the keys of an upsert known.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Insert, insert
from sqlalchemy.dialects import postgresql, sqlite

from perflab.database.bulk import postgresql as postgresql_forms
from perflab.database.bulk import sqlite as sqlite_forms
from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.load import COLUMNS, LOADED, LoadedRow, fresh_table, make_batch
from perflab.lab.bench.run import open_engines
from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.statistics.intervals import geometric_mean_interval

NEVER = 1 << 40
ROWS = (2, 10, 30, 100, 300, 1_000, 3_000, 10_000)
ROWS_PER_CELL = 6_000
"""Written in each visit of a cell, so that a small number of rows is timed many times."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write, forced by thresholds under which no other is chosen."""

    name: str
    thresholds: Mapping[str, int]


POSTGRESQL_FORMS = (
    Form("row by row, one pipeline", {"ARRAYS_FROM_ROWS": NEVER, "COPY_FROM_ROWS": NEVER, "STAGING_FROM_ROWS": NEVER}),
    Form("arrays", {"ARRAYS_FROM_ROWS": 1, "COPY_FROM_ROWS": NEVER, "STAGING_FROM_ROWS": NEVER}),
    Form("COPY", {"COPY_FROM_ROWS": 1, "STAGING_FROM_ROWS": 1}),
)
SQLITE_FORMS = (
    Form("executemany", {"VALUES_AT_ONCE": 1}),
    Form("VALUES of 100 rows", {"VALUES_AT_ONCE": 100}),
    Form("VALUES of 1,000 rows", {"VALUES_AT_ONCE": 1_000}),
)


@contextmanager
def forced(engine: BenchEngine, form: Form) -> Iterator[None]:
    """Have the thresholds of one form."""
    module: Any = postgresql_forms if engine.name == "postgresql" else sqlite_forms
    before = {name: getattr(module, name) for name in form.thresholds}
    for name, rows in form.thresholds.items():
        setattr(module, name, rows)
    try:
        yield
    finally:
        for name, rows in before.items():
            setattr(module, name, rows)


def upsert(engine: BenchEngine) -> Insert:
    """Overwrites all columns but the key."""
    statement = postgresql.insert(LOADED) if engine.name == "postgresql" else sqlite.insert(LOADED)
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={name: statement.excluded[name] for name in COLUMNS[1:]}
    )


WRITES: Mapping[str, Callable[[BenchEngine], Insert]] = {"insert": lambda _: insert(LOADED), "upsert": upsert}


def visit(engine: BenchEngine, write: str, form: Form, rows: int, seed: str) -> float:
    """Seconds per row."""
    with fresh_table(engine) as url, Database.open(url) as database, forced(engine, form):
        operation = CoreWrite(WRITES[write](engine), database.dialect)
        batches = list(_batches(write, rows, Random(seed)))

        def send(batch: Sequence[LoadedRow]) -> None:
            prepared = operation.prepare_many(COLUMNS, batch)
            assert prepared is not None
            with database.writing_connection() as connection:
                operation.write_alone(connection, database.ledger, prepared)

        send(batches[0])
        start = time.perf_counter()
        for batch in batches[1:]:
            send(batch)
        return (time.perf_counter() - start) / (rows * (len(batches) - 1))


def _batches(write: str, rows: int, rng: Random) -> Iterator[list[LoadedRow]]:
    """Of an upsert, every second key comes again from the batch before."""
    known = [row for number in range(4) for row in make_batch(number)]
    step = rows if write == "insert" else max(1, rows // 2)
    for number in range(max(3, min(300, ROWS_PER_CELL // rows)) + 1):
        batch = known[number * step : number * step + rows]
        rng.shuffle(batch)
        yield batch


def measure(engines: Sequence[BenchEngine], blocks: int, seed: int) -> dict[tuple[str, str, str, int], list[float]]:
    """Seconds per row of each block, by engine, write, form and rows."""
    seconds: dict[tuple[str, str, str, int], list[float]] = {}
    cells = [
        (engine, write, form, rows)
        for engine in engines
        for write in WRITES
        for form in (POSTGRESQL_FORMS if engine.name == "postgresql" else SQLITE_FORMS)
        for rows in ROWS
    ]
    with old_objects_set_aside():
        for block in range(blocks):
            order = list(cells)
            Random(f"{seed}/{block}").shuffle(order)
            for engine, write, form, rows in order:
                gc.collect()
                key = (engine.name, write, form.name, rows)
                seconds.setdefault(key, []).append(visit(engine, write, form, rows, f"{seed}/{block}/{rows}"))
    return seconds


def crossover_table(seconds: Mapping[tuple[str, str, str, int], Sequence[float]]) -> str:
    """Microseconds per row as a Markdown table; the cheapest form of each write and number of rows is bold."""
    means = {key: geometric_mean_interval(values).value * 1e6 for key, values in seconds.items()}
    lines = [
        f"| µs a row | | form | {' | '.join(f'{rows:,}' for rows in ROWS)} |",
        f"|---|---|---|{'---|' * len(ROWS)}",
    ]
    for engine, write, form in sorted({key[:3] for key in means}):
        cells = []
        for rows in ROWS:
            best = min(mean for key, mean in means.items() if (key[0], key[1], key[3]) == (engine, write, rows))
            mean = means[engine, write, form, rows]
            cells.append(f"**{mean:.1f}**" if mean == best else f"{mean:.1f}")
        lines.append(f"| {engine} | {write} | {form} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(blocks: int = 8, seed: int = 1, folder: Path = Path("reports")) -> None:
    """Measure on both engines, and write the table."""
    with open_engines(sqlite=True, postgresql=True) as engines:
        table = crossover_table(measure(engines, blocks, seed))
        titles = "; ".join(engine.title for engine in engines)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "crossovers.md"
    path.write_text(f"# Bulk forms\n\n{blocks} blocks, seed {seed}. {titles}.\n\n{table}", encoding="utf-8")
    print(f"{table}\nwritten to {path}")  # noqa: T201  # it is a command


if __name__ == "__main__":
    main()
