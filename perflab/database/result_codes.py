"""Result codes of the engines, and what kind of failure each of them tells of.

The tables are complete (a test compares them with the lists of the drivers), because what is not known is not harmless:
a code that is wrongly taken for a broken database fails a whole batch, and a refused row that is taken for a passing
failure is tried until its deadline.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum


class FailureKind(StrEnum):
    TRANSIENT = "transient"
    """May pass by itself: try the whole batch again."""
    DATA = "data"
    """One of the rows is refused: bisect."""
    STATEMENT = "statement"
    """The statement cannot run, or a row made it fail where the engine does not tell which: bisect too."""
    UNKNOWN = "unknown"
    """The connection was lost at COMMIT: ask what became of it before anything is tried again."""
    UNUSABLE = "unusable"
    """The database cannot be used (or was closed): fail everything."""
    BUG = "bug"
    """Not a database failure at all."""


# Result codes of SQLite, an extended one before its primary code (the low byte): https://sqlite.org/rescode.html
_SQLITE = {
    sqlite3.SQLITE_BUSY: FailureKind.TRANSIENT,
    sqlite3.SQLITE_LOCKED: FailureKind.TRANSIENT,
    sqlite3.SQLITE_PROTOCOL: FailureKind.TRANSIENT,  # the race for the locks of a WAL was lost too often
    sqlite3.SQLITE_FULL: FailureKind.TRANSIENT,  # space comes back, and earlier commits are intact
    sqlite3.SQLITE_INTERRUPT: FailureKind.TRANSIENT,
    sqlite3.SQLITE_ABORT: FailureKind.TRANSIENT,  # another statement rolled the transaction back
    sqlite3.SQLITE_NOMEM: FailureKind.TRANSIENT,
    sqlite3.SQLITE_IOERR_NOMEM: FailureKind.TRANSIENT,
    sqlite3.SQLITE_CONSTRAINT: FailureKind.DATA,
    sqlite3.SQLITE_MISMATCH: FailureKind.DATA,
    sqlite3.SQLITE_TOOBIG: FailureKind.DATA,
    sqlite3.SQLITE_RANGE: FailureKind.DATA,
    sqlite3.SQLITE_ERROR: FailureKind.STATEMENT,
    sqlite3.SQLITE_SCHEMA: FailureKind.STATEMENT,
    sqlite3.SQLITE_AUTH: FailureKind.STATEMENT,
    sqlite3.SQLITE_MISUSE: FailureKind.STATEMENT,
    sqlite3.SQLITE_NOTFOUND: FailureKind.STATEMENT,
    sqlite3.SQLITE_INTERNAL: FailureKind.STATEMENT,  # also what virtual tables report of their own
    sqlite3.SQLITE_CORRUPT: FailureKind.UNUSABLE,
    sqlite3.SQLITE_NOTADB: FailureKind.UNUSABLE,
    sqlite3.SQLITE_FORMAT: FailureKind.UNUSABLE,
    sqlite3.SQLITE_READONLY: FailureKind.UNUSABLE,
    sqlite3.SQLITE_CANTOPEN: FailureKind.UNUSABLE,
    sqlite3.SQLITE_PERM: FailureKind.UNUSABLE,
    sqlite3.SQLITE_IOERR: FailureKind.UNUSABLE,
    sqlite3.SQLITE_NOLFS: FailureKind.UNUSABLE,  # the file system holds no file of this size
    sqlite3.SQLITE_EMPTY: FailureKind.UNUSABLE,
}

# SQLSTATE by its longest known prefix: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL = {
    "02": FailureKind.STATEMENT,  # no data
    "03": FailureKind.STATEMENT,
    "08": FailureKind.TRANSIENT,  # connection; poolers report with 08P01 that all of theirs are in use
    "09": FailureKind.DATA,  # a trigger failed
    "0A": FailureKind.STATEMENT,  # feature not supported
    "0B": FailureKind.STATEMENT,
    "0F": FailureKind.DATA,  # a reference to a large object
    "0L": FailureKind.STATEMENT,
    "0P": FailureKind.STATEMENT,
    "0Z": FailureKind.STATEMENT,
    "10": FailureKind.DATA,  # argument of an XQuery
    "20": FailureKind.DATA,  # CASE without a branch for the value
    "21": FailureKind.DATA,  # cardinality: a key twice in one upsert
    "22": FailureKind.DATA,
    "23": FailureKind.DATA,  # integrity
    "24": FailureKind.STATEMENT,  # cursors
    "25": FailureKind.STATEMENT,  # the state of the transaction
    "25006": FailureKind.UNUSABLE,  # read-only
    "25P03": FailureKind.TRANSIENT,  # idle in a transaction for too long: the connection is gone
    "25P04": FailureKind.TRANSIENT,  # transaction timeout: the same
    "26": FailureKind.STATEMENT,  # prepared statements, of poolers too
    "27": FailureKind.DATA,  # changed by a trigger in the same statement
    "28": FailureKind.UNUSABLE,  # authorisation
    "2B": FailureKind.STATEMENT,
    "2D": FailureKind.STATEMENT,
    "2F": FailureKind.DATA,  # raised in a function
    "34": FailureKind.STATEMENT,
    "38": FailureKind.DATA,  # raised in a function in another language
    "39": FailureKind.DATA,  # the same, in its call
    "3B": FailureKind.STATEMENT,
    "3D": FailureKind.UNUSABLE,  # no such database
    "3F": FailureKind.STATEMENT,
    "40": FailureKind.TRANSIENT,  # serialisation, deadlock
    "40002": FailureKind.DATA,  # integrity, at COMMIT
    "42": FailureKind.STATEMENT,  # syntax, names, rights; and rows that row-level security refuses
    "44": FailureKind.DATA,  # WITH CHECK OPTION of a view
    "53": FailureKind.TRANSIENT,  # too many connections, disk full, out of memory
    "54": FailureKind.DATA,  # too large
    "55": FailureKind.STATEMENT,  # not in a state for it
    "55006": FailureKind.TRANSIENT,  # in use
    "55P03": FailureKind.TRANSIENT,  # lock not available
    "57": FailureKind.TRANSIENT,  # operators: cancelled, shutdown, crash, starting up
    "57P04": FailureKind.UNUSABLE,  # the database was dropped
    "58": FailureKind.UNUSABLE,  # system error
    "72": FailureKind.TRANSIENT,  # snapshot too old, up to PostgreSQL 16
    "F0": FailureKind.UNUSABLE,  # configuration file
    "HV": FailureKind.STATEMENT,  # foreign data wrappers
    "P0": FailureKind.DATA,  # raised by a trigger or function in PL/pgSQL
    "XX": FailureKind.UNUSABLE,  # corruption
    "XX000": FailureKind.STATEMENT,  # the default of extensions, for values that they refuse as well
}

_SQLITE_TOO_MUCH = frozenset({sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT})
_POSTGRESQL_TOO_MUCH = (
    "53200",  # out of memory
    "54",  # a limit of the server
    "57014",  # statement timeout
    "25P04",  # transaction timeout
)


def kind_of_sqlite(code: int) -> FailureKind:
    """The kind of an extended or primary result code. What is not known is bisected: then no neighbour fails for it."""
    return _SQLITE.get(code) or _SQLITE.get(code & 0xFF) or FailureKind.STATEMENT


def kind_of_sqlstate(state: str) -> FailureKind:
    """The kind of a SQLSTATE. Functions may raise states of their own invention: what is not known is bisected."""
    return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2]) or FailureKind.STATEMENT


def is_sqlite_too_much(code: int) -> bool:
    return code == sqlite3.SQLITE_IOERR_NOMEM or code & 0xFF in _SQLITE_TOO_MUCH


def is_sqlstate_too_much(state: str) -> bool:
    return state.startswith(_POSTGRESQL_TOO_MUCH)
