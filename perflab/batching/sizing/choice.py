"""From the argument `sizing` of a batcher to the policy that it gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from perflab.batching.limits import Limits
from perflab.batching.sizing.cost_model import CostModelSizing
from perflab.batching.sizing.fixed import FixedSizing
from perflab.batching.sizing.policy import Sizing, SizingPolicy, Surroundings
from perflab.errors import InvalidInput

SizingChoice = Literal["fixed", "adaptive"] | Sizing


def start_sizing(
    choice: SizingChoice, limits: Limits, random: Callable[[], float], *, writes_while_filling: bool = True
) -> SizingPolicy:
    """Start the policy of a batcher.

    Args:
        choice: "fixed", "adaptive" (a `CostModelSizing` with its defaults), or a `Sizing`.
        limits: of the batcher.
        random: a random number from 0 to 1.
        writes_while_filling: False in inline mode.

    Raises:
        InvalidInput: it is none of these.
    """
    if choice == "fixed":
        sizing: Sizing = FixedSizing()
    elif choice == "adaptive":
        sizing = CostModelSizing()
    elif isinstance(choice, type) or not hasattr(choice, "start"):
        raise InvalidInput(f"sizing is {choice!r}: use 'fixed', 'adaptive', or a Sizing such as CostModelSizing()")
    else:
        sizing = choice
    return sizing.start(Surroundings(limits, random, writes_while_filling))
