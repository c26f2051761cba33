"""Any parameter of a plan, given as text: those that it sweeps over, and those that it holds fixed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from perflab.errors import InvalidInput
from perflab.lab.sweep.plan import SweepPlan

_IDENTITY = frozenset({"engine", "server"})
"""What a plan is for: not to be changed after it was made."""


def axis_names() -> list[str]:
    """What `with_axes` knows."""
    return [field.name for field in fields(SweepPlan) if field.name not in _IDENTITY]


def with_axes(plan: SweepPlan, settings: Sequence[str]) -> SweepPlan:
    """A plan with other parameters.

    Args:
        plan: To start from.
        settings: Such as "replay_batch_sizes=1,10,100", "closed_loop_clients=8", "arrivals=independent". Lists are
            separated by commas; "none" is no value, where a parameter may have none.

    Raises:
        InvalidInput: A parameter is unknown, or given twice; a value has the wrong type, or is out of its range.
    """
    hints = get_type_hints(SweepPlan)
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InvalidInput(f"{setting!r} sets nothing: write name=value, such as closed_loop_clients=8")
        if name not in axis_names():
            near = difflib.get_close_matches(name, axis_names(), n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(axis_names())}"
            raise InvalidInput(f"a sweep has no axis {name!r}: {hint}")
        if name in changes:
            raise InvalidInput(f"{name} is set twice: list its values with commas, or give it once")
        changes[name] = _parse(name, text, hints[name])
    return replace(plan, **changes)


def _parse(name: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        return tuple(_parse(name, part.strip(), get_args(kind)[0]) for part in text.split(",") if part.strip())
    if isinstance(kind, UnionType):
        if text.lower() == "none":
            return None
        kind = next(each for each in get_args(kind) if each is not NoneType)
    read: Callable[[str], Any] = str if get_origin(kind) is Literal else kind
    try:
        return read(text)
    except ValueError:
        wanted = "a whole number" if read is int else "a number"
        raise InvalidInput(f"{name} is {text!r}: give {wanted}") from None
