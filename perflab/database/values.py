"""What may be stored: checks that give the same answer on every engine, before anything is sent.

SQLite turns NaN into NULL and cuts text at a NUL for its functions, PostgreSQL refuses both, and each raises its own
exception for an integer that does not fit. Here they are one `InvalidInput` that names the place.
"""

from __future__ import annotations

import json
import math
import re
import sys
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from json import encoder as json_encoder
from typing import Any

from perflab.errors import InvalidInput

MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)
MAX_PAYLOAD_BYTES = 1_048_576
"""Default bound of one encoded payload: 1 MiB. Larger things belong in files; the payload is their name."""

MAX_PAYLOAD_DEPTH = 100
"""Lists and dictionaries in each other. Engines and readers have limits of their own, of which the lowest is some 500
(JSON of Python, on a deep stack); this one is the same everywhere."""

MAX_SQL_NAME_BYTES = 63
"""NAMEDATALEN - 1: https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS"""

_SCALARS = frozenset({str, float, bool, type(None)})
_STR = frozenset({str})
_ALWAYS_STORABLE = frozenset({bool, bytes, date, datetime})
_LARGEST_FLOAT = sys.float_info.max
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def shown(value: object, characters: int = 200) -> str:
    """A value for a message: its `repr`, cut; an integer of thousands of digits, which has none, by its length."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length():,} bits"
    try:
        return repr(value)[:characters]
    except ValueError:  # it holds such an integer
        return f"a {type(value).__name__} with an integer too long to be written"


# -- scalars -----------------------------------------------------------------------------------------------------------


def check_text(value: str, where: str) -> str:
    """Refuse text that one of the engines cannot hold: NUL, or a lone surrogate."""
    if "\x00" not in value and value.isascii():  # nearly always, and at once
        return value
    if "\x00" in value:
        raise InvalidInput(f"{where} holds a NUL character at position {value.index(chr(0))}: remove it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{where} holds a lone surrogate ({value[error.start]!r} at position {error.start}): "
            "it is not valid Unicode text; decode the source with the right encoding"
        ) from None
    return value


def check_integer(value: int, where: str, *, low: int = MIN_INT64, high: int = MAX_INT64) -> int:
    """Refuse what is not an integer (a bool is not one here) or lies outside `low` … `high`."""
    if type(value) is not int:
        raise InvalidInput(f"{where} is {shown(value)}: give an integer")
    if not low <= value <= high:
        raise InvalidInput(f"{where} is {shown(value)}: it must lie between {low} and {high}")
    return value


def check_number(
    value: float, where: str, *, low: float = 0.0, high: float = math.inf, above_low: bool = False
) -> float:
    """Refuse what is not a finite number, lies outside `low` … `high`, or (with `above_low`) equals `low`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{where} is {shown(value)}: give a number")
    # In this order, an integer too large for a float is never made one.
    is_within = (low < value if above_low else low <= value) and value <= min(high, _LARGEST_FLOAT)
    if not is_within:  # NaN included
        bounds = f"greater than {low:g}" if above_low else f"at least {low:g}"
        upper = "" if math.isinf(high) else f" and at most {high:g}"
        raise InvalidInput(f"{where} is {shown(value)}: it must be a finite number, {bounds}{upper}")
    return value


def check_identifier(value: str, where: str) -> str:
    """Names of queues: short enough for every engine, so that two long names never collide by being cut."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise InvalidInput(
            f"{where} is {shown(value)}: use 1 to 41 lower-case letters, digits and underscores, not starting with a "
            "digit"
        )
    return value


def check_sql_name(value: str, where: str) -> str:
    """Names of databases, schemas, tables and columns: PostgreSQL cuts longer ones, so that two of them could collide.

    SQLite would take them at any length; what is refused is the same on both.
    """
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{where} is {shown(value)}: give its name")
    check_text(value, where)
    if (size := len(value.encode())) > MAX_SQL_NAME_BYTES:
        raise InvalidInput(
            f"{where} is {value!r}, which has {size} bytes: PostgreSQL would cut it at {MAX_SQL_NAME_BYTES}; shorten it"
        )
    return value


def storable(value: Any) -> bool:
    """Whether a bound value of a row is one that every engine can hold; quick for those that are."""
    kind = type(value)
    if kind is str:
        return "\x00" not in value and (value.isascii() or _encodes(value))
    if kind is int:
        return bool(MIN_INT64 <= value <= MAX_INT64)
    if kind is float:
        return math.isfinite(value)
    if kind is Decimal:
        return bool(value.is_finite())
    # Subclasses are rare: numpy's float64, an enumeration of str or int.
    if isinstance(value, str):
        return "\x00" not in value and _encodes(value)
    if isinstance(value, int):
        return MIN_INT64 <= value <= MAX_INT64
    return not isinstance(value, float) or math.isfinite(value)


def storable_column(values: Sequence[Any]) -> bool:
    """Whether all of many values are `storable`: the same, in a few calls for the column of a table."""
    kinds = set(map(type, values))
    has_nulls = type(None) in kinds
    kinds.discard(type(None))
    if kinds <= _ALWAYS_STORABLE:
        return True
    if len(kinds) > 1:
        return all(map(storable, values))
    (kind,) = kinds
    known = [value for value in values if value is not None] if has_nulls else values
    if kind is str:
        text = "".join(known)
        return "\x00" not in text and (text.isascii() or all(map(_encodes, known)))
    if kind is int:
        return fit_into("q", known)
    return all(map(math.isfinite, known)) if kind is float else all(map(storable, known))


def plain_texts(texts: Sequence[Any], *, longest: int, shortest: int = 0) -> bool:
    """Whether all are text of these lengths that needs no closer look, being ASCII without NUL: in a few calls."""
    try:
        joined = "".join(texts)
    except TypeError:  # one is something else
        return False
    if not joined.isascii() or "\x00" in joined:
        return False
    lengths = set(map(len, texts))
    return shortest <= min(lengths) and max(lengths) <= longest


def fit_into(code: str, integers: Sequence[int]) -> bool:
    """Whether all integers are in the range of a C type, by its code in `array`: in one pass."""
    try:
        array(code, integers)
    except OverflowError:
        return False
    return True


def check_value(value: Any, where: str) -> Any:
    """Refuse a bound value that is not `storable`, and say why."""
    if storable(value):
        return value
    if isinstance(value, str):
        return check_text(value, where)
    if isinstance(value, int):
        return check_integer(value, where)
    raise InvalidInput(f"{where} is {value!r}: engines disagree on it; store None and the reason instead")


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# -- time --------------------------------------------------------------------------------------------------------------


def to_microseconds(moment: datetime, where: str) -> int:
    """Microseconds since 1970 of an aware datetime, exactly."""
    if not isinstance(moment, datetime):
        raise InvalidInput(f"{where} is {shown(moment)}: give an aware datetime, such as datetime.now(timezone.utc)")
    if moment.utcoffset() is None:
        raise InvalidInput(f"{where} is {moment!r}, which has no time zone: give an aware datetime")
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970, exactly."""
    return EPOCH + timedelta(microseconds=microseconds)


# -- JSON payloads -----------------------------------------------------------------------------------------------------


def _refuse_type(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _make_encode() -> Callable[[Any, int], Sequence[str]]:
    """The JSON encoder: a value, and an indent of 0, to pieces of text."""
    c_make_encoder = getattr(json_encoder, "c_make_encoder", None)
    if c_make_encoder is None:  # an interpreter without the C accelerator
        encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_refuse_type)
        return lambda value, _indent: [encoder.encode(value)]
    # json.dumps makes a new C encoder on every call; one that is kept halves the time of a small payload.
    encode: Callable[[Any, int], Sequence[str]] = c_make_encoder(
        None, _refuse_type, json_encoder.encode_basestring, None, ":", ",", False, False, False
    )
    return encode


_encode = _make_encode()
_decode = json.JSONDecoder().raw_decode
_join = "".join


def write_json(value: Any) -> str:
    """Compact JSON, with nothing checked but what cannot be written.

    Raises:
        ValueError: NaN or infinity, or a list or dictionary that contains itself.
        TypeError: a type that JSON does not have.
        RecursionError: it is nested too deep.
    """
    return _join(_encode(value, 0))


def encode_payload(payload: Any, what: str = "payload", *, max_bytes: int = MAX_PAYLOAD_BYTES) -> str:
    """A payload as compact JSON text.

    Args:
        payload: any JSON value: dict with str keys, list (or tuple, which comes back as a list), str, int, float, bool,
            None.
        what: its name in errors.
        max_bytes: bound of the encoded UTF-8 text.

    Raises:
        InvalidInput: NaN or infinity, NUL, a lone surrogate, an integer over 64 bits, a key or a type that JSON does
            not have, nesting deeper than `MAX_PAYLOAD_DEPTH`, or more than `max_bytes`.
    """
    try:
        text = _join(_encode(payload, 0))
        size = len(text) if text.isascii() else len(text.encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"the {what} cannot be stored: {_first_problem(payload, what) or error}") from None
    if size > max_bytes:
        raise InvalidInput(
            f"the {what} has {size:,} bytes, more than the limit of {max_bytes:,}: store a reference to it instead"
        )
    # A NUL is always written as this escape; a hit may also be an innocent backslash, so only then look closely.
    is_suspect = "\\" in text and "\\u0000" in text
    if (is_suspect or not _is_sound(payload)) and (problem := _first_problem(payload, what)):
        raise InvalidInput(f"the {what} cannot be stored: {problem}")
    return text


def encode_json(value: Any, where: str) -> str:
    """The value of a JSON column as the text that SQLAlchemy would store.

    Raises:
        InvalidInput: what `encode_payload` refuses, for other reasons than its size.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(_first_problem(value, where) or f"{where}: {error}") from None
    # A NUL and a lone surrogate are written as escapes; a hit may also be an emoji, so only then look closely.
    suspect = "\\u0000" in text or "\\ud" in text or not _is_sound(value)
    if suspect and (problem := _first_problem(value, where)):
        raise InvalidInput(problem)
    return text


def decode_payload(text: str) -> Any:
    """The payload of JSON text that `encode_payload` wrote.

    Raises:
        ValueError: it is not JSON, or more than one value.
    """
    value, end = _decode(text)  # without json.loads' look for space around it, in half the time
    if end != len(text):
        raise json.JSONDecodeError("something follows the value", text, end)
    return value


def _is_sound(value: Any, depth: int = MAX_PAYLOAD_DEPTH) -> bool:
    """Whether what the encoder lets pass is sound too: integers, keys, depth. Quick for the plain types."""
    kind = type(value)
    if kind is dict:
        if not set(map(type, value)) <= _STR:
            return False
        value = value.values()
    elif kind is not list and kind is not tuple:
        return kind in _SCALARS or (kind is int and MIN_INT64 <= value <= MAX_INT64)
    if depth <= 0:
        return False
    for part in value:
        kind = type(part)
        if kind in _SCALARS:
            continue
        if kind is int:
            if not MIN_INT64 <= part <= MAX_INT64:
                return False
        elif not _is_sound(part, depth - 1):  # subclasses too: they are looked at closely
            return False
    return True


def _first_problem(value: Any, where: str = "payload", depth: int = MAX_PAYLOAD_DEPTH) -> str | None:
    """Where the first value stands that no engine can hold, and why; None if there is none."""
    if isinstance(value, str):
        try:
            check_text(value, where)
        except InvalidInput as refused:
            return str(refused)
    elif isinstance(value, int):
        if not MIN_INT64 <= value <= MAX_INT64:
            return f"{where} is {shown(value)}, which does not fit into 64 bits: store it as text"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return f"{where} is {value!r}, which JSON does not have: store None and the reason instead"
    elif isinstance(value, dict | list | tuple):
        if depth <= 0:
            return f"it is nested deeper than {MAX_PAYLOAD_DEPTH} levels, or contains itself: flatten it"
        return _first_problem_inside(value, where, depth - 1)
    elif value is not None:
        return f"{where} is of type {type(value).__name__}: use dict, list, str, int, float, bool or None"
    return None


def _first_problem_inside(value: Any, where: str, depth: int) -> str | None:
    is_dict = isinstance(value, dict)
    for key, part in value.items() if is_dict else enumerate(value):
        if is_dict:
            if not isinstance(key, str):
                return f"{where} has the key {shown(key, 60)}, which JSON does not have: make it text"
            if problem := _first_problem(key, f"a key of {where}"):
                return problem
        if problem := _first_problem(part, f"{where}[{shown(key, 60)}]", depth):
            return problem
    return None


def approximate_bytes(value: Any) -> int:
    """About how many bytes a row or payload takes on its way: text and bytes by length, everything else 8."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)
    if kind is dict:
        return sum(map(approximate_bytes, value.values())) + sum(map(len, map(str, value)))
    if kind is list or kind is tuple:
        return sum(map(approximate_bytes, value))
    return 8
