"""What a statement asks of a table: the columns that it compares, and the order that it wants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """A column that must equal one value, or one of a few.

    Attributes:
        column: Its name.
        constant: The condition as SQL where it stands in the statement with its value, so that a partial index can
            have it: `"state" = 'ready'`; "" where the value is a parameter or comes from elsewhere.
    """

    column: str
    constant: str = ""


@dataclass(frozen=True, slots=True)
class OrderTerm:
    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class TableUse:
    """What one block of a statement (a SELECT, UPDATE or DELETE) asks of one table.

    Attributes:
        table: Its name.
        alias: What it is called in the block, and so in SQLite's plan.
        equalities: Columns compared for equality, in the order of the statement.
        ranges: Columns compared with <, >, BETWEEN and the like.
        order: ORDER BY, where all its terms are columns of this table; else empty.
        limited: Whether a LIMIT ends the reading early.
    """

    table: str
    alias: str
    equalities: tuple[Condition, ...] = ()
    ranges: tuple[str, ...] = ()
    order: tuple[OrderTerm, ...] = ()
    limited: bool = False

    @property
    def can_use_an_index(self) -> bool:
        return bool(self.equalities or self.ranges or self.order)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A placeholder, and the column that its value is compared with or stored in.

    Attributes:
        name: As in the statement, or its number as text ("1" is the first).
        table: Of the column; "" where it belongs to none.
        column: Its name; "" likewise.
        is_limit: It says how many rows.
    """

    name: str
    table: str = ""
    column: str = ""
    is_limit: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A parsed statement.

    Attributes:
        uses: What it asks of tables, block by block.
        parameters: Its placeholders, in their order.
        writes: Whether it changes anything.
        functions: Called ones that are not of the SQL that the parser knows, in lower case.
    """

    uses: tuple[TableUse, ...]
    parameters: tuple[Parameter, ...]
    writes: bool
    functions: tuple[str, ...] = ()
