"""Which PostgreSQL server a sweep measures: the embedded one, or the user's own."""

from __future__ import annotations

import hashlib
import os

from sqlalchemy.engine import make_url

from perflab.lab.network.postgres_url import server_address
from perflab.lab.sweep.plan import Engine

URL_VARIABLE = "PERFLAB_URL"
"""Environment variable with the URL of the user's own server. Not a parameter: those are stored in reports."""
EMBEDDED = "embedded"


def own_server_url(engine: Engine) -> str | None:
    """The URL of the user's own server, from the environment; None for SQLite, and where no server is named."""
    return (os.environ.get(URL_VARIABLE) or None) if engine == "postgresql" else None


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
