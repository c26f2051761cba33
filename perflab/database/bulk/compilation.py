"""From a statement of SQLAlchemy Core to the form for rows with certain columns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any, TypeAlias

from sqlalchemy import JSON, Column, Delete, Dialect, Float, Insert, Null, Numeric, TableClause, Update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.compiler import SQLCompiler

from perflab.database.bulk.form import CompiledForm
from perflab.database.bulk.parts import take_apart
from perflab.database.values import check_value, encode_json
from perflab.errors import InvalidInput

CoreStatement: TypeAlias = Insert | Update | Delete


def compile_form(statement: CoreStatement, dialect: Dialect, columns: tuple[str, ...]) -> CompiledForm:
    """The form for rows with these columns, in this order.

    Raises:
        InvalidInput: a column that the table does not have, or a value that the statement needs and the row lacks.
    """
    table_name = name_of_table(statement)
    compiled, names = _compile(statement, dialect, columns)
    defaults = _python_defaults(compiled)
    _check_columns(statement, compiled, columns, {*columns, *defaults})
    processors: dict[str, Any] = dict(compiled._bind_processors)  # noqa: SLF001  # the public way costs 5 µs a row
    for name, bind in compiled.binds.items():
        where = f"{table_name}.{name}"
        if isinstance(bind.type, JSON):
            processors[name] = partial(_json_text, where, bool(bind.type.none_as_null))
        elif name in processors and isinstance(bind.type, Float | Numeric):
            processors[name] = partial(_processed_number, processors[name], where)
    preparer = dialect.identifier_preparer
    return CompiledForm(
        sql=str(compiled),
        names=names,
        types=tuple(compiled.binds[name].type for name in names),
        fixed={name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required},
        defaults=defaults,
        processors=processors,
        is_plain=set(names) <= set(columns) and not processors.keys() & set(names),
        varying=tuple(name in columns or name in defaults for name in names),
        returns=bool(statement._returning),  # noqa: SLF001
        fills_identity=any(
            column.identity is not None and column.identity.always and column.key in names
            for column in statement.table.columns
            if isinstance(column, Column)
        ),
        parts=take_apart(
            str(compiled),
            "%s" if dialect.name == "postgresql" else "?",
            [preparer.format_column(column) for column in statement.table.primary_key],
        ),
    )


def name_of_table(statement: CoreStatement) -> str:
    return statement.table.name if isinstance(statement.table, TableClause) else str(statement.table)


def name_of(statement: CoreStatement) -> str:
    """For messages, such as "insert items"."""
    return f"{type(statement).__name__.lower()} {name_of_table(statement)}"


def _compile(
    statement: CoreStatement, dialect: Dialect, columns: tuple[str, ...]
) -> tuple[SQLCompiler, tuple[str, ...]]:
    """What SQLAlchemy makes of it, and the names of the bound values in the order of the placeholders."""
    try:
        compiled = statement.compile(
            dialect=dialect,
            column_keys=list(columns),
            for_executemany=not statement._returning,  # noqa: SLF001
        )
    except SQLAlchemyError as error:
        raise InvalidInput(
            f"{name_of(statement)} cannot take a row with {', '.join(map(str, columns)) or 'no columns'}: {error}"
        ) from None
    if (
        not isinstance(compiled, SQLCompiler)
        or compiled.positiontup is None
        or compiled.post_compile_params
        or compiled.literal_execute_params
        or any(bind.callable for bind in compiled.binds.values())
    ):
        raise InvalidInput(
            f"{name_of(statement)} cannot run in a batch: write it with one bindparam() for each value, without IN "
            "lists and without values that are computed at execution"
        )
    return compiled, tuple(compiled.positiontup)


def _check_columns(statement: CoreStatement, compiled: SQLCompiler, columns: tuple[str, ...], filled: set[str]) -> None:
    """Every column has a place, and every place a value."""
    names = compiled.positiontup or []
    if unused := [column for column in columns if column not in names]:
        known = statement.table.columns.keys() if isinstance(statement, Insert) else names
        raise InvalidInput(
            f"unknown column {', '.join(map(repr, unused))} for {name_of(statement)}: it takes {', '.join(known)}"
        )
    if missing := [name for name in names if compiled.binds[name].required and name not in filled]:
        raise InvalidInput(f"{name_of(statement)} needs a value for {', '.join(missing)}")


def _processed_number(processor: Callable[[Any], Any], where: str, value: Any) -> Any:
    """Checked before it is processed: SQLite's processor makes a float of an integer that PostgreSQL would refuse."""
    return processor(check_value(value, where))


def _json_text(where: str, none_as_null: bool, value: Any) -> str | None:
    """What SQLAlchemy stores in a JSON column, as text on every engine and checked before anything is sent."""
    if isinstance(value, Null) or (value is None and none_as_null):
        return None
    return encode_json(None if value is JSON.NULL else value, where)


def _python_defaults(compiled: SQLCompiler) -> dict[str, Callable[[], Any]]:
    """Defaults that SQLAlchemy would compute in Python for the columns that the rows leave out."""
    is_insert = isinstance(compiled.statement, Insert)
    defaults: dict[str, Callable[[], Any]] = {}
    for column in compiled.insert_prefetch if is_insert else compiled.update_prefetch:
        default: Any = column.default if is_insert else column.onupdate
        if default is None:
            continue
        if default.is_callable:
            defaults[column.key] = partial(default.arg, None)
        elif default.is_scalar:
            defaults[column.key] = repeat(default.arg).__next__
        else:
            raise InvalidInput(f"the default of {column} is a statement of its own: give the value in the row")
    return defaults
