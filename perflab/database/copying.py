"""COPY in binary as one transaction and one round trip, with other statements around it.

All statements go out in one simple Query, which the server takes as one transaction, and answers with one
ReadyForQuery. psycopg's own `copy()` sends a COPY alone; a batch has its note in the ledger too, and an upsert its
temporary table and its INSERT.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, generators
from psycopg._copy_base import format_row_binary
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Wait

from perflab.database.ledger import CopyNote

SENT_AT_ONCE = 65_536
"""Bytes. libpq slows down with buffers that are much larger (https://github.com/psycopg/psycopg/issues/255)."""
MOST_UNFLUSHED = 1_048_576
"""Bytes that may wait in libpq for a server that is slower than its client; psycopg's own bound."""
_SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_SUCCEEDED = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY})


@dataclass(frozen=True, slots=True)
class CopyStatement:
    """A COPY … FROM STDIN (FORMAT BINARY) and what belongs to it."""

    sql: str
    dumpers: tuple[str, ...]
    """By name of their types in psycopg's registry, one for each column."""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def copy_rows(
    connection: Connection[Any], statement: CopyStatement, rows: Iterable[Sequence[Any]], note: CopyNote
) -> None:
    """Send rows, all or nothing.

    Args:
        connection: in autocommit, or the COPY is a part of its transaction.
        statement: what to do with them.
        rows: of values that the dumpers take; read as they are sent.
        note: becomes complete before the end is sent.

    Raises:
        psycopg.Error: the server refused, or is lost.
    """
    query = ";\n".join([*note.statements, *statement.before, statement.sql, *statement.after])
    with connection.lock:
        connection.pgconn.send_query(query.encode())
        _check(connection.wait(generators.execute(connection.pgconn)), last=ExecStatus.COPY_IN)
        try:
            unflushed = 0
            for data in _encoded(statement.dumpers, rows):
                unflushed += len(data)
                must_wait = unflushed >= MOST_UNFLUSHED
                connection.wait(generators.copy_to(connection.pgconn, data, flush=must_wait))
                unflushed = 0 if must_wait else unflushed
        except BaseException:
            with suppress(psycopg.Error):
                connection.wait(_end(connection.pgconn, b"broken off by the client"))
            raise
        note.is_complete = True
        _check(connection.wait(_end(connection.pgconn, None)))


def _encoded(dumpers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytearray]:
    transformer = Transformer()
    types = transformer.adapters.types
    transformer.set_dumper_types([types.get_oid(name) for name in dumpers], Format.BINARY)
    data = bytearray(_SIGNATURE)
    for row in rows:
        format_row_binary(row, transformer, data)
        if len(data) > SENT_AT_ONCE:
            yield from _pieces(data)
            data = bytearray()
    yield from _pieces(data + _TRAILER)


def _pieces(data: bytearray) -> Iterator[bytearray]:
    for start in range(0, len(data), 2 * SENT_AT_ONCE):
        yield data[start : start + 2 * SENT_AT_ONCE]


def _end(connection: PGconn, error: bytes | None) -> PQGen[list[PGresult]]:
    """Send the end of the data; the results of the COPY and of all statements behind it."""
    while connection.put_copy_end(error) == 0:
        while not (yield Wait.W):
            pass
    yield from generators.send(connection)
    results: list[PGresult] = yield from generators.fetch_many(connection)
    return results


def _check(results: Sequence[PGresult], last: ExecStatus | None = None) -> None:
    for result in results:
        if result.status not in _SUCCEEDED and result.status != last:
            raise psycopg.errors.error_from_result(result)
