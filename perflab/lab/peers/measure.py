"""All visits of a plan, in randomised complete blocks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from perflab.errors import LabError
from perflab.lab.peers.arena import Arena, open_arena
from perflab.lab.peers.catalogue import NOT_MEASURED, installed_version, queues_of
from perflab.lab.peers.findings import PeersFindings
from perflab.lab.peers.peer import QueuePeer
from perflab.lab.peers.plan import PeersPlan

VISIT_LIMIT_SECONDS = 300.0
INSTALL = "not installed: pip install 'perflab[peers]'"


class VisitFailed(LabError):
    """A queue did not do what was asked of it."""


def measure_peers(
    plan: PeersPlan,
    url: str | None = None,
    *,
    names: Sequence[str] = (),
    visited: Callable[[], object] = lambda: None,
) -> PeersFindings:
    """Visit every installed queue in every block, each time with a fresh database and in a process of its own.

    A queue that fails once is visited no more, and has a reason instead of figures.

    Args:
        plan: what to measure.
        url: of the user's own PostgreSQL server, where everything happens in a scratch schema; None: an embedded one.
        names: of the queues to visit beside ours; all where none is named.
        visited: called after each visit, to show progress.

    Raises:
        MissingExtra, DatabaseUnusable, InvalidInput: the engine is not there.
        VisitFailed: a queue of ours failed.
    """
    queues, reasons = _installed(plan, names)
    rows: list[dict[str, Any]] = []
    with open_arena(plan.engine, url) as arena:
        for block in range(plan.blocks):
            for queue, request in _order(plan, queues, block):
                name = queue.card.name
                if name in reasons:
                    continue
                try:
                    found = _visit(arena, queue, request)
                except VisitFailed as error:
                    if queue.card.role == "ours":
                        raise VisitFailed(f"{name} has no figures to hold others against: {error}") from error
                    reasons[name] = str(error)
                    rows = [row for row in rows if row["queue"] != name]
                    continue
                rows.append({"block": block, "queue": name, "what": request["what"], **found})
                visited()
        return PeersFindings(plan, rows, reasons, arena.environment)


def visits_of(plan: PeersPlan, names: Sequence[str] = ()) -> int:
    """How many there will be if none fails."""
    return plan.blocks * len(list(_order(plan, _installed(plan, names)[0], 0)))


def _installed(plan: PeersPlan, names: Sequence[str]) -> tuple[list[QueuePeer], dict[str, str]]:
    """Those that can be visited, and why the others are not."""
    all_queues = queues_of(plan.engine)
    queues = [queue for queue in all_queues if queue.card.role == "ours" or is_chosen(queue.card.name, names)]
    missing = {queue.card.name: INSTALL for queue in queues if installed_version(queue) is None}
    never = NOT_MEASURED if plan.engine == "postgresql" else {}
    reasons = {**missing, **{name: reason for name, reason in never.items() if is_chosen(name, names)}}
    return [queue for queue in queues if queue.card.name not in missing], reasons


def is_chosen(name: str, names: Sequence[str]) -> bool:
    """Whether a queue is among those that were named; where none was, all are."""
    return not names or name in names


def _order(plan: PeersPlan, queues: list[QueuePeer], block: int) -> Iterator[tuple[QueuePeer, dict[str, Any]]]:
    visits: list[tuple[QueuePeer, dict[str, Any]]] = []
    for queue in queues:
        jobs = plan.jobs_for(queue.card.slowness)
        visits.append((queue, {"what": "drain", "jobs": jobs, "singles": plan.singles}))
        if queue.card.wakes and plan.latency_jobs:
            request = {"what": "latency", "jobs": plan.latency_jobs, "interval": plan.interval_seconds}
            visits.append((queue, request))
    Random(f"{plan.seed}/{block}").shuffle(visits)
    yield from visits


def _visit(arena: Arena, queue: QueuePeer, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of one visit.

    Raises:
        VisitFailed: with the last line of what the process said.
    """
    with arena.fresh() as url:
        text = json.dumps({**request, "queue": queue.card.name, "url": url}) + "\n"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "perflab.lab.peers.visit"],
                input=text,  # not an argument: the URL may hold a password
                capture_output=True,
                text=True,
                timeout=VISIT_LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise VisitFailed(f"its {request['what']} did not end within {VISIT_LIMIT_SECONDS:g} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise VisitFailed(f"its {request['what']} failed: {said[-1].replace(url, 'the database')}")
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["durability"] != queue.card.durability:
        raise VisitFailed(
            f"commits have durability {queue.card.durability!r} on its card, in the database {answer['durability']}"
        )
    return {"measured_at": datetime.now(UTC), **answer}
