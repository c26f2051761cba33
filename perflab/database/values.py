"""What may be stored: checks that give the same answer on every engine, before anything is sent.

SQLite turns NaN into NULL and cuts text at a NUL for its functions, PostgreSQL refuses both, and each raises its own
exception for an integer that does not fit. Here they are one `InvalidInput` that names the place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from json import encoder as json_encoder
from typing import Any

from perflab.errors import InvalidInput

MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)
MAX_PAYLOAD_BYTES = 1_048_576
"""Default bound of one encoded payload: 1 MiB. Larger things belong in files; the payload is their name."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,40}")


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
        raise InvalidInput(f"{where} is {value!r}: give an integer")
    if not low <= value <= high:
        raise InvalidInput(f"{where} is {_shortened(value)}: it must lie between {low} and {high}")
    return value


def check_number(
    value: float, where: str, *, low: float = 0.0, high: float = math.inf, above_low: bool = False
) -> float:
    """Refuse what is not a finite number, lies outside `low` … `high`, or (with `above_low`) equals `low`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{where} is {value!r}: give a number")
    if not math.isfinite(value) or value < low or value > high or (above_low and value == low):
        bounds = f"greater than {low:g}" if above_low else f"at least {low:g}"
        upper = "" if math.isinf(high) else f" and at most {high:g}"
        raise InvalidInput(f"{where} is {value!r}: it must be {bounds}{upper}")
    return value


def check_identifier(value: str, where: str) -> str:
    """Names of queues: short enough for every engine, so that two long names never collide by being cut."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise InvalidInput(
            f"{where} is {value!r}: use 1 to 41 lower-case letters, digits and underscores, not starting with a digit"
        )
    return value


def storable(value: Any) -> bool:
    """Whether a bound value of a row is one that every engine can hold; quick for those that are."""
    kind = type(value)
    if kind is str:
        return "\x00" not in value and (value.isascii() or _encodes(value))
    if kind is int:
        return bool(MIN_INT64 <= value <= MAX_INT64)
    return bool(kind is not float or math.isfinite(value))


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
        raise InvalidInput(f"{where} is {moment!r}: give an aware datetime, such as datetime.now(timezone.utc)")
    if moment.tzinfo is None:
        raise InvalidInput(f"{where} is {moment!r}, which has no time zone: give an aware datetime")
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970, exactly."""
    return _EPOCH + timedelta(microseconds=microseconds)


# -- JSON payloads -----------------------------------------------------------------------------------------------------


def _refuse_type(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _make_encode() -> Callable[[Any], str]:
    c_make_encoder = getattr(json_encoder, "c_make_encoder", None)
    if c_make_encoder is None:  # an interpreter without the C accelerator
        return json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_refuse_type).encode
    # json.dumps makes a new C encoder on every call; one that is kept halves the time of a small payload.
    encode_chunks = c_make_encoder(
        None, _refuse_type, json_encoder.encode_basestring, None, ":", ",", False, False, False
    )
    join = "".join
    return lambda value: join(encode_chunks(value, 0))


_encode = _make_encode()


def encode_payload(payload: Any, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> str:
    """A payload as compact JSON text.

    Args:
        payload: any JSON value: dict, list, str, int, float, bool, None.
        max_bytes: bound of the encoded UTF-8 text.

    Raises:
        InvalidInput: NaN or infinity, NUL, a lone surrogate, an integer over 64 bits, a type that JSON does not have,
            nesting too deep, or more than `max_bytes`.
    """
    try:
        text = _encode(payload)
        size = len(text.encode())
    except ValueError as error:
        raise InvalidInput(f"the payload cannot be stored: {_first_problem(payload) or error}") from None
    except TypeError as error:
        raise InvalidInput(
            f"the payload cannot be stored as JSON: {error}; use dict, list, str, int, float, bool or None"
        ) from None
    except RecursionError:
        raise InvalidInput("the payload is nested too deeply, or contains itself: flatten it") from None
    if size > max_bytes:
        raise InvalidInput(
            f"the payload has {size:,} bytes, more than the limit of {max_bytes:,}: store a reference to it instead"
        )
    # A NUL is always written as this escape; a hit may also be an innocent backslash, so only then look closely.
    if ("\\u0000" in text or not _integers_fit(payload)) and (problem := _first_problem(payload)):
        raise InvalidInput(f"the payload cannot be stored: {problem}")
    return text


def decode_payload(text: str) -> Any:
    """The payload of JSON text that `encode_payload` wrote."""
    return json.loads(text)


def _integers_fit(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif kind is not list and kind is not tuple:
        return kind is not int or MIN_INT64 <= value <= MAX_INT64
    for part in value:
        kind = type(part)
        if kind is int:
            if not MIN_INT64 <= part <= MAX_INT64:
                return False
        elif (kind is dict or kind is list or kind is tuple) and not _integers_fit(part):
            return False
    return True


def _first_problem(value: Any, where: str = "payload") -> str | None:
    """Where the first value stands that no engine can hold, and why; None if there is none."""
    if isinstance(value, str):
        try:
            check_text(value, where)
        except InvalidInput as refused:
            return str(refused)
    elif isinstance(value, bool):
        return None
    elif isinstance(value, int) and not MIN_INT64 <= value <= MAX_INT64:
        return f"{where} is {_shortened(value)}, which does not fit into 64 bits: store it as text"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{where} is {value!r}, which JSON does not have: store None and the reason instead"
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if problem := _first_problem(key, f"a key of {where}") or _first_problem(part, f"{where}[{key!r}]"):
                return problem
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            if problem := _first_problem(part, f"{where}[{index}]"):
                return problem
    return None


def _shortened(value: int) -> str:
    """An integer for a message; one of thousands of digits by its length."""
    return str(value) if value.bit_length() <= 256 else f"an integer of {value.bit_length():,} bits"


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
