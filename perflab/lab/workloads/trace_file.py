"""Any CSV or Parquet file with a column of times as a trace: when things came, and how large or long they were."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from perflab.errors import InvalidInput
from perflab.lab.workloads.arrivals import Offsets

_PARQUET_BEGINS_WITH = b"PAR1"


@dataclass(frozen=True, slots=True, eq=False)
class TraceFile:
    """The rows of a trace, the earliest first.

    Attributes:
        offsets_seconds: After the earliest time, one for each row.
        columns: The numbers of each further column that was asked for, in the same order.
    """

    offsets_seconds: Offsets
    columns: Mapping[str, NDArray[np.float64]]


def read_trace(path: Path | str, time_column: str, columns: Sequence[str] = ()) -> TraceFile:
    """Read a trace with DuckDB: Parquet, or CSV with a header line, also compressed (`.gz`, `.zst`).

    A time is a time stamp of Parquet, a number of seconds, or an ISO 8601 date and time such as `2023-11-16
    18:17:03.9799600`, with or without a UTC offset. Fractions are exact to the nanosecond; digits after the ninth are
    cut. Times without an offset are read as UTC: only their differences count. Of CSV, the delimiter is found out, line
    ends may be CRLF, the last may be missing, and blank lines are passed over.

    Args:
        path: The file.
        time_column: Which column has the times.
        columns: Further ones, of numbers.

    Raises:
        InvalidInput: The file cannot be read, has no such column or no rows, or a time is missing, cannot be understood
            or is of another form than the first (number, local, with UTC offset), or a number is none.
    """
    path = Path(path)
    names = (time_column, *columns)
    times: list[int] = []
    numbers: list[list[float]] = []
    first_form = ""
    for row, (text, *others) in _rows(path, names):
        where = f"row {row} of {path}"
        form, nanoseconds = _parse_time((text or "").strip(), where)
        first_form = first_form or form
        if form != first_form:
            raise InvalidInput(f"{where} has a {form} ({text}), the rows before it a {first_form}")
        times.append(nanoseconds)
        numbers.append(
            [
                _parse_number(other, f"{where}, column {name!r},", name)
                for name, other in zip(columns, others, strict=True)
            ]
        )
    if not times:
        raise InvalidInput(f"{path} has no rows: a trace needs one arrival at least")
    order = sorted(range(len(times)), key=times.__getitem__)
    earliest = times[order[0]]
    # Subtracted as integers: a float of seconds since 1970 would keep only a few tenths of a microsecond.
    offsets = np.array([(times[index] - earliest) / 1_000_000_000 for index in order])
    table = np.array(numbers, dtype=np.float64)[order]
    return TraceFile(offsets, {name: table[:, position] for position, name in enumerate(columns)})


def _rows(path: Path, names: Sequence[str]) -> Iterator[tuple[int, tuple[str | None, ...]]]:
    """Number and texts of each row, counted from 1 without blank lines."""
    try:
        with path.open("rb") as stream:
            is_parquet = stream.read(4) == _PARQUET_BEGINS_WITH
        source = "read_parquet(?)" if is_parquet else "read_csv(?, all_varchar=true, header=true, null_padding=true)"
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            relation = connection.execute(f"SELECT * FROM {source} LIMIT 0", [str(path)])  # noqa: S608
            found = [column[0] for column in relation.description or ()]
            _check_columns(names, found, path)
            texts = ", ".join(f"CAST({_quoted(name)} AS VARCHAR)" for name in names)
            blank = " AND ".join(f"{_quoted(name)} IS NULL" for name in found)
            rows = connection.execute(f"SELECT {texts} FROM {source} WHERE NOT ({blank})", [str(path)])  # noqa: S608
            number = 0
            while some := rows.fetchmany(10_000):
                for number, row in enumerate(some, number + 1):  # noqa: B020  # goes on counting
                    yield number, row
    except (OSError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"cannot read the trace {path} as Parquet, or as CSV in UTF-8: {reason}") from error


def _check_columns(names: Sequence[str], found: Sequence[str], path: Path) -> None:
    for name in names:
        if name not in found:
            has = "no header" if path.stat().st_size == 0 else ", ".join(found)
            raise InvalidInput(f"{path} has no column {name!r}: it has {has}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_ISO = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?)([.,](?P<fraction>\d+))?(?P<offset>Z|[+-]\d\d(:?\d\d)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d*)?([eE][+-]?\d{1,2})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _parse_time(text: str, where: str) -> tuple[str, int]:
    """Return the form of a time and its nanoseconds since the epoch, or since whatever a number counts from."""
    if _NUMBER.fullmatch(text):
        return "number of seconds", int(Decimal(text).scaleb(9))
    match = _ISO.fullmatch(text)
    moment = _moment(match["seconds"] + (match["offset"] or "")) if match else None
    if match is None or moment is None:
        raise InvalidInput(
            f"{where} has the time {text!r}: it must be a number of seconds or an ISO 8601 date and time"
        )
    form = "local time" if moment.tzinfo is None else "time with UTC offset"
    seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(seconds=1)
    return form, seconds * 1_000_000_000 + int((match["fraction"] or "0")[:9].ljust(9, "0"))


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # the digits are in place, but there is no such date or time
        return None


def _parse_number(text: str | None, where: str, name: str) -> float:
    if not _NUMBER.fullmatch((text or "").strip()):
        raise InvalidInput(f"{where} has {text!r}: {name} must be a number in every row")
    return float(text or "")
