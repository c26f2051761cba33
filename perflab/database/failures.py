"""What kind of failure an exception is: that decides whether to try again, to bisect, or to stop."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from perflab.database.result_codes import (
    FailureKind,
    is_sqlite_too_much,
    is_sqlstate_too_much,
    kind_of_sqlite,
    kind_of_sqlstate,
)
from perflab.database.urls import redact
from perflab.errors import (
    DatabaseUnusable,
    InvalidInput,
    LifecycleError,
    OutcomeUnknown,
    PerflabError,
    RejectedRow,
    StatementError,
    TransientError,
)

MESSAGE_CHARACTERS = 800
"""Of a driver's message: a server quotes the value that it refuses, of whatever length."""


_ADVICE = {
    FailureKind.TRANSIENT: (TransientError, "it may pass: try again later"),
    FailureKind.DATA: (RejectedRow, "correct the row"),
    FailureKind.STATEMENT: (StatementError, "check the table and column names, and that create_schema() ran"),
    FailureKind.UNUSABLE: (DatabaseUnusable, "check that it is a healthy, writable database, and that you may use it"),
}


def driver_error(error: BaseException) -> BaseException:
    """The driver's own exception, where SQLAlchemy wrapped it."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def classify(error: BaseException) -> FailureKind:
    """The kind of a driver's exception, by its result code and never by its text."""
    error = driver_error(error)
    if isinstance(error, RejectedRow | InvalidInput):
        return FailureKind.DATA
    if isinstance(error, TransientError):
        return FailureKind.TRANSIENT
    if isinstance(error, OutcomeUnknown):
        return FailureKind.UNKNOWN
    if isinstance(error, DatabaseUnusable | LifecycleError):
        return FailureKind.UNUSABLE
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None:
            return kind_of_sqlite(code)
        # Without a result code the module itself refused: a type or a count of parameters that it cannot bind.
        if isinstance(error, sqlite3.DataError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
            return FailureKind.DATA
        return FailureKind.UNUSABLE
    if type(error).__module__.partition(".")[0] == "psycopg":
        return _classify_psycopg(error)
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return FailureKind.DATA
    if isinstance(error, MemoryError):  # which is also how the sqlite3 module reports SQLITE_NOMEM
        return FailureKind.TRANSIENT
    return FailureKind.BUG


def _classify_psycopg(error: BaseException) -> FailureKind:
    """The same for psycopg, known by its name: the package is an extra and may not be there to be imported."""
    state: str | None = getattr(error, "sqlstate", None)
    if state is not None:
        return kind_of_sqlstate(state)
    # Without a state the client refused a value, or lost the server.
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"DataError", "ProgrammingError", "NotSupportedError"}:
        return FailureKind.DATA
    return FailureKind.TRANSIENT if names & {"OperationalError", "InterfaceError"} else FailureKind.UNUSABLE


def is_too_much(error: BaseException) -> bool:
    """Whether a smaller batch may get through where this one did not: it was too large, or took too long."""
    error = driver_error(error)
    if isinstance(error, sqlite3.Error):
        return is_sqlite_too_much(getattr(error, "sqlite_errorcode", None) or 0)
    state: str = getattr(error, "sqlstate", None) or ""
    return is_sqlstate_too_much(state) or isinstance(error, TimeoutError | MemoryError)


def is_about_connection(error: BaseException) -> bool:
    """Whether a failure tells of the connection to a server, or of the server itself, and not of a statement."""
    while isinstance(error, PerflabError) and error.__cause__ is not None:
        error = error.__cause__
    error = driver_error(error)
    if type(error).__module__.partition(".")[0] != "psycopg":
        return False
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:
        return _classify_psycopg(error) is FailureKind.TRANSIENT
    return state.startswith(("08", "57P"))


def as_perflab_error(error: BaseException, doing: str) -> PerflabError | None:
    """The typed error for a driver's exception, to be raised `from` it; None if it is not a database failure.

    Args:
        error: what the driver or SQLAlchemy raised.
        doing: what was being done, for the message, such as "enqueue of 100 items".
    """
    if isinstance(error, PerflabError):
        return error
    kind = classify(error)
    if kind is FailureKind.BUG:
        return None
    error_type, advice = _ADVICE[kind]
    return error_type(f"{doing} failed: {redact(str(driver_error(error))):.{MESSAGE_CHARACTERS}}; {advice}")


def typed(error: Exception, doing: str) -> Exception:
    """The typed error for a waiter, with the driver's as its cause; what is no failure of the database stays itself."""
    known = as_perflab_error(error, doing)
    if known is None or known is error:
        return error
    known.__cause__ = error
    return known


def name_of_failure(error: BaseException) -> str:
    """What it was, without its message, which may quote a row: the type, and the code of the engine where one is known,
    such as "RejectedRow (23505)".
    """
    known = as_perflab_error(error, "it")
    cause: BaseException | None = error
    while cause is not None:
        source = driver_error(cause)
        if code := getattr(source, "sqlstate", None) or getattr(source, "sqlite_errorname", None):
            return f"{type(known or error).__name__} ({code})"
        cause = cause.__cause__
    return type(known or error).__name__


class TypedErrors:
    """A block out of which a driver's exception comes as the typed error; everything else passes as it is."""

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            typed = as_perflab_error(error, self._doing)
            if typed is not None and typed is not error:
                raise typed from error
