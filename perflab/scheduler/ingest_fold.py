"""The rows of one batch for one watch, folded into one that has the same effect.

An upsert on PostgreSQL may touch a row only once, so rows that apply one after the other must become one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from perflab.scheduler.engine import ABSENT, IngestRow


class NetIngest(NamedTuple):
    """What several ingest rows of one watch come to."""

    watch: str
    cursor: str | None
    """The last one given; None: none was."""
    etag: str | None
    last_success_at: int | None
    """Of the last row that is a success; None: none is, and `failures` add to those that are known."""
    last_error: str | None
    """Of the last row; None: it is a success."""
    failures: int
    """Errors after the last success, or all of them."""


def fold_ingest_rows(rows: Iterable[IngestRow], now: int) -> list[NetIngest]:
    """One net row for each watch, sorted by its name.

    Args:
        rows: in the order in which they apply.
        now: microseconds since 1970: when a success was that does not say.
    """
    net_of_watch: dict[str, NetIngest] = {}
    for row in rows:
        later = _net(row, now)
        earlier = net_of_watch.get(later.watch)
        net_of_watch[later.watch] = later if earlier is None else _fold(earlier, later)
    return [net_of_watch[watch] for watch in sorted(net_of_watch)]


def _net(row: IngestRow, now: int) -> NetIngest:
    # Compared, not tested: an empty text is given too.
    watch, cursor, etag, succeeded_at, error = row
    if error == ABSENT:
        return NetIngest(
            watch,
            None if cursor == ABSENT else cursor,
            None if etag == ABSENT else etag,
            succeeded_at or now,
            None,
            0,
        )
    return NetIngest(watch, None if cursor == ABSENT else cursor, None if etag == ABSENT else etag, None, error, 1)


def _fold(earlier: NetIngest, later: NetIngest) -> NetIngest:
    """What the statement does to a stored state, done to one that is not stored yet."""
    return NetIngest(
        later.watch,
        earlier.cursor if later.cursor is None else later.cursor,
        earlier.etag if later.etag is None else later.etag,
        earlier.last_success_at if later.last_success_at is None else later.last_success_at,
        later.last_error,
        later.failures + (earlier.failures if later.last_success_at is None else 0),
    )
