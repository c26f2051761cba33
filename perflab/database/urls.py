"""Database URLs: which engine they name, and how to show them without their secrets."""

from __future__ import annotations

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from perflab.errors import InvalidInput

_USER_INFO = re.compile(r"(?<=://)([^/?#\s:@]*):(\S*)@(?=[^@\s]*)")
_SECRET_PARAMETER = re.compile(r"(?i)\b((?:ssl)?pass(?:word|file)?|token|secret)=([^&\s'\"]+)")

ENGINES = ("sqlite",)


def redact(text: str) -> str:
    """`text` without the passwords of the URLs and connection strings in it."""
    return _SECRET_PARAMETER.sub(r"\1=***", _USER_INFO.sub(r"\1:***@", text))


def parse_url(url: str) -> URL:
    """The parsed URL of a supported engine.

    Raises:
        InvalidInput: not a URL, or an engine that perflab does not know. The message never holds a password.
    """
    if not isinstance(url, str):
        raise InvalidInput(f"the database URL is a {type(url).__name__}: give text, such as 'sqlite:///lab.db'")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(f"{redact(url)!r} is not a database URL: write it like 'sqlite:///lab.db'") from None
    scheme = parsed.drivername
    if scheme.partition("+")[0] not in ENGINES or scheme not in ("sqlite", "sqlite+pysqlite"):
        raise InvalidInput(
            f"unknown URL scheme {scheme!r} in {redact(url)!r}: this version opens SQLite files, 'sqlite:///lab.db'"
        )
    return parsed
