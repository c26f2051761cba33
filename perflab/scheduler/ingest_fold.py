"""The rows of one batch for one watch, folded into one that has the same effect.

An upsert on PostgreSQL may touch a row only once, so rows that apply one after the other must become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    rows_of_watch: dict[str, list[IngestRow]] = {}
    for row in rows:
        rows_of_watch.setdefault(row[0], []).append(row)
    return [_fold(rows_of_watch[watch], now) for watch in sorted(rows_of_watch)]


def _fold(rows: Sequence[IngestRow], now: int) -> NetIngest:
    cursor = etag = last_error = None
    last_success_at = None
    failures = 0
    for _, row_cursor, row_etag, succeeded_at, error in rows:
        # Compared, not tested: an empty text is given too.
        cursor = cursor if row_cursor == ABSENT else row_cursor
        etag = etag if row_etag == ABSENT else row_etag
        if error == ABSENT:
            last_success_at = succeeded_at or now
            last_error = None
            failures = 0
        else:
            last_error = error
            failures += 1
    return NetIngest(rows[0][0], cursor, etag, last_success_at, last_error, failures)
