"""`perflab worker`: handle the jobs of a queue."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perflab.cli.database_url import VARIABLE, DatabaseUrl, existing_database_url
from perflab.cli.examples import examples
from perflab.cli.metrics import MetricsOption, monitored_if
from perflab.errors import DatabaseError, HandlersStuck, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from perflab.database.database import Database
    from perflab.queue.worker import Worker

EXAMPLES = examples(
    "perflab worker app.jobs:handle sqlite:///lab.db",
    "PERFLAB_DATABASE_URL=postgresql://… perflab worker app.jobs:handle --queue ingest --processes 4",
)
EXIT_FAILED = 1
"""Of a supervised process that could not go on: unlike one that was refused, it is started again."""


def worker(
    context: typer.Context,
    handler: Annotated[
        str, typer.Argument(metavar="MODULE:HANDLER", help="Takes a Job, or a Job and a Progress; may be `async def`.")
    ],
    url: DatabaseUrl = None,
    *,
    queue: Annotated[str, typer.Option(help="Whose jobs.")] = "default",
    processes: Annotated[
        int | None,
        typer.Option(help="Worker processes to keep alive; without it, this process works itself."),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Jobs that run at a time, in each process.")] = 4,
    prefetch: Annotated[
        int | None, typer.Option(help="Jobs claimed ahead of those that run.", show_default=False)
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that a handler may take; then its job fails.", show_default=False)
    ] = None,
    lease: Annotated[float, typer.Option(help="Seconds until the jobs of a dead worker go to others.")] = 60.0,
    poll_interval: Annotated[float, typer.Option(help="Seconds between looks into an empty queue, at most.")] = 0.1,
    listen: Annotated[
        bool, typer.Option(help="On PostgreSQL, hear of jobs as they are enqueued, over a connection more.")
    ] = True,
    drain_timeout: Annotated[
        float, typer.Option(help="Seconds for running jobs to end in after the first SIGTERM or Ctrl-C.")
    ] = 30.0,
    until_empty: Annotated[bool, typer.Option(help="End when no job is ready, due or running here.")] = False,
    metrics: MetricsOption = True,
    supervised: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Handle the jobs of a queue, until SIGTERM or Ctrl-C.

    The first signal drains: nothing more is claimed, running jobs may end, the others are given back. A second one
    gives all back at once.
    """
    import logging

    from perflab.database.database import Database
    from perflab.database.schema import check_schema
    from perflab.queue.queue import PriorityQueue
    from perflab.queue.worker import Worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    function = load_handler(handler)
    with _exit_code_for_supervisor(supervised=supervised), Database.open(url := existing_database_url(url)) as database:
        check_schema(database)
        one = Worker(
            PriorityQueue(database, queue),
            function,
            concurrency=concurrency,
            prefetch=prefetch,
            timeout=timeout,
            lease=lease,
            poll_interval=poll_interval,
            listen=listen,
            drain_timeout=drain_timeout,
        )
        _say_if_paused(database, queue)
        if processes is None:
            with monitored_if(metrics, database):
                _work(one, queue, until_empty=until_empty, supervised=supervised)
    if processes is not None:
        raise typer.Exit(_supervise(context.params, url, processes))


def load_handler(name: str) -> Callable[..., Any]:
    """The function that `module:attribute` names; modules are looked for in the current directory, too.

    Raises:
        InvalidInput: there is no such module or attribute, it cannot be called, or the module raises an error.
    """
    from importlib import import_module
    from operator import attrgetter
    from traceback import walk_tb

    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise InvalidInput(f"the handler is {name!r}: write module:function, such as app.jobs:handle")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise InvalidInput(f"the module {module_name!r} needs {error.name!r}, which is not installed") from error
        raise InvalidInput(f"there is no module {error.name!r}: run this where it can be imported") from error
    except Exception as error:  # it is the user's, and may do anything
        *_, (frame, line) = walk_tb(error.__traceback__)
        raise InvalidInput(
            f"the module {module_name!r} cannot be imported: {type(error).__name__}: {error} "
            f"(at {frame.f_code.co_filename}:{line})"
        ) from error
    try:
        found = attrgetter(attribute)(module)
    except AttributeError as error:
        raise InvalidInput(f"the module {module_name!r} has no {attribute!r}") from error
    if not callable(found):
        raise InvalidInput(f"{name} is {found!r}: name a function that takes a Job")
    return found  # type: ignore[no-any-return]  # it is callable


def _say_if_paused(database: Database, queue: str) -> None:
    import logging

    from perflab.queue.queue import PriorityQueue

    if PriorityQueue(database, queue).paused_at() is not None:
        logging.getLogger(__name__).warning("the queue %s is paused: workers wait until it is resumed", queue)


def _work(one: Worker, queue: str, *, until_empty: bool, supervised: bool) -> None:
    if supervised:
        threading.Thread(target=_stop_at_end_of_input, args=(one,), daemon=True).start()
    report = one.run(until_empty=until_empty)
    ends = {
        "done": report.done,
        "failed": report.failed,
        "stale": report.stale,
        "given back": report.released,
        "unacknowledged": report.unacknowledged,
    }
    how = ", ".join(f"{jobs:,} {end}" for end, jobs in ends.items() if jobs)
    typer.echo(f"{one.name}, queue {queue}: {report.claimed:,} jobs{': ' if how else ''}{how}")


def _stop_at_end_of_input(one: Worker) -> None:
    """The supervisor holds the other end of this pipe: when it dies, nobody would stop its processes any more."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    one.stop()


@contextmanager
def _exit_code_for_supervisor(*, supervised: bool) -> Iterator[None]:
    """Tell what may pass, and is tried again, from what was refused."""
    try:
        yield
    except (DatabaseError, HandlersStuck) as error:
        if not supervised:
            raise
        sys.stderr.write(f"perflab: {error}\n")
        raise typer.Exit(EXIT_FAILED) from error


def _supervise(parameters: dict[str, Any], url: str, processes: int) -> int:
    """Have processes do what this command was asked for."""
    from perflab.queue.supervisor import Supervisor

    options = []
    for name, value in parameters.items():
        option = name.replace("_", "-")
        if name in {"handler", "url", "processes", "supervised"} or value is None:
            continue
        if isinstance(value, bool):
            options.append(f"--{option}" if value else f"--no-{option}")
        else:
            options += [f"--{option}", str(value)]
    return Supervisor(
        [sys.executable, "-m", "perflab", "worker", parameters["handler"], *options, "--supervised"],
        processes,
        environment={**os.environ, VARIABLE: url},  # not among the arguments, which stand in the list of processes
        drain_timeout=parameters["drain_timeout"],
        restart_ended=not parameters["until_empty"],
    ).run()
