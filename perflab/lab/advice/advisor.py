"""The advisor: from a database to advice that was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from perflab.database.database import Database
from perflab.database.recorder import RecordedStatement
from perflab.errors import DatabaseError, InvalidInput, MissingExtra
from perflab.lab.advice import proposals, workload
from perflab.lab.advice.advice import Advice, Advices, Finding, FindingKind, Option, Proof, Proposal, Verdict
from perflab.lab.advice.catalogue import read_settings, read_tables
from perflab.lab.advice.findings import (
    PlanFinding,
    Thresholds,
    is_slow,
    plan_findings,
    setting_findings,
    table_findings,
)
from perflab.lab.advice.plan import Plan, explain
from perflab.lab.advice.shape import Shape
from perflab.lab.advice.statement import Source, Statement
from perflab.lab.advice.table_facts import Tables

if TYPE_CHECKING:
    from perflab.lab.advice.proof import ProofSettings

STATEMENTS_AT_MOST = 50
"""Of each source, the costliest first."""


class DatabaseAdvisor:
    """Looks for what makes a database slow, proposes what to change, and proves it on a copy.

        with db.recording() as recorder:
            ...                                                   # the program at work
        for advice in DatabaseAdvisor(db).advise(recorder.statements(), prove=True).advice:
            print(advice.finding.detail, advice.best)

    It reads plans, catalogue and statistics, and changes nothing: measurements are made on scratch copies, which are
    removed again. It needs the `lab` extra.

    Args:
        database: an open database.
        thresholds: from where on something is worth a word; small tables are exempt.
    """

    def __init__(self, database: Database, *, thresholds: Thresholds | None = None) -> None:
        self._database = database
        self._thresholds = thresholds or Thresholds()

    def advise(
        self,
        recorded: Iterable[RecordedStatement] = (),
        *,
        statements: Iterable[str] = (),
        tables: Iterable[str] = (),
        prove: bool = False,
        settings: ProofSettings | None = None,
        progress: Callable[[Finding, Proposal], object] = lambda _finding, _proposal: None,
    ) -> Advices:
        """Look at the database once.

        Statements come from four places: `recorded`, `statements`, pg_stat_statements where the server has it, and
        perflab's own where its tables are there.

        Args:
            recorded: what `Database.recording` has seen.
            statements: SQL, with values or with the driver's placeholders; those get values from the tables.
            tables: look at these only; all where none is named.
            prove: measure each proposal on a scratch copy.
            settings: of the measurements.
            progress: called before each measurement.

        Raises:
            InvalidInput: a table is not there, or a given statement cannot be read.
            MissingExtra: a package of the `lab` extra is not installed.
            DatabaseError: the catalogue cannot be read.
        """
        known = read_tables(self._database)
        wanted = set(tables)
        if unknown := wanted - known.keys():
            raise InvalidInput(
                f"there is no table {', '.join(sorted(unknown))}: there are {', '.join(sorted(known)) or 'none'}"
            )
        look = _Look(self._database, self._thresholds, known, wanted or set(known))
        everything = [
            *workload.recorded(recorded),
            *workload.given(statements, self._database.engine_name),
            *workload.remembered(self._database, limit=STATEMENTS_AT_MOST),
            *workload.own(self._database, known),
        ]
        with _lab_packages():
            look.at_statements(everything)
            look.at_tables()
            look.at_settings()
            if not prove:
                return look.advices(lambda _finding, _proposal, _functions: None)
            from perflab.lab.advice import proof  # noqa: PLC0415  # needs SciPy

            chosen = settings or proof.ProofSettings()

            def proved(finding: Finding, proposal: Proposal, functions: tuple[str, ...]) -> Proof:
                progress(finding, proposal)
                return proof.prove(self._database, finding, proposal, functions, chosen)

            return look.advices(proved)


class _Look:
    """One look at a database, step by step."""

    def __init__(self, database: Database, thresholds: Thresholds, tables: Tables, wanted: set[str]) -> None:
        self._database = database
        self._engine = database.engine_name
        self._thresholds = thresholds
        self._tables = tables
        self._wanted = wanted
        self._found: list[tuple[Finding, list[Proposal], tuple[str, ...]]] = []
        self._readers: dict[str, tuple[Statement, Plan, Shape]] = {}  # by table: its costliest statement
        self._recorded: list[tuple[Statement, Plan, Shape]] = []
        self._skipped: list[tuple[Statement, str]] = []
        self._statements = 0

    def at_statements(self, statements: Sequence[Statement]) -> None:
        from perflab.lab.advice.parse import parse_statement  # noqa: PLC0415  # its parser is an extra

        for statement in sorted(statements, key=lambda each: each.seconds or 0.0, reverse=True):
            self._statements += 1
            shape = parse_statement(statement.sql, self._engine, self._tables)
            if shape is None:
                if statement.source is not Source.PERFLAB:
                    self._skipped.append((statement, "its SQL could not be taken apart"))
                continue
            if not any(use.table in self._wanted for use in shape.uses):
                continue
            drawn = workload.with_drawn_parameters(self._database, statement, shape, self._tables)
            try:
                plan = explain(self._database, drawn)
            except DatabaseError as error:
                if statement.source is Source.GIVEN:
                    raise InvalidInput(
                        f"the statement {statement.label!r:.200} cannot be explained: {error}"
                    ) from error
                self._skipped.append((statement, str(error)))
                continue
            for use in shape.uses:
                if drawn.parameters is not None or not shape.parameters:
                    self._readers.setdefault(use.table, (drawn, plan, shape))
            if statement.source is Source.RECORDED:
                self._recorded.append((drawn, plan, shape))
            if is_slow(statement, self._thresholds):
                self._judge(drawn, plan, shape)

    def _judge(self, statement: Statement, plan: Plan, shape: Shape) -> None:
        for found in plan_findings(statement, plan, shape, self._tables, self._thresholds):
            if found.finding.table.name in self._wanted:
                self._found.append((found.finding, list(self._proposals(found)), shape.functions))

    def _proposals(self, found: PlanFinding) -> Iterator[Proposal]:
        yield from proposals.index_proposals(found.finding, found.use, self._engine)
        if FindingKind.SKIP_SCAN in found.finding.kinds or FindingKind.SORT in found.finding.kinds:
            yield from proposals.statistics_proposals(found.finding, self._engine)

    def at_tables(self) -> None:
        for name in sorted(self._wanted):
            for finding in table_findings(self._tables[name], self._thresholds):
                statement, plan, shape = self._readers.get(name, (None, None, None))
                with_reader = Finding(finding.kinds, finding.table, finding.detail, statement, plan)
                options = [
                    *proposals.statistics_proposals(with_reader, self._engine),
                    *proposals.storage_proposals(with_reader),
                ]
                self._found.append((with_reader, options, shape.functions if shape else ()))

    def at_settings(self) -> None:
        """Settings matter to what a program does: so only recorded statements are asked, the costliest of each kind."""
        if self._engine != "sqlite" or not self._recorded:
            return
        settings = read_settings(self._database)
        seen: set[FindingKind] = set()
        for statement, plan, shape in self._recorded:
            for name in dict.fromkeys(use.table for use in shape.uses if use.table in self._wanted):
                facts, limits = self._tables[name], self._thresholds
                for finding in setting_findings(settings, facts, statement, plan, limits, writes=shape.writes):
                    if finding.kinds[0] not in seen:
                        seen.add(finding.kinds[0])
                        options = list(proposals.pragma_proposals(finding, settings))
                        self._found.append((finding, options, shape.functions))

    def advices(self, prove: Callable[[Finding, Proposal, tuple[str, ...]], Proof | None]) -> Advices:
        advice = []
        for finding, options, functions in self._found:
            tried = [Option(proposal, prove(finding, proposal, functions)) for proposal in options]
            advice.append(Advice(finding, _best_first(tried)))
        return Advices(tuple(advice), len(self._wanted), self._statements, tuple(self._skipped))


def _best_first(options: Sequence[Option]) -> tuple[Option, ...]:
    """Proven gains first. Those that cannot be told from the largest keep the order in which they were proposed."""
    gains = [option for option in options if option.proof is not None and option.proof.verdict is Verdict.GAIN]
    highs = [option.proof.gain.high for option in gains if option.proof is not None and option.proof.gain is not None]
    bound = min(highs, default=0.0)

    def rank(option: Option) -> int:
        proof = option.proof
        if proof is None or proof.gain is None or proof.verdict is not Verdict.GAIN:
            return 2
        return 0 if proof.gain.low <= bound else 1

    return tuple(sorted(options, key=rank))


@contextmanager
def _lab_packages() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "perflab":
            raise
        raise MissingExtra(f"the advisor needs the package {error.name}: pip install 'perflab[lab]'") from error
