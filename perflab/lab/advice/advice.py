"""The values that advice is made of: a finding, proposals for it, and a proof of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from perflab.lab.advice.plan import Plan
from perflab.lab.advice.statement import Statement
from perflab.lab.advice.table_facts import TableFacts

TABLE = "{table}"
"""Stands in the SQL of a change for the table, which in a scratch copy is another one."""


class FindingKind(StrEnum):
    FULL_SCAN = "sequential scan"
    SKIP_SCAN = "skip-scan"
    SORT = "temporary sort"
    STALE_STATISTICS = "stale statistics"
    DEAD_ROWS = "dead rows"
    COLD_UPDATES = "updates that touch every index"
    CHECKPOINTS = "frequent checkpoints"
    SMALL_CACHE = "cache smaller than the database"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that costs more than it should.

    Attributes:
        kinds: What it is; a plan can have several faults at once.
        table: Which table it is about.
        detail: The evidence, in one sentence.
        statement: The statement that suffers; None where the finding is about the table and no statement is known.
        plan: Its plan.
    """

    kinds: tuple[FindingKind, ...]
    table: TableFacts
    detail: str
    statement: Statement | None = None
    plan: Plan | None = None


class Measure(StrEnum):
    """What a proposal is meant to make faster."""

    STATEMENT = "the statement"
    UPDATES = "updates of one row each"
    COMMITS = "commits of scattered updates"


@dataclass(frozen=True, slots=True)
class Change:
    """SQL that changes something.

    Attributes:
        do: Statements, with `TABLE` for the table.
        undo: What takes it back, likewise.
        index_columns: Of a new index, those of its condition included: writes that change them pay for it.
        on_connection: It holds for the connection that ran it, and has to be run on each.
        before_rows: It shows on rows that are written after it only.
    """

    do: tuple[str, ...]
    undo: tuple[str, ...]
    index_columns: tuple[str, ...] = ()
    on_connection: bool = False
    before_rows: bool = False

    def sql(self, table: str) -> tuple[str, ...]:
        """The statements for a table."""
        return tuple(each.replace(TABLE, table) for each in self.do)

    def sql_in_scratch(self, table: str) -> tuple[str, ...]:
        """The same where nobody else is there to be kept from working."""
        return tuple(re.sub(r"\bCONCURRENTLY ", "", each) for each in self.sql(table))

    def undo_sql(self, table: str) -> tuple[str, ...]:
        return tuple(each.replace(TABLE, table) for each in self.undo)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What could be done.

    Attributes:
        change: The SQL.
        reason: Why it should help, and what it costs besides writes, in one or two sentences.
        measure: What it should make faster.
    """

    change: Change
    reason: str
    measure: Measure = Measure.STATEMENT


class Verdict(StrEnum):
    GAIN = "gain"
    """Faster by more than the margin, by both intervals."""
    NO_GAIN = "no proven gain"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing, before and after, paired by block.

    Attributes:
        what: "the statement", "inserts", …
        before_seconds: Geometric mean of the seconds a call, or a row.
        after_seconds: Likewise.
        ratio: after / before: below 1 is faster.
        low: Lower bound of the ratio, at 95 %.
        high: Upper bound.
        median: Median of the ratios, the robust twin.
        median_low: Its lower bound, by order statistics.
        median_high: Its upper bound.
        blocks: How many pairs.
        unit: "s/call" or "s/row".
    """

    what: str
    before_seconds: float
    after_seconds: float
    ratio: float
    low: float
    high: float
    median: float
    median_low: float
    median_high: float
    blocks: int
    unit: str


@dataclass(frozen=True, slots=True)
class Proof:
    """A measurement of a proposal in a scratch copy.

    Attributes:
        verdict: What it came to.
        why: Why nothing was measured; "" where something was.
        gain: What should have become faster.
        costs: What writes pay: inserts, and updates of the indexed columns.
        rows: Rows of the table in the copy.
        plan_before: The plan of the statement in the copy without the change.
        plan_after: And with it.
        writes_per_call: With more rows inserted for each call of the statement than this, the index costs more than
            it saves; None where inserts did not become slower beyond doubt.
    """

    verdict: Verdict
    why: str = ""
    gain: Measured | None = None
    costs: tuple[Measured, ...] = ()
    rows: int = 0
    plan_before: tuple[str, ...] = ()
    plan_after: tuple[str, ...] = ()
    writes_per_call: float | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """A proposal and its proof; None before it was tried."""

    proposal: Proposal
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """A finding with everything that could be done about it, the most helpful first."""

    finding: Finding
    options: tuple[Option, ...]

    @property
    def best(self) -> Option | None:
        """The first option, if it was proven to help."""
        first = next(iter(self.options), None)
        return first if first is not None and first.proof and first.proof.verdict is Verdict.GAIN else None


@dataclass(frozen=True, slots=True)
class Advices:
    """The outcome of one look at a database.

    Attributes:
        advice: What was found, in the order of what it costs.
        tables: How many tables were looked at.
        statements: How many statements were.
        skipped: Statements that could not be judged, each with the reason.
    """

    advice: tuple[Advice, ...]
    tables: int
    statements: int
    skipped: tuple[tuple[Statement, str], ...] = ()
