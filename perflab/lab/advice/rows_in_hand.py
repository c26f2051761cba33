"""A sample of rows in a scratch copy, to measure what writes of single rows cost with a change and without it."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.lab.advice.scratch import ScratchCopy
from perflab.lab.advice.table_facts import TableFacts, quoted

ROWS = 200
SAMPLE = "perflab_advice_sample"
TURNED = "perflab_advice_turned"


@dataclass(frozen=True, slots=True)
class RowsInHand:
    """SQL that writes the sampled rows of a copy.

    Attributes:
        rows: How many they are.
        delete: Takes them out.
        insert: Puts them back as they were.
        update: Gives each row the values of the next one in the chosen columns; "" where none can be chosen.
    """

    rows: int
    delete: str
    insert: str
    update: str


def take_rows(copy: ScratchCopy, facts: TableFacts, rows: int, update_columns: tuple[str, ...]) -> RowsInHand:
    """Sample rows that lie evenly in the table; the same ones in both copies.

    Args:
        copy: where.
        facts: of the table.
        rows: that the copy of it has; at least one.
        update_columns: what an update is to change; those that a unique index has are left out, because the values
            of other rows would not fit there.
    """
    table, sample, turned = copy.table(facts.name), copy.table(SAMPLE), copy.table(TURNED)
    columns = ", ".join(map(quoted, facts.columns))
    step = max(rows // ROWS, 1)
    # All names are quoted, and placeholders cannot stand for them.
    copy.execute(
        f"CREATE TABLE {sample} AS "  # noqa: S608
        f"SELECT perflab_row, (perflab_number - 1) / {step} AS perflab_number, {columns} FROM ("
        f"SELECT {copy.row_key} AS perflab_row, row_number() OVER () AS perflab_number, {columns} FROM {table}"
        f") AS numbered WHERE (perflab_number - 1) % {step} = 0 LIMIT {ROWS}"
    )
    ((taken,),) = copy.execute(f"SELECT count(*) FROM {sample}")  # noqa: S608
    unique = {column for index in facts.indexes if index.unique for column in index.columns}
    changed = [quoted(column) for column in update_columns if column in facts.columns and column not in unique]
    if changed:
        copy.execute(
            f"CREATE TABLE {turned} AS "  # noqa: S608
            f"SELECT this.perflab_row, {', '.join(f'other.{column}' for column in changed)} "
            f"FROM {sample} AS this JOIN {sample} AS other "
            f"ON other.perflab_number = (this.perflab_number + 1) % {taken}"
        )
    in_sample = f"{copy.row_key} IN (SELECT perflab_row FROM {sample})"  # noqa: S608
    if copy.row_key == "ctid":  # an array is a list of places to look at; a sub-select could be joined by a scan
        in_sample = f"ctid = ANY(ARRAY(SELECT perflab_row FROM {sample}))"  # noqa: S608
    override = "OVERRIDING SYSTEM VALUE " if copy.row_key == "ctid" else ""
    assignments = ", ".join(f"{column} = turned.{column}" for column in changed)
    update = (
        f"UPDATE {table} AS this SET {assignments} FROM {turned} AS turned "  # noqa: S608
        f"WHERE this.{copy.row_key} = turned.perflab_row"
    )
    return RowsInHand(
        taken,
        delete=f"DELETE FROM {table} WHERE {in_sample}",  # noqa: S608
        insert=f"INSERT INTO {table} ({columns}) {override}SELECT {columns} FROM {sample}",  # noqa: S608
        update=update if changed else "",
    )


def columns_without_index(facts: TableFacts) -> tuple[str, ...]:
    """Columns whose change concerns no index, neither its key nor its condition."""
    indexed = {column for index in facts.indexes for column in index.columns}
    return tuple(
        column
        for column in facts.columns
        if column not in indexed and not any(column in index.where for index in facts.indexes)
    )
