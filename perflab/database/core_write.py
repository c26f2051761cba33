"""Any SQLAlchemy Core write as an operation: compiled once, then executed in bulk at the level of the driver."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Delete, Insert, Table, TableClause, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.visitors import iterate

from perflab.database.bulk.compilation import CoreStatement, compile_form, name_of, name_of_table
from perflab.database.bulk.form import CompiledForm, CoreRows, bulk_forms
from perflab.database.columns import columns_of
from perflab.database.ledger import Ledger
from perflab.database.load import KeyedRead, Load
from perflab.database.operation import Deferred, DriverConnection, Operation
from perflab.database.values import approximate_bytes, check_sql_name, check_value, shown, storable, storable_column
from perflab.errors import InvalidInput

Row: TypeAlias = Mapping[str, Any]

CACHED_OPERATIONS = 1_000

CHECKED_FIRST = 500
"""Rows that are looked at before anything is sent, where the rest is looked at while it is."""


class CoreRow(NamedTuple):
    form: CompiledForm
    values: tuple[Any, ...]


class CoreWrite:
    """An INSERT, UPDATE or DELETE with a dictionary per item.

    The result of an item is None, or with `.returning(…)` the list of rows that it returned, as tuples.

    Upserts, and updates and deletes by a key, go out in the order of their keys, so that two processes that write the
    same rows cannot deadlock. Of several items of one batch with one key only the last is sent where it overwrites all
    that the others would have written; the others have its result, and `BatchingMetrics.superseded` counts them.

    Args:
        statement: with a dictionary for each item.
        dialect: of the database.
        statement_for: the statement for rows with certain columns, where it depends on them; on the same tables.
    """

    def __init__(
        self,
        statement: CoreStatement,
        dialect: Dialect,
        *,
        statement_for: Callable[[tuple[str, ...]], CoreStatement] | None = None,
    ) -> None:
        self._statement_for = statement_for or (lambda _columns: statement)
        self._dialect = dialect
        self._bulk = bulk_forms(dialect)
        self._forms: dict[tuple[str, ...], CompiledForm] = {}
        _check_names(statement)
        self.table_name = name_of_table(statement)
        self.name = name_of(statement)
        self.tables = _tables(statement)
        self.adds_to = self.table_name if _only_adds(statement) else None
        returned = statement.exported_columns if statement._returning else ()  # noqa: SLF001
        self._returns = bool(returned)
        self._readers = tuple(column.type.dialect_impl(dialect).result_processor(dialect, None) for column in returned)

    def prepare(self, item: Row) -> CoreRow:
        if not isinstance(item, Mapping):
            raise InvalidInput(f"{self.name} takes a dictionary for each item, not {type(item).__name__}")
        columns = tuple(item)
        form = self._form(columns)
        values = tuple(map(item.__getitem__, form.names)) if form.is_plain else self._bind(form, item)
        if not all(map(storable, values)):
            for name, value in zip(form.names, values, strict=True):
                check_value(value, f"{self.table_name}.{name}")
        return CoreRow(form, values)

    def prepare_many(
        self, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]], *, whole: bool = True
    ) -> CoreRows | None:
        """The same for many rows with the same columns, at a tenth of the cost.

        Args:
            columns: of all rows.
            rows: their values.
            whole: look at all rows, even where `write_alone` could look at most of them while the server is at work.

        Returns:
            None where one of them is refused: `prepare` tells which, and why.
        """
        try:
            form = self._form(columns)
            is_as_given = form.is_plain and form.names == columns
            is_checked = whole or not is_as_given or not self._bulk.checks_while_sending(form, len(rows))
            given = dict(zip(columns, columns_of(rows if is_checked else rows[:CHECKED_FIRST]), strict=True))
            bound = [self._column(form, name, given.get(name), len(rows)) for name in form.names]
        except Exception:  # noqa: BLE001  # whatever it was, it comes again for its row
            return None
        if not all(map(storable_column, bound)):
            return None
        return CoreRows(form, rows if is_as_given else list(zip(*bound, strict=True)), is_checked)

    def _column(self, form: CompiledForm, name: str, given: Sequence[Any] | None, rows: int) -> Sequence[Any]:
        values = [self._computed(form, name) for _ in range(rows)] if given is None else given
        processor = form.processors.get(name)
        return values if processor is None else list(map(processor, values))

    def write_alone(self, connection: DriverConnection, ledger: Ledger, rows: CoreRows) -> None:
        """Write rows of one form, without RETURNING, as a transaction of their own.

        Args:
            connection: outside of a transaction.
            ledger: notes the batch.
            rows: from `prepare_many`, or some of them.

        Raises:
            OutcomeUnknown: the connection was lost at COMMIT.
            ValueRefused: not all rows had been checked, and one cannot be stored.
        """
        self._bulk.write_alone(connection, ledger, rows)

    def _form(self, columns: tuple[str, ...]) -> CompiledForm:
        form = self._forms.get(columns)
        if form is None:
            form = self._forms[columns] = compile_form(self._statement_for(columns), self._dialect, columns)
        return form

    def _bind(self, form: CompiledForm, item: Row) -> tuple[Any, ...]:
        """The values in the order of the placeholders, as the driver takes them."""
        values = []
        for name in form.names:
            value = item[name] if name in item else self._computed(form, name)
            processor = form.processors.get(name)
            if processor is not None:
                try:
                    value = processor(value)
                except InvalidInput:
                    raise
                except Exception as error:
                    raise InvalidInput(f"{self.table_name}.{name} cannot hold {shown(value, 120)}: {error}") from error
            values.append(value)
        return tuple(values)

    def _computed(self, form: CompiledForm, name: str) -> Any:
        if name not in form.defaults:
            return form.fixed[name]
        try:
            return form.defaults[name]()
        except Exception as error:
            raise InvalidInput(
                f"the default of {self.table_name}.{name} failed outside of SQLAlchemy's own execution: {error}; give "
                "the value in the row"
            ) from error

    def size_bytes(self, item: Row) -> int:
        return approximate_bytes(item)

    def apply(self, connection: DriverConnection, rows: Sequence[CoreRow]) -> Sequence[Any]:
        answers = [
            (indices, self._bulk.write(connection, form, [rows[index].values for index in indices]))
            for form, indices in _runs(rows)
        ]
        return Deferred(lambda: self._results(answers, len(rows))) if self._returns else [None] * len(rows)

    def _results(self, answers: Sequence[tuple[Sequence[int], Sequence[Any]]], rows: int) -> list[Any]:
        results: list[Any] = [None] * rows
        for indices, answer in answers:
            for index, returned in zip(indices, answer, strict=True):
                results[index] = self._read(returned)
        return results

    def _read(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Returned rows with the Python values of their types."""
        if not any(self._readers):
            return rows
        return [
            tuple(value if read is None else read(value) for read, value in zip(self._readers, row, strict=True))
            for row in rows
        ]


def _check_names(statement: CoreStatement) -> None:
    """Refuse names that PostgreSQL would cut, so that two of them would mean one thing."""
    table = statement.table
    if isinstance(table, TableClause):
        check_sql_name(table.name, "the name of the table")
        if table.schema is not None:
            check_sql_name(table.schema, f"the schema of the table {table.name!r}")
    for column in table.columns:
        check_sql_name(column.name, f"the name of a column of {table}")


def _runs(rows: Sequence[CoreRow]) -> Iterator[tuple[CompiledForm, list[int]]]:
    """Indices of rows that are sent together: of one form, and in the order of their keys, or else of the rows."""
    order: Sequence[int] = range(len(rows))
    forms = {id(row.form): row.form for row in rows}.values()
    if len(forms) > 1 and len({form.key.columns if form.key else () for form in forms}) == 1:
        with suppress(TypeError):
            order = sorted(order, key=lambda index: _key_of(rows[index]))
    for form, group in groupby(order, key=lambda index: rows[index].form):
        yield form, list(group)


def _key_of(row: CoreRow) -> tuple[Any, ...]:
    key = row.form.key
    return () if key is None else tuple(row.values[at] for at in key.positions)


def _tables(statement: CoreStatement) -> frozenset[str]:
    """The tables that a statement names and all that these refer to, directly or not: cascades reach that far."""
    names = set()
    waiting: list[TableClause] = [part for part in iterate(statement) if isinstance(part, TableClause)]
    while waiting:
        table = waiting.pop()
        if table.name in names:
            continue
        names.add(table.name)
        if isinstance(table, Table):
            for key in table.foreign_keys:
                full_name = key.target_fullname.rpartition(".")[0]
                if full_name in table.metadata.tables:
                    waiting.append(table.metadata.tables[full_name])
                else:
                    names.add(full_name.rpartition(".")[2])
    return frozenset(names)


def _only_adds(statement: CoreStatement) -> bool:
    """Whether it is an INSERT that changes no row that is there, and looks at no other table than for its references.

    A prefix may be SQLite's OR REPLACE, and ON CONFLICT may update.
    """
    if not isinstance(statement, Insert) or statement._prefixes:  # noqa: SLF001
        return False
    conflict = getattr(statement._post_values_clause, "__visit_name__", None)  # noqa: SLF001
    named = {part.name for part in iterate(statement) if isinstance(part, TableClause)}
    return conflict in (None, "on_conflict_do_nothing") and named == {name_of_table(statement)}


class CoreWrites:
    """The operations of Core statements and loads: equal ones share one, so that they batch together."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._by_identity: OrderedDict[int, tuple[object, Operation[Any, Any]]] = OrderedDict()
        self._by_load: OrderedDict[Load, KeyedRead] = OrderedDict()
        self._by_structure: OrderedDict[Any, CoreWrite] = OrderedDict()

    def operation(self, statement: object) -> Operation[Any, Any]:
        """The operation of a Core statement or of a `Load`.

        Raises:
            InvalidInput: it is not an INSERT, UPDATE or DELETE, and no load.
        """
        known = self._by_identity.get(id(statement))
        if known is not None and known[0] is statement:
            return known[1]
        operation: Operation[Any, Any]
        if isinstance(statement, Insert | Update | Delete):
            operation = self._by_structure_of(statement)
        elif isinstance(statement, Load):
            operation = self._by_load_of(statement)
        else:
            raise InvalidInput(
                f"cannot batch {type(statement).__name__} {str(statement)[:80]!r}: submit an insert(), update() or "
                "delete() of SQLAlchemy Core, a load() of perflab, or an Operation"
            )
        # The statement is kept with its identity, so that another object cannot come to have the same id.
        self._by_identity[id(statement)] = (statement, operation)
        if len(self._by_identity) > CACHED_OPERATIONS:
            self._by_identity.popitem(last=False)
        return operation

    def _by_load_of(self, stated: Load) -> KeyedRead:
        operation = self._by_load.get(stated)
        if operation is None:
            new = KeyedRead(stated, self._dialect)
            operation = self._by_load.setdefault(stated, new)  # another thread may be first
            if len(self._by_load) > CACHED_OPERATIONS:
                self._by_load.popitem(last=False)
        return operation

    def _by_structure_of(self, statement: CoreStatement) -> CoreWrite:
        cache_key = statement._generate_cache_key()  # noqa: SLF001  # SQLAlchemy's own notion of an equal statement
        if cache_key is None:
            return CoreWrite(statement, self._dialect)
        # Values that are equal need not be stored alike (1 and True, 0.0 and -0.0): their type and text must be, too.
        fixed = tuple((type(bound.value), repr(bound.value), bound.value) for bound in cache_key.bindparams)
        try:
            operation = self._by_structure.get((cache_key.key, fixed))
        except TypeError:  # a fixed value that cannot be hashed, such as a dictionary
            return CoreWrite(statement, self._dialect)
        if operation is None:
            new = CoreWrite(statement, self._dialect)
            operation = self._by_structure.setdefault((cache_key.key, fixed), new)  # another thread may be first
            if len(self._by_structure) > CACHED_OPERATIONS:
                self._by_structure.popitem(last=False)
        return operation
