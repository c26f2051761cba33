"""Whether a database is there at all: opening a SQLite file or an embedded server that is missing makes it."""

from __future__ import annotations

from pathlib import Path

from perflab.database.urls import EMBEDDED_SCHEME, parse_url
from perflab.errors import DatabaseUnusable


def check_is_there(url: str) -> None:
    """Refuse a database that opening would make, such as one whose path is mistyped. A server is not asked.

    Raises:
        InvalidInput: the URL is wrong.
        DatabaseUnusable: there is no such file, or no embedded server was ever started in the directory.
    """
    parsed = parse_url(url)
    if parsed.drivername == EMBEDDED_SCHEME:
        from perflab.database.embedded_directory import is_server_directory  # noqa: PLC0415  # needs Linux or macOS

        if not is_server_directory(str(parsed.database)):
            raise DatabaseUnusable(
                f"no embedded server was ever started in {str(parsed.database)!r}: name another directory, or make one "
                f"with perflab db start {parsed.database}"
            )
    elif parsed.get_backend_name() == "sqlite":
        from perflab.database.sqlite import check_path, is_memory  # noqa: PLC0415  # only the engine that is used

        check_path(parsed)
        name = str(parsed.database)
        if is_memory(parsed) or name.startswith("file:"):  # SQLite takes a URI apart itself
            return
        if not Path(name).exists():
            raise DatabaseUnusable(
                f"there is no database file {name!r}: name another one, or make it with perflab db upgrade "
                f"sqlite:///{name}"
            )
