"""What is wrong: with the plan of a statement, and with a table as the catalogue shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from perflab.database.values import check_integer, check_number
from perflab.lab.advice.advice import Finding, FindingKind
from perflab.lab.advice.plan import Plan, Step, StepKind
from perflab.lab.advice.shape import Shape, TableUse
from perflab.lab.advice.statement import Statement
from perflab.lab.advice.table_facts import SQLiteSettings, TableFacts, Tables

CHECKPOINT_PAGES = 10_000
"""A log of so many pages is worth its disk: random priorities cost a third less with it than with the default."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is worth a word.

    Attributes:
        deep_rows: Tables with fewer rows are exempt: reading all of them takes no longer than a round trip.
        slow_seconds: Statements that take less on average are left alone, where their time is known.
        selective_share: A sequential scan that keeps more of the rows than this is the right plan, without a LIMIT.
        stale_share: Statistics are stale when more of the rows than this changed since.
        dead_share: A table is bloated when it has more dead rows for each live one than this.
        hot_share: Updates are cold when fewer of them than this stay on their page.
    """

    deep_rows: int = 10_000
    slow_seconds: float = 0.001
    selective_share: float = 0.3
    stale_share: float = 0.5
    dead_share: float = 0.2
    hot_share: float = 0.5

    def __post_init__(self) -> None:
        check_integer(self.deep_rows, "deep_rows", low=1)
        check_number(self.slow_seconds, "slow_seconds")
        for name in ("selective_share", "stale_share", "dead_share", "hot_share"):
            check_number(getattr(self, name), name, above_low=True)


KIND_OF_STEP = {
    StepKind.FULL_SCAN: FindingKind.FULL_SCAN,
    StepKind.SKIP_SCAN: FindingKind.SKIP_SCAN,
    StepKind.SORT: FindingKind.SORT,
}


def is_slow(statement: Statement, thresholds: Thresholds) -> bool:
    """Whether it is worth a look: slow, or nobody knows."""
    mean = statement.mean_seconds
    return mean is None or mean >= thresholds.slow_seconds


@dataclass(frozen=True, slots=True)
class PlanFinding:
    """A finding about a plan, with the part of the statement that suffers."""

    finding: Finding
    use: TableUse


def plan_findings(
    statement: Statement, plan: Plan, shape: Shape, tables: Tables, thresholds: Thresholds
) -> Iterator[PlanFinding]:
    """One finding for each deep table that the plan reads or sorts more of than it needs."""
    for use in shape.uses:
        facts = tables[use.table]
        if facts.rows < thresholds.deep_rows or not use.can_use_an_index or _finds_single_rows(use, facts):
            continue
        steps = [
            step
            for step in plan.steps
            if step.table in (use.alias, use.table) and _is_costly(step, use, facts, thresholds)
        ]
        if not steps:
            continue
        kinds = tuple(dict.fromkeys(KIND_OF_STEP[step.kind] for step in steps))
        yield PlanFinding(Finding(kinds, facts, _plan_detail(kinds, facts), statement, plan), use)


def _finds_single_rows(use: TableUse, facts: TableFacts) -> bool:
    """Whether a unique index finds what is wanted: SQLite's plan does not tell two uses of one table apart."""
    equal = {condition.column for condition in use.equalities}
    return any(index.unique and not index.where and equal >= set(index.columns) for index in facts.indexes)


def _is_costly(step: Step, use: TableUse, facts: TableFacts, thresholds: Thresholds) -> bool:
    if step.kind is StepKind.SORT:
        # What the planner believes to be few rows is quick to sort, unless it is wrong: then the scan under it tells.
        return bool(use.order) and (step.rows is None or step.rows >= thresholds.deep_rows / 10)
    if step.kind is StepKind.SKIP_SCAN:
        return True
    if not use.equalities and not use.ranges:
        return use.limited  # in some order, of which only the first rows are wanted
    return use.limited or step.rows is None or step.rows <= thresholds.selective_share * facts.rows


def _plan_detail(kinds: tuple[FindingKind, ...], facts: TableFacts) -> str:
    return f"{' and '.join(kinds)} on {facts.shown_name}, which has about {facts.rows:,} rows"


def table_findings(facts: TableFacts, thresholds: Thresholds) -> Iterator[Finding]:
    """What the counters of a deep table say against it."""
    if facts.rows < thresholds.deep_rows:
        return
    name = facts.shown_name
    if facts.schema and facts.statistics_rows is None:
        detail = f"{name} has about {facts.rows:,} rows, and the planner has no statistics of it"
        yield Finding((FindingKind.STALE_STATISTICS,), facts, detail)
    elif facts.statistics_rows is not None:
        changed = max(facts.changed_rows, abs(facts.rows - facts.statistics_rows))
        if changed > thresholds.stale_share * facts.rows:
            detail = (
                f"the planner's statistics of {name} are from {facts.statistics_rows:,} rows; about {changed:,} were "
                f"changed since, and it has {facts.rows:,} now"
            )
            yield Finding((FindingKind.STALE_STATISTICS,), facts, detail)
    if facts.dead_rows > thresholds.dead_share * facts.rows:
        detail = f"{name} has {facts.dead_rows:,} dead rows beside {facts.rows:,} live ones"
        yield Finding((FindingKind.DEAD_ROWS,), facts, detail)
    if facts.updates >= facts.rows and facts.hot_updates < thresholds.hot_share * facts.updates:
        detail = (
            f"of {facts.updates:,} updates of {name}, {facts.hot_updates:,} stayed on their page; each of the others "
            f"wrote to all of its {len(facts.indexes)} indexes"
        )
        yield Finding((FindingKind.COLD_UPDATES,), facts, detail)


def setting_findings(
    settings: SQLiteSettings,
    facts: TableFacts,
    statement: Statement,
    plan: Plan,
    thresholds: Thresholds,
    *,
    writes: bool,
) -> Iterator[Finding]:
    """What the settings of a connection say against it, for a statement that was recorded on a deep table."""
    if facts.rows < thresholds.deep_rows or settings.journal_mode != "wal":
        return
    size = f"the database has {settings.database_bytes / 1024**2:,.0f} MiB"
    logged = settings.checkpoint_pages * settings.page_bytes
    if writes and 0 < logged < settings.database_bytes and settings.checkpoint_pages < CHECKPOINT_PAGES:
        detail = (
            f"writes to {facts.shown_name} were recorded, {size}, and after each {logged / 1024**2:,.1f} MiB of log "
            "the changed pages are written back"
        )
        yield Finding((FindingKind.CHECKPOINTS,), facts, detail, statement, plan)
    if settings.cache_bytes < settings.database_bytes:
        detail = f"{size}, and each connection keeps {settings.cache_bytes / 1024**2:,.1f} MiB of it in memory"
        yield Finding((FindingKind.SMALL_CACHE,), facts, detail, statement, plan)
