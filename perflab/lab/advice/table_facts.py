"""What the catalogue of an engine says of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ROWS_COUNTED_AT_MOST = 1_000_000
"""Where only counting tells how deep a table is, it ends here: by then the table is deep."""


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """One index.

    Attributes:
        name: Of the index.
        columns: Of its key, in order; an expression is the empty text.
        where: The condition of a partial one; "" for a full one.
        unique: Whether a key occurs once.
    """

    name: str
    columns: tuple[str, ...]
    where: str = ""
    unique: bool = False


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table.

    Attributes:
        name: Without its schema.
        schema: On PostgreSQL; "" on SQLite.
        rows: About how many; where they were counted, `ROWS_COUNTED_AT_MOST` means at least so many.
        columns: In their order, without generated ones.
        indexes: All of them, that of the primary key included.
        statistics_rows: How many rows the planner's statistics were made from; None where there are none.
        statistics: SQLite's own rows of statistics (index, text), as they can be put back.
        changed_rows: Since the statistics were made; 0 on SQLite, which does not count them.
        dead_rows: Not yet vacuumed, on PostgreSQL.
        updates: Row updates since the server counts.
        hot_updates: How many of those stayed on their page and left the indexes alone.
        options: Storage parameters, on PostgreSQL.
    """

    name: str
    schema: str
    rows: int
    columns: tuple[str, ...]
    indexes: tuple[IndexFacts, ...]
    statistics_rows: int | None
    statistics: tuple[tuple[str | None, str], ...] = ()
    changed_rows: int = 0
    dead_rows: int = 0
    updates: int = 0
    hot_updates: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def sql_name(self) -> str:
        """Quoted, with its schema."""
        return f"{quoted(self.schema)}.{quoted(self.name)}" if self.schema else quoted(self.name)

    @property
    def shown_name(self) -> str:
        """For people: the schema is left out where it is the usual one."""
        return f"{self.schema}.{self.name}" if self.schema not in ("", "public") else self.name


@dataclass(frozen=True, slots=True)
class SQLiteSettings:
    """What a writing connection of SQLite is set to, beside the size that it has to do with.

    Attributes:
        journal_mode: "wal" for a file of perflab's.
        checkpoint_pages: Of log, after which they are written back.
        cache_bytes: Of pages kept in memory.
        page_bytes: Of one page.
        database_bytes: Of all of them.
    """

    journal_mode: str
    checkpoint_pages: int
    cache_bytes: int
    page_bytes: int
    database_bytes: int


Tables = Mapping[str, TableFacts]
"""By name without schema: where two schemas have the same one, the first of the search path."""


def quoted(identifier: str) -> str:
    """An identifier as SQL takes it, whatever it holds."""
    return '"' + identifier.replace('"', '""') + '"'
