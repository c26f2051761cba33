"""The rows of one batch for one watch, folded into one that has the same effect.

An upsert on PostgreSQL may touch a row only once, so rows that apply one after the other must become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from perflab.database.columns import columns_of
from perflab.scheduler.engine import ABSENT, IngestRow

NetIngest: TypeAlias = tuple[str, str | None, str | None, int, str, int]
"""What several ingest rows of one watch come to: name of the watch; the last cursor and the last etag that were given
(None: none was); when the last success was (ABSENT: there is none, and the failures add to those that are known); the
error of the last row ("" if that is a success); errors after the last success, or all of them."""


def net_ingest_columns(rows: Sequence[IngestRow], now: int) -> Sequence[Sequence[Any]]:
    """What `fold_ingest_rows` returns, by columns. For successes of different watches, as nearly all batches are, there
    is no row to be made in between.
    """
    watches, cursors, etags, moments, errors = columns_of(rows)
    if errors.count(ABSENT) < len(rows) or len(set(watches)) < len(rows):
        return columns_of(fold_ingest_rows(rows, now))
    successes = [moment or now for moment in moments]
    return watches, _given(cursors), _given(etags), successes, [""] * len(rows), [0] * len(rows)


def fold_ingest_rows(rows: Sequence[IngestRow], now: int) -> list[NetIngest]:
    """One net row for each watch, in the order in which they first come.

    Args:
        rows: in the order in which they apply.
        now: microseconds since 1970: when a success was that does not say.
    """
    if len({row[0] for row in rows}) == len(rows):  # nearly always
        return [_net(row, now) for row in rows]
    net_of_watch: dict[str, NetIngest] = {}
    for row in rows:
        later = _net(row, now)
        earlier = net_of_watch.get(row[0])
        net_of_watch[row[0]] = later if earlier is None else _fold(earlier, later)
    return list(net_of_watch.values())


def _given(texts: Sequence[Any]) -> Sequence[str | None]:
    return [None if text == ABSENT else text for text in texts] if ABSENT in texts else texts


def _net(row: IngestRow, now: int) -> NetIngest:
    # Compared, not tested: an empty text is given too.
    watch, cursor, etag, succeeded_at, error = row
    return (
        watch,
        None if cursor == ABSENT else cursor,
        None if etag == ABSENT else etag,
        succeeded_at or now if error == ABSENT else ABSENT,
        "" if error == ABSENT else error,
        0 if error == ABSENT else 1,
    )


def _fold(earlier: NetIngest, later: NetIngest) -> NetIngest:
    """What the statement does to a stored state, done to one that is not stored yet."""
    watch, cursor, etag, last_success_at, last_error, failures = later
    _, earlier_cursor, earlier_etag, earlier_success_at, _, earlier_failures = earlier
    return (
        watch,
        earlier_cursor if cursor is None else cursor,
        earlier_etag if etag is None else etag,
        last_success_at or earlier_success_at,
        last_error,
        failures if last_success_at else failures + earlier_failures,
    )
