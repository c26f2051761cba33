"""Database URLs: which engine they name, and how to show them without their secrets."""

from __future__ import annotations

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from perflab.database.values import check_sql_name
from perflab.errors import InvalidInput

SQLITE_SCHEMES = ("sqlite", "sqlite+pysqlite")
POSTGRESQL_SCHEMES = ("postgresql", "postgresql+psycopg")
EMBEDDED_SCHEME = "postgresql+embedded"
SQLITE_URI_PARAMETERS = frozenset({"uri", "mode", "cache", "immutable", "nolock", "psow", "vfs"})
"""What SQLite itself takes in a `file:` URI; all else is an argument of `Database.open`, or nothing."""

_AMBIGUOUS = frozenset("@:?#")
"""In the name of a database: it may be a piece of a password that was not percent-encoded."""
_HOST = re.compile(r"[\w.:%,-]*")
_PARAMETER = re.compile(r"[a-z_]+")
_USER_INFO = re.compile(r"(?<=://)([^:/\n]*):(?:\S{0,4096}|[^/\n]{0,4096})@")
"""Bounded, so that a long text is not searched to its end from each of its schemes: tokens have a few kilobytes."""
_SECRET_NAME = (
    r"((?:password|passwd|passphrase|passfile|pwd)\s*(?:=(?!=)|%3D)\s*|(?<![a-z])(?:pass|token|secret)=(?!=))"  # noqa: S105
)
_QUOTED = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""
_SECRET_PARAMETER = re.compile(rf"{_SECRET_NAME}(?:{_QUOTED}|[^&\s]+)", re.IGNORECASE)
_URL_USER_INFO = re.compile(r"^([\w+.-]*://)?+([^:@]*+)(?=[^:]*+:.*@).*@", re.DOTALL)
_URL_SECRET_PARAMETER = re.compile(rf"{_SECRET_NAME}[^&]*", re.IGNORECASE)


def redact(text: str) -> str:
    """`text` without the passwords of the URLs and connection strings in it.

    Where a password ends is a guess if it holds what should have been percent-encoded; a text that is one URL as a
    whole goes through `redact_url`.
    """
    return _USER_INFO.sub(r"\1:***@", _SECRET_PARAMETER.sub(r"\1***", text))


def redact_url(url: str) -> str:
    """The same for a text that is meant to be a URL: malformed ones do not show where their password ends."""
    return _URL_USER_INFO.sub(r"\1\2:***@", _URL_SECRET_PARAMETER.sub(r"\1***", url))


def parse_url(url: str) -> URL:
    """The parsed URL of a supported engine.

    Raises:
        InvalidInput: not a URL, an engine that perflab does not know, or a part that this engine does not have. The
            message never holds a password.
    """
    if not isinstance(url, str):
        raise InvalidInput(f"the database URL is a {type(url).__name__}: give text, such as 'sqlite:///lab.db'")
    shown = redact_url(url)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(f"{shown!r} is not a database URL: write it like 'sqlite:///lab.db'") from None
    if parsed.drivername in SQLITE_SCHEMES:
        _check_sqlite(parsed, shown)
    elif parsed.drivername in POSTGRESQL_SCHEMES:
        _check_postgresql(parsed, shown)
    elif parsed.drivername == EMBEDDED_SCHEME:
        _check_embedded(parsed, shown)
    else:
        raise InvalidInput(
            f"unknown URL scheme {parsed.drivername!r} in {shown!r}: use 'sqlite:///lab.db', "
            "'postgresql://user@host/name' or 'postgresql+embedded:///dir'"
        )
    return parsed


def _check_postgresql(url: URL, shown: str) -> None:
    """Refuse a URL whose password was not encoded: pieces of it would be taken for a host, a database or a parameter.

    They are not shown, for the same reason.
    """
    is_clean = _HOST.fullmatch(url.host or "") and not _AMBIGUOUS & set(url.database or "")
    if not is_clean or not all(map(_PARAMETER.fullmatch, url.query)):
        raise InvalidInput(
            f"{shown!r} cannot be taken apart safely: percent-encode what is special in its password, such as @ as %40"
        )


def _check_sqlite(url: URL, shown: str) -> None:
    if url.username or url.password or url.host or url.port:
        raise InvalidInput(
            f"{shown!r} names a host, and SQLite is a file: write three slashes before a relative path "
            "('sqlite:///lab.db') and four before an absolute one"
        )
    if unknown := url.query.keys() - SQLITE_URI_PARAMETERS:
        raise InvalidInput(
            f"unknown parameter {', '.join(sorted(map(repr, unknown)))} in {shown!r}: give settings as arguments of "
            "Database.open"
        )
    is_uri = str(url.database).startswith("file:")
    if is_uri != (url.query.get("uri") == "true") or (url.query and not is_uri):
        raise InvalidInput(
            f"{shown!r} is half a SQLite URI: write 'sqlite:///file:lab.db?mode=ro&uri=true', or 'sqlite:///lab.db' "
            "without parameters"
        )


def _check_embedded(url: URL, shown: str) -> None:
    if url.username or url.password or url.host or url.port:
        raise InvalidInput(
            f"{shown!r} names a host, and an embedded server is a directory: write three slashes before a relative "
            "path ('postgresql+embedded:///dir') and four before an absolute one"
        )
    if not url.database:
        raise InvalidInput(f"{shown!r} names no directory: write it like 'postgresql+embedded:///dir'")
    if unknown := url.query.keys() - {"database"}:
        raise InvalidInput(
            f"unknown parameter {', '.join(sorted(map(repr, unknown)))} in {shown!r}: an embedded server takes "
            "'database' only; start it with EmbeddedServer.start to give it settings"
        )
    name = url.query.get("database", "postgres")
    if not isinstance(name, str):
        raise InvalidInput(f"{shown!r} names several databases: name one")
    check_sql_name(name, f"the database in {shown!r}")
    if _AMBIGUOUS & set(name):
        raise InvalidInput(f"the database in {shown!r} has one of @ : ? # in its name: choose another, or rename it")
