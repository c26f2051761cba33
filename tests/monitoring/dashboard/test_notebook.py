"""The dashboard as the output of a cell."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.monitoring.dashboard.notebook import LiveView
from perflab.monitoring.registry import MetricsRegistry
from perflab.queue.queue import PriorityQueue
from tests.monitoring.flushes import FLUSH
from tests.processes import wait_for

CELL = """
from perflab import Database, LiveView, PriorityQueue
with Database.open("sqlite://") as db:
    db.create_schema()
    with LiveView(db, interval=600.0):
        PriorityQueue(db, "mail").enqueue("a")
"""


def test_it_draws_again_and_again_and_at_the_end(database: Database) -> None:
    shown: list[str] = []
    with LiveView(database, interval=0.1, show=shown.append) as view:
        assert "Nothing to be seen yet" in shown[0]
        PriorityQueue(database, "mail").enqueue("a")
        wait_for(lambda: '<th scope="row">mail' in shown[-1])
        PriorityQueue(database, "post").enqueue("a")
    assert '<th scope="row">post' in shown[-1]
    count = len(shown)
    view.close()
    assert len(shown) == count
    assert "<script" not in shown[-1]
    assert shown[-1].startswith('<div class="perflab">')


def test_a_process_is_seen_without_a_table(database: Database) -> None:
    shown: list[str] = []
    registry = MetricsRegistry()
    with registry.observing(database), LiveView(registry, interval=600.0, show=shown.append, span="1h") as view:
        database.events.emit(FLUSH)
        view.refresh()
    assert "80 items a batch" in shown[-1]
    assert "this process" in shown[-1]
    assert "1 hour ago" in shown[-1]


def test_in_a_kernel_it_stays_below_its_cell_as_it_was_at_the_end() -> None:
    cell = nbformat.v4.new_code_cell(CELL)  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=[cell])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=120).execute()
    (output,) = notebook.cells[0].outputs
    assert '<th scope="row">mail' in output["data"]["text/html"]


@pytest.mark.parametrize(("arguments", "says"), [({"span": "2d"}, "5m, 1h, 8h"), ({"interval": 0.0}, "interval")])
def test_bad_input_is_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        LiveView(MetricsRegistry(), **arguments)  # type: ignore[arg-type]  # that is the test
