"""What could be done about a finding. None of these weakens durability: `synchronous` and its like are not proposed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from perflab.lab.advice.advice import TABLE, Change, Finding, FindingKind, Measure, Proposal
from perflab.lab.advice.findings import CHECKPOINT_PAGES
from perflab.lab.advice.shape import OrderTerm, TableUse
from perflab.lab.advice.table_facts import SQLiteSettings, TableFacts, quoted

LONGEST_NAME = 63
"""Bytes of an identifier on PostgreSQL."""
VACUUM_SCALE_FACTOR = 0.02
FILLFACTOR = 80
FORGET = "DELETE FROM sqlite_stat1 WHERE tbl = "
REMEMBER = "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES "
RELOAD = "ANALYZE sqlite_schema"
"""It computes nothing: it makes the connection read the statistics again."""


def index_proposals(finding: Finding, use: TableUse, engine: str) -> Iterator[Proposal]:
    """Indexes for one use of a table that it does not have yet, the most promising first.

    Columns that must be equal come first, then either the wanted order (so that nothing is sorted, and a LIMIT ends
    the reading early) or the range. What the statement compares with a constant of its own can be the condition of a
    partial index instead: then other rows are not in it, and no statistics can talk the planner out of it.
    """
    seen: set[tuple[tuple[OrderTerm, ...], str]] = set()
    for constants_outside in (True, False):
        where = " AND ".join(c.constant for c in use.equalities if c.constant) if constants_outside else ""
        equal = [c.column for c in use.equalities if not (constants_outside and c.constant)]
        for key in _keys(equal, use):
            if not key or (key, where) in seen or _has_index(finding.table, key, where):
                continue
            seen.add((key, where))
            yield _index_proposal(finding, use, key, where, engine)


def _keys(equal: list[str], use: TableUse) -> Iterator[tuple[OrderTerm, ...]]:
    """Key columns, by the order and by the range."""
    start = tuple(OrderTerm(column) for column in equal)
    if use.order:
        # A term that is held constant orders nothing. An index is read backwards as well as forwards.
        constant = {condition.column for condition in use.equalities}
        order = [term for term in use.order if term.column not in constant]
        if order and all(term.descending for term in order):
            order = [OrderTerm(term.column) for term in order]
        yield (*start, *order)
    if not use.order or (use.ranges and not use.limited):
        yield (*start, *(OrderTerm(column) for column in use.ranges[:1]))


def _has_index(facts: TableFacts, key: tuple[OrderTerm, ...], where: str) -> bool:
    columns = tuple(term.column for term in key)
    if any(term.descending for term in key):
        return False
    return any(
        index.columns[: len(columns)] == columns and _plain(index.where) in ("", _plain(where))
        for index in facts.indexes
    )


def _plain(condition: str) -> str:
    """A condition without what engines add to it: quotes, casts, parentheses and spaces."""
    return re.sub(r'::\w+(?: varying)?|["()\s]', "", condition).casefold()


def _index_proposal(finding: Finding, use: TableUse, key: tuple[OrderTerm, ...], where: str, engine: str) -> Proposal:
    facts = finding.table
    name = _index_name(facts, key, where)
    columns = ", ".join(quoted(term.column) + (" DESC" if term.descending else "") for term in key)
    concurrently = "CONCURRENTLY " if engine == "postgresql" else ""
    schema = f"{quoted(facts.schema)}." if facts.schema else ""
    condition = f" WHERE {where}" if where else ""
    change = Change(
        do=(f"CREATE INDEX {concurrently}{quoted(name)} ON {TABLE} ({columns}){condition}",),
        undo=(f"DROP INDEX {concurrently}{schema}{quoted(name)}",),
        index_columns=tuple(
            dict.fromkeys((*(term.column for term in key), *(c.column for c in use.equalities if where and c.constant)))
        ),
    )
    return Proposal(change, _index_reason(use, key, where))


def _index_reason(use: TableUse, key: tuple[OrderTerm, ...], where: str) -> str:
    ordered = bool(use.order) and key[-1].column in {term.column for term in use.order}
    parts = ["what must be equal leads" if len(key) > 1 else "it finds the rows at once"]
    if ordered:
        parts.append("the order follows, so that nothing is sorted")
    elif use.ranges and key[-1].column in use.ranges:
        parts.append("the range follows")
    if where:
        parts.append(f"only rows with {where} are in it, whatever the statistics say")
    return f"{'; '.join(parts)}. Every write of such a row pays for it."


def _index_name(facts: TableFacts, key: tuple[OrderTerm, ...], where: str) -> str:
    """Says the table and its columns; where that is too long or taken, it ends in a digest."""
    name = "_".join([facts.name, *(term.column for term in key), *(["partial"] if where else [])])
    taken = {index.name for index in facts.indexes}
    if len(name.encode()) <= LONGEST_NAME and name not in taken:
        return name
    digest = hashlib.sha256(f"{name} {where}".encode()).hexdigest()[:8]
    return f"{name.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}_{digest}"


def statistics_proposals(finding: Finding, engine: str) -> Iterator[Proposal]:
    """New statistics, or on SQLite none."""
    facts = finding.table
    if FindingKind.STALE_STATISTICS in finding.kinds:
        undo = _put_back(facts) if engine == "sqlite" else ()
        reason = "the planner then knows what is in the table now."
        if engine == "sqlite":
            reason += " If a column is uniform at that moment, it may do harm: prove it first."
        yield Proposal(Change((f"ANALYZE {TABLE}",), undo), reason)
    if engine == "sqlite" and facts.statistics:
        do = (f"{FORGET}{_text(facts.name)}", RELOAD)
        yield Proposal(
            Change(do, _put_back(facts)),
            "the statistics were made when other values were in the table, or lead the planner to an index whose first "
            "columns the statement does not name; without them it takes the index with most of the named columns. "
            "Connections that are open keep the old ones until they open again, and so does the next ANALYZE bring "
            "them back.",
        )


def _put_back(facts: TableFacts) -> tuple[str, ...]:
    """SQL that restores SQLite's statistics of a table."""
    rows = ", ".join(f"({_text(facts.name)}, {_text(index)}, {_text(stat)})" for index, stat in facts.statistics)
    return (f"{FORGET}{_text(facts.name)}", *([f"{REMEMBER}{rows}"] if rows else []), RELOAD)


def _text(value: str | None) -> str:
    """As a literal of SQL."""
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def storage_proposals(finding: Finding) -> Iterator[Proposal]:
    """Settings of one table, on PostgreSQL."""
    if FindingKind.DEAD_ROWS in finding.kinds:
        before = finding.table.options.get("autovacuum_vacuum_scale_factor")
        yield Proposal(
            Change(
                (
                    f"ALTER TABLE {TABLE} SET (autovacuum_vacuum_scale_factor = {VACUUM_SCALE_FACTOR})",
                    f"VACUUM (ANALYZE) {TABLE}",
                ),
                (_restored("autovacuum_vacuum_scale_factor", before),),
            ),
            f"autovacuum waits by default until a fifth of the table is dead; with {VACUUM_SCALE_FACTOR:g} it comes "
            "ten times as often and has a tenth to do. If dead rows stay after that, a transaction is open that could "
            "still see them.",
        )
    if FindingKind.COLD_UPDATES in finding.kinds and "fillfactor" not in finding.table.options:
        yield Proposal(
            Change(
                (f"ALTER TABLE {TABLE} SET (fillfactor = {FILLFACTOR})",),
                (_restored("fillfactor", None),),
                before_rows=True,
            ),
            f"with {100 - FILLFACTOR} % of each page left free, an update that changes no indexed column finds room "
            "beside the old row and writes to no index. It holds for pages that are written from now on.",
            Measure.UPDATES,
        )


def _restored(option: str, value: str | None) -> str:
    return f"ALTER TABLE {TABLE} RESET ({option})" if value is None else f"ALTER TABLE {TABLE} SET ({option} = {value})"


def pragma_proposals(finding: Finding, settings: SQLiteSettings) -> Iterator[Proposal]:
    """Settings of a connection, on SQLite."""
    if FindingKind.CHECKPOINTS in finding.kinds:
        yield Proposal(
            Change(
                (f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",),
                (f"PRAGMA wal_autocheckpoint = {settings.checkpoint_pages}",),
                on_connection=True,
            ),
            f"scattered writes change the same pages again and again; with {CHECKPOINT_PAGES:,} pages of log before a "
            "checkpoint, each is written back less often. Nothing is less durable; the log grows to some "
            f"{CHECKPOINT_PAGES * settings.page_bytes // 1024**2} MiB, which the first open after a crash has to read.",
            Measure.COMMITS,
        )
    if FindingKind.SMALL_CACHE in finding.kinds:
        kib = -(-settings.database_bytes // 1024)
        yield Proposal(
            Change(
                (f"PRAGMA cache_size = -{kib}",),
                (f"PRAGMA cache_size = -{settings.cache_bytes // 1024}",),
                on_connection=True,
            ),
            f"the whole database then stays in memory: {kib / 1024:,.0f} MiB in each connection that has read it.",
        )
