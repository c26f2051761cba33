"""Whether a proposal helps: before and after in scratch copies, interleaved, with an interval, writes included."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter

from perflab.database.database import Database
from perflab.database.statements import load_statements
from perflab.database.values import check_integer, check_number
from perflab.errors import DatabaseError
from perflab.lab.advice.advice import Finding, Measure, Measured, Proof, Proposal, Verdict
from perflab.lab.advice.findings import KIND_OF_STEP
from perflab.lab.advice.placeholders import placeholder_names
from perflab.lab.advice.plan import Plan, StepKind
from perflab.lab.advice.rows_in_hand import RowsInHand, columns_without_index, take_rows
from perflab.lab.advice.scratch import CannotMeasure, Scratch, ScratchCopy, ScratchLimits, open_scratch
from perflab.lab.advice.statement import Statement
from perflab.lab.advice.table_facts import TableFacts
from perflab.lab.bench.comparison import Arm, Comparison, ComparisonResult, compare

BEFORE, AFTER = "before", "after"
MARGIN = 0.10
"""A gain is more than this; below it, the next change of anything else would hide it."""
CALLS_AT_MOST = 200
WRITES = 5
"""Of the rows in hand, in one visit."""
COMMITS = 60
"""In one visit: enough for several checkpoints."""


@dataclass(frozen=True, slots=True)
class ProofSettings:
    """How a proof is made.

    Attributes:
        blocks: Pairs of visits, at least 6.
        seed: Of their orders.
        limits: Of the copies.
        clock: Seconds that only grow.
        visited: Called after each visit, to show progress.
        visit_seconds: How long the statement is repeated in one visit, about.
    """

    blocks: int = 10
    seed: int = 1
    limits: ScratchLimits = field(default_factory=ScratchLimits)
    clock: Callable[[], float] = perf_counter
    visited: Callable[[], object] = lambda: None
    visit_seconds: float = 0.02

    def __post_init__(self) -> None:
        check_integer(self.blocks, "blocks", low=6, high=1_000)
        check_number(self.visit_seconds, "visit_seconds")


def prove(
    database: Database, finding: Finding, proposal: Proposal, functions: tuple[str, ...], settings: ProofSettings
) -> Proof:
    """Try a proposal on a copy. The tables themselves are only read.

    Args:
        database: where the tables are.
        finding: what is wrong.
        proposal: what could help.
        functions: that the statement calls and that may be the user's.
        settings: how.
    """
    try:
        _check_measurable(database, finding, proposal, functions)
        with open_scratch(database, finding, proposal, settings.limits) as scratch:
            return _measure(scratch, finding, proposal, settings)
    except CannotMeasure as reason:
        return Proof(Verdict.NOT_MEASURED, str(reason))
    except DatabaseError as error:
        return Proof(Verdict.NOT_MEASURED, f"it cannot be tried on a copy: {error}")


def _check_measurable(database: Database, finding: Finding, proposal: Proposal, functions: tuple[str, ...]) -> None:
    statement = finding.statement
    if proposal.measure is Measure.STATEMENT:
        if statement is None:
            raise CannotMeasure("no statement that reads this table is known")
        if statement.parameters is None and placeholder_names(statement.sql, database.engine_name):
            raise CannotMeasure("the values of its parameters are not known: record it, or give it with values")
    if functions and database.engine_name == "postgresql":
        sql = load_statements("perflab.lab.advice", "postgresql")["side_effects"]
        if risky := database.fetch(sql, (list(functions),)):
            raise CannotMeasure(f"it calls {risky[0][0]}(), which may write outside of the copy")


def _measure(scratch: Scratch, finding: Finding, proposal: Proposal, settings: ProofSettings) -> Proof:
    facts, statement = finding.table, finding.statement
    copies = {BEFORE: scratch.before, AFTER: scratch.after}
    ((rows,),) = scratch.before.execute(f"SELECT count(*) FROM {scratch.before.table(facts.name)}")  # noqa: S608  # quoted
    if not rows:
        raise CannotMeasure("the copy of the table is empty")
    plans: list[Plan] = []
    comparisons: list[Comparison] = []
    if proposal.measure is Measure.STATEMENT:
        assert statement is not None  # checked before anything was copied
        plans = [copy.explain(statement) for copy in copies.values()]
        _check_same_fault(finding, plans[0])
        comparisons.append(
            _comparison(
                proposal.measure, lambda name: _statement_arm(name, copies[name], statement, facts.name, settings)
            )
        )
    comparisons += _write_comparisons(copies, facts, rows, proposal, settings)
    if not comparisons:
        raise CannotMeasure("every column of the table is in an index, so that no update is cheap")
    results = compare(comparisons, blocks=settings.blocks, seed=settings.seed, visited=settings.visited)
    measured = [_measured(result) for result in results]
    gain, *costs = measured
    return Proof(
        Verdict.GAIN if is_gain(gain) else Verdict.NO_GAIN,
        gain=gain,
        costs=tuple(costs),
        rows=rows,
        plan_before=plans[0].lines if plans else (),
        plan_after=plans[1].lines if plans else (),
        writes_per_call=_writes_per_call(gain, costs),
    )


def _check_same_fault(finding: Finding, plan: Plan) -> None:
    """A copy that plans in another way would prove something else."""
    faults = {KIND_OF_STEP[kind] for kind in StepKind} & set(finding.kinds)
    if faults and not faults & {KIND_OF_STEP[step.kind] for step in plan.steps}:
        raise CannotMeasure(f"the copy is planned in another way, without the {' and the '.join(sorted(faults))}")


def is_gain(measured: Measured) -> bool:
    """Whether both intervals of after / before lie under 1 by more than the margin."""
    return max(measured.high, measured.median_high) < 1 / (1 + MARGIN)


def _write_comparisons(
    copies: dict[str, ScratchCopy], facts: TableFacts, rows: int, proposal: Proposal, settings: ProofSettings
) -> list[Comparison]:
    """Writes as what should become faster, or as what has to pay for it."""
    change, measure = proposal.change, proposal.measure
    if measure is Measure.STATEMENT and not change.index_columns:
        return []
    columns = change.index_columns or columns_without_index(facts)
    hands = {name: take_rows(copy, facts, rows, columns) for name, copy in copies.items()}

    def arm(name: str, *, update: bool, commits: int = 0) -> Arm:
        return WriteArm(name, copies[name], hands[name], facts.name, settings.clock, update=update, commits=commits)

    comparisons = []
    if measure is Measure.STATEMENT:
        comparisons.append(_comparison("inserts", lambda name: arm(name, update=False)))
    if hands[BEFORE].update:
        what = "updates of indexed columns" if measure is Measure.STATEMENT else measure
        commits = COMMITS if measure is Measure.COMMITS else 0
        comparisons.append(_comparison(what, lambda name: arm(name, update=True, commits=commits)))
    return comparisons


def _comparison(name: str, make_arm: Callable[[str], Arm]) -> Comparison:
    return Comparison(str(name), "", "on a scratch copy", ours=make_arm(AFTER), others=(make_arm(BEFORE),), limit=None)


def _statement_arm(
    name: str, copy: ScratchCopy, statement: Statement, table: str, settings: ProofSettings
) -> StatementArm:
    arm = StatementArm(name, copy, statement, table, settings.clock, calls=1)
    arm.call()  # the warm-up
    calls = math.ceil(settings.visit_seconds / max(arm.call(), 1e-6))
    return replace(arm, calls=min(max(calls, 1), CALLS_AT_MOST))


@dataclass(frozen=True, slots=True)
class StatementArm:
    """Runs the statement, each time from the same rows: what it writes is rolled back."""

    name: str
    copy: ScratchCopy
    statement: Statement
    table: str
    clock: Callable[[], float]
    calls: int

    def visit(self, _block: int) -> float:
        self.copy.settle((self.table,))
        return sum(self.call() for _ in range(self.calls)) / self.calls

    def call(self) -> float:
        """Seconds of one call."""
        with self.copy.transaction(commit=False):
            started = self.clock()
            self.copy.execute(self.statement.sql, self.statement.parameters)
            return self.clock() - started


@dataclass(frozen=True, slots=True)
class WriteArm:
    """Writes the rows in hand: puts back what was just deleted, or turns values round; rolled back, or committed."""

    name: str
    copy: ScratchCopy
    hand: RowsInHand
    table: str
    clock: Callable[[], float]
    update: bool
    commits: int = 0

    def visit(self, _block: int) -> float:
        self.copy.settle((self.table,))
        if self.commits:
            return self._commit() / (self.hand.rows * self.commits)
        return sum(self._write() for _ in range(WRITES)) / (self.hand.rows * WRITES)

    def _write(self) -> float:
        with self.copy.transaction(commit=False):
            if not self.update:
                self.copy.execute(self.hand.delete)
            started = self.clock()
            self.copy.execute(self.hand.update if self.update else self.hand.insert)
            return self.clock() - started

    def _commit(self) -> float:
        """Several transactions and the checkpoint after them, which writes back what they have put off."""
        started = self.clock()
        for _ in range(self.commits):
            with self.copy.transaction(commit=True):
                self.copy.execute(self.hand.update)
        self.copy.settle((self.table,))
        return self.clock() - started


def _measured(result: ComparisonResult) -> Measured:
    ratio = result.ratio
    name = result.comparison.name
    return Measured(
        what=name,
        before_seconds=result.estimate(BEFORE).value,
        after_seconds=result.estimate(AFTER).value,
        ratio=ratio.value,
        low=ratio.low,
        high=ratio.high,
        median=ratio.median,
        median_low=ratio.median_low,
        median_high=ratio.median_high,
        blocks=ratio.n,
        unit="s/call" if name == Measure.STATEMENT else "s/row",
    )


def _writes_per_call(gain: Measured, costs: list[Measured]) -> float | None:
    """How many inserted rows cost as much as one call of the statement saves."""
    insert = next((cost for cost in costs if cost.what == "inserts"), None)
    if insert is None or insert.low <= 1 or not is_gain(gain):
        return None
    return (gain.before_seconds - gain.after_seconds) / (insert.after_seconds - insert.before_seconds)
