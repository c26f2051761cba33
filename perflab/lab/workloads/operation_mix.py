"""What share of a load each operation has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perflab.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class OperationMix:
    """Operations and their weights.

    Attributes:
        weights: By name, in order; finite and above 0. They need not add up to 1.

    Raises:
        InvalidInput: There are none, or a weight is out of its range.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.weights:
            raise InvalidInput("a mix needs one operation at least")
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight > 0):
                raise InvalidInput(f"the weight of {name!r} is {weight!r}: give a finite number above 0")

    def __str__(self) -> str:
        total = sum(self.weights.values())
        return ", ".join(f"{name} {weight / total:.0%}" for name, weight in self.weights.items())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.weights)

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Positions in `names`, each drawn by the weights, independent of the ones before."""
        weights = np.array(list(self.weights.values()))
        return rng.choice(len(weights), count, p=weights / weights.sum())


def parse_mix(text: str, known: Sequence[str]) -> OperationMix:
    """Read `enqueue=70,state=30`; a name alone has the weight 1.

    Raises:
        InvalidInput: An operation is not known or named twice, or a weight is no number above 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, separator, number = (piece.strip() for piece in part.partition("="))
        if name not in known:
            raise InvalidInput(f"the mix {text!r} has {name!r}: use {', '.join(known)}")
        if name in weights:
            raise InvalidInput(f"the mix {text!r} has {name!r} twice")
        try:
            weights[name] = float(number) if separator else 1.0
        except ValueError:
            raise InvalidInput(f"the mix {text!r} gives {name!r} the weight {number!r}: give a number") from None
    return OperationMix(weights)
