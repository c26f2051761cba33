"""Where changes are tried: two copies of the tables that a statement touches, one as they are and one changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from perflab.database.database import Database
from perflab.lab.advice.advice import Finding, FindingKind, Proposal
from perflab.lab.advice.plan import Plan
from perflab.lab.advice.statement import Parameters, Statement

ROWS_AT_MOST = 200_000
BYTES_AT_MOST = 2 * 1024**3


class CannotMeasure(Exception):  # its text is the reason in the proof, and it goes no further
    """Why a proposal cannot be tried here."""


@dataclass(frozen=True, slots=True)
class ScratchLimits:
    """How large a copy may be.

    Attributes:
        rows: Of each table, on PostgreSQL: a larger one is sampled.
        bytes: Of the whole database, on SQLite, where a copy is one of everything.
    """

    rows: int = ROWS_AT_MOST
    bytes: int = BYTES_AT_MOST


class ScratchCopy(Protocol):
    """One copy. Nothing that is done to it reaches the tables that it was made of."""

    @property
    def row_key(self) -> str:
        """The hidden column that finds a row: rowid, or ctid."""

    def table(self, name: str) -> str:
        """The SQL name of the copy of a table."""

    def execute(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Run one statement, and fetch its rows."""

    def transaction(self, *, commit: bool) -> AbstractContextManager[None]:
        """A transaction that is committed or rolled back at the end of the block."""

    def explain(self, statement: Statement) -> Plan:
        """The plan of a statement here.

        Raises:
            CannotMeasure: it would touch something that is not in the copy.
        """

    def settle(self, tables: Sequence[str]) -> None:
        """Clear away what the last visit left behind, so that the next one starts where that one started."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Both copies."""

    before: ScratchCopy
    after: ScratchCopy


def open_scratch(
    database: Database, finding: Finding, proposal: Proposal, limits: ScratchLimits
) -> AbstractContextManager[Scratch]:
    """Both copies with the same rows, the second one changed. They are gone at the end, also after an error or Ctrl-C.

    Raises:
        CannotMeasure: a copy would be too large, or cannot be like the original.
    """
    if database.engine_name == "sqlite":
        from perflab.lab.advice.scratch_sqlite import sqlite_scratch  # noqa: PLC0415  # only the engine that is used

        return sqlite_scratch(database, finding, proposal, limits)
    from perflab.lab.advice.scratch_postgresql import postgresql_scratch  # noqa: PLC0415  # its driver is an extra

    return postgresql_scratch(database, finding, proposal, limits)


def is_about_statistics(finding: Finding) -> bool:
    return FindingKind.STALE_STATISTICS in finding.kinds
