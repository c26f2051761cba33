"""Which server a sweep measures: the embedded one, or the user's own; of SQLite, on which disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy.engine import make_url

from perflab.database.sqlite import is_memory
from perflab.database.urls import parse_url, redact_url
from perflab.errors import InvalidInput
from perflab.lab.network.postgres_url import server_address
from perflab.lab.sweep.plan import Engine

EMBEDDED = "embedded"


def server_label(engine: Engine, url: str | None) -> str:
    """The name of a server in plans and reports: which one it is, without saying where. The temporary folder has none.

    Raises:
        InvalidInput: it is no URL of one PostgreSQL server, or of a SQLite file.
    """
    if url is None:
        return "" if engine == "sqlite" else EMBEDDED
    where = str(sqlite_folder(url)) if engine == "sqlite" else f"{server_address(url)}/{make_url(url).database}"
    return f"own {hashlib.sha256(where.encode()).hexdigest()[:8]}"


def sqlite_folder(url: str) -> Path:
    """Where the file of a SQLite URL lies.

    Raises:
        InvalidInput: it names no file by its plain path.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite" or is_memory(parsed) or str(parsed.database).startswith("file:"):
        raise InvalidInput(f"{redact_url(url)!r} names no SQLite file: write it like 'sqlite:///lab.db'")
    return Path(str(parsed.database)).resolve().parent
