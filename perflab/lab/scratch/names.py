"""Names of scratch schemas on PostgreSQL: unique, locked while somebody uses them, and free to remove afterwards."""

from __future__ import annotations

import secrets

from perflab.database.operation import DriverConnection

PREFIX = "perflab_scratch_"

_LEFT_BEHIND = (
    "SELECT nspname FROM pg_namespace WHERE nspname ~ '^perflab_scratch_[0-9a-f]{12}(_[a-z]+)?$' "
    "AND pg_get_userbyid(nspowner) = current_user"
)
_LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, 0))"
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"


class ScratchNames:
    """Claims names of schemas on one connection, for as long as that lives.

    Each name is an advisory lock of the session. So a schema whose lock is free was left by a process that was killed,
    and the next one removes it.
    """

    def __init__(self, connection: DriverConnection) -> None:
        self._connection = connection
        self._claimed: list[str] = []

    def remove_leftovers(self) -> None:
        """Drop the schemas of this user that nobody has claimed."""
        for (name,) in self._connection.execute(_LEFT_BEHIND).fetchall():
            if self._connection.execute(_TRY_LOCK, (name,)).fetchone() == (True,):
                self.drop(name)
                self._connection.execute(_UNLOCK, (name,))

    def claim(self, *roles: str) -> list[str]:
        """One new name for each role, such as "before" and "after", which it ends with; they differ in nothing else."""
        stem = f"{PREFIX}{secrets.token_hex(6)}"
        names = [f"{stem}_{role}" if role else stem for role in roles]
        for name in names:
            self._connection.execute(_LOCK, (name,))
            self._claimed.append(name)
        return names

    def drop(self, name: str) -> None:
        """Remove a schema with all that is in it, if it is there."""
        self._connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")

    def release(self) -> None:
        """Give the names up, before the connection goes back to its pool."""
        if not self._connection.is_broken:  # else the server has done it
            for name in self._claimed:
                self._connection.execute(_UNLOCK, (name,))
        self._claimed.clear()
