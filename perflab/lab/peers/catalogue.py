"""Who is measured, on which engine, and who is not and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from perflab.errors import InvalidInput
from perflab.lab.peers.chancy_peer import Chancy
from perflab.lab.peers.huey_peer import Huey
from perflab.lab.peers.litequeue_peer import LiteQueuePeer
from perflab.lab.peers.ours import OurQueue
from perflab.lab.peers.peer import QueuePeer
from perflab.lab.peers.persist_queue_peer import PersistQueue
from perflab.lab.peers.pgqueuer_peer import PgQueuer
from perflab.lab.peers.procrastinate_peer import Procrastinate
from perflab.lab.peers.raw import RawQueue
from perflab.lab.sweep.plan import Engine
from perflab.lab.sweep.profiles import Profile
from perflab.version import __version__

QUEUES: Sequence[QueuePeer] = (
    OurQueue("postgresql"),
    OurQueue("postgresql", keep_done=True),
    RawQueue("postgresql"),
    PgQueuer(),
    Chancy(),
    Procrastinate(),
    OurQueue("sqlite", "full"),
    OurQueue("sqlite", "normal"),
    RawQueue("sqlite", "full"),
    RawQueue("sqlite", "normal"),
    Huey(),
    PersistQueue(),
    LiteQueuePeer(),
)

NOT_MEASURED = {"oban": "not measured: pip found no distribution of oban-py when this was written"}
"""On PostgreSQL."""


def queues_of(engine: Engine) -> list[QueuePeer]:
    """All queues on an engine, installed or not."""
    return [queue for queue in QUEUES if queue.card.engine == engine]


def find_queue(name: str) -> QueuePeer:
    """The queue of a name.

    Raises:
        InvalidInput: there is none.
    """
    for queue in QUEUES:
        if queue.card.name == name:
            return queue
    raise InvalidInput(f"there is no queue {name!r}: use one of {', '.join(queue.card.name for queue in QUEUES)}")


SMOKE: Mapping[Engine, Sequence[str]] = {
    "sqlite": ("huey", "raw driver, full"),
    "postgresql": ("pgqueuer", "raw driver"),
}
"""What a smoke run holds ours against where nothing is named: it shall end within a minute on a busy machine, too."""


def named_queues(names: str, *, engine: Engine, profile: Profile) -> tuple[str, ...]:
    """The queues of a notebook's parameter: names with semicolons between, for some have a comma in them.

    Returns:
        For `measure_peers`: empty for all queues.

    Raises:
        InvalidInput: there is no such queue on the engine.
    """
    known = [queue.card.name for queue in queues_of(engine)]
    named = tuple(name for each in names.split(";") if (name := each.strip()))
    for name in named:
        if name not in known:
            raise InvalidInput(f"there is no queue {name!r} on {engine}: use some of {'; '.join(known)}")
    return named or (tuple(SMOKE[engine]) if profile == "smoke" else ())


def installed_version(queue: QueuePeer) -> str | None:
    """Of its package; None if it is not installed."""
    package = queue.card.package
    if queue.card.role == "ours" or not package:
        return __version__ if queue.card.role == "ours" else ""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
