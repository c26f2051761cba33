"""Which PostgreSQL server a sweep measures: the embedded one, or the user's own."""

from __future__ import annotations

import hashlib

from sqlalchemy.engine import make_url

from perflab.lab.network.postgres_url import server_address
from perflab.lab.sweep.plan import Engine

EMBEDDED = "embedded"


def server_label(engine: Engine, url: str | None) -> str:
    """The name of a server in plans and reports: which one it is, without saying where. SQLite has none.

    Raises:
        InvalidInput: it is no URL of one PostgreSQL server.
    """
    if engine == "sqlite":
        return ""
    if url is None:
        return EMBEDDED
    where = f"{server_address(url)}/{make_url(url).database}"
    return f"own {hashlib.sha256(where.encode()).hexdigest()[:8]}"
