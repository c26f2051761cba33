"""A program that has only what `pip install perflab` brings: the parts work, and the rest says which extra it lacks.

`test_minimal.py` runs it with all other packages hidden, and `make minimal` in an environment that does not have them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions
from pathlib import Path
from tempfile import TemporaryDirectory

CORE = {"perflab", "sqlalchemy", "alembic", "cronsim", "mako", "markupsafe", "greenlet", "typing-extensions", "tzdata"}
"""What perflab needs, and what these need."""


class Hidden(MetaPathFinder):
    """Finds no package of a distribution outside of the core."""

    def __init__(self) -> None:
        installed = packages_distributions()
        self._packages = {
            package
            for package, names in installed.items()
            if not {name.lower().replace("_", "-") for name in names} & CORE
        }

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse it, or leave it to the next finder."""
        if name.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def use_the_parts(folder: Path) -> None:
    """Enqueue through a batcher, work, tick, and load rows, on SQLite."""
    from perflab import BulkInserter, Database, PriorityQueue, RequestBatcher, Scheduler, Worker

    with Database.open(f"sqlite:///{folder / 'core.db'}") as db:
        db.create_schema()
        with RequestBatcher(db, batch_size=10, flush_interval=0.001) as batcher:
            futures = [PriorityQueue(db, "core", batcher).enqueue({"n": n}) for n in range(25)]
            assert len({future.result(timeout=60) for future in futures}) == 25
        queue = PriorityQueue(db, "core")
        scheduler = Scheduler(db, queue)
        scheduler.add_watch("nightly", cron="0 3 * * *", timezone="UTC")
        scheduler.add_watch("often", interval=60.0)
        assert scheduler.tick().enqueued == 1
        seen: list[object] = []
        assert Worker(queue, lambda job: seen.append(job.payload)).run(until_empty=True).done == len(seen) == 26
        with db.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE readings (id INTEGER PRIMARY KEY, value REAL)")
        with BulkInserter(db, "readings") as inserter:
            inserter.extend((n, n / 2) for n in range(100))
        assert db.fetch("SELECT count(*) FROM readings") == [(100,)]


def lacking(extra: str, use: Callable[[], object]) -> None:
    """See that it is refused in a sentence that names the extra."""
    from perflab import PerflabError

    said = "nothing was refused"
    try:
        use()
    except PerflabError as error:
        said = str(error)
    assert f"perflab[{extra}]" in said, f"{extra}: {said}"


def miss_the_extras(folder: Path) -> None:
    """Use something of each extra."""
    from importlib import import_module

    from sqlalchemy import Column, Integer, MetaData, Table

    from perflab import Compression, Database, DatabaseAdvisor, RowCache, load
    from perflab.cli import main
    from perflab.monitoring.opentelemetry import export_to_opentelemetry
    from perflab.monitoring.prometheus import collector_registry
    from perflab.monitoring.source import of_database

    things = Table("things", MetaData(), Column("id", Integer, primary_key=True))
    url = f"sqlite:///{folder / 'extras.db'}"
    with Database.open(url) as db:
        db.create_schema()
        lacking("postgres", lambda: Database.open("postgresql://nobody@127.0.0.1:1/none"))
        lacking("postgres", lambda: Database.open(f"postgresql+embedded:///{folder / 'server'}"))
        lacking("compression", lambda: Database.open(url, compression=Compression()))
        lacking("cache", lambda: RowCache(db, load(things)))
        lacking("dashboard", lambda: import_module("perflab.monitoring.dashboard.server"))
        lacking("metrics", lambda: collector_registry(of_database(db)))
        lacking("otel", lambda: export_to_opentelemetry(db))
        lacking("lab", lambda: DatabaseAdvisor(db).advise())
    assert main(["sweep"]) == 2, "without the extra lab there is no command line"


if __name__ == "__main__":
    if sys.version_info < (3, 12, 4):  # sqlite3 took ?1 for a name: python/cpython#117995
        warnings.filterwarnings("ignore", "Binding .* is a named parameter", DeprecationWarning)
    if "--hide" in sys.argv:
        sys.meta_path.insert(0, Hidden())
    with TemporaryDirectory(prefix="perflab-core-") as folder:
        use_the_parts(Path(folder))
        miss_the_extras(Path(folder))
    print("the core works alone, and what it lacks is named")
