"""Lanes: what may overtake what, what leaves at once, and how long anything can be kept waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from perflab.batching.limits import LONGEST_INTERVAL_SECONDS, Limits
from perflab.database.values import check_integer, check_number, check_text
from perflab.errors import InvalidInput

MOST_LANES = 16
MOST_WEIGHT = 1_000


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the lanes that share the batches of a batcher. Items of one lane keep their order; lanes overtake.

    Raises:
        InvalidInput: a value is out of its range.
    """

    name: str
    weight: int = 1
    """Its share of a batch while there is more than fits: its weight over the sum of the weights, 1 … 1,000."""
    urgent: bool = False
    """An item of it leaves at once and takes along what waits; a full buffer holds one batch more of them."""
    patience: float = 1.0
    """Seconds after which an item has grown old. Old items get every second place of a batch, whatever the weights."""

    def __post_init__(self) -> None:
        check_text(self.name, "the name of a lane")
        check_integer(self.weight, f"the weight of lane {self.name!r}", low=1, high=MOST_WEIGHT)
        check_number(self.patience, f"the patience of lane {self.name!r}", high=LONGEST_INTERVAL_SECONDS)


DEFAULT_LANES = (Lane("urgent", weight=8, urgent=True), Lane("normal", weight=4), Lane("background", weight=1))


class Lanes:
    """The lanes of one batcher, by name. Where both have a share left, an earlier lane goes first.

    Raises:
        InvalidInput: there are none, more than 16, or two of one name.
    """

    def __init__(self, lanes: Sequence[Lane] = DEFAULT_LANES) -> None:
        if not 1 <= len(lanes) <= MOST_LANES or not all(isinstance(lane, Lane) for lane in lanes):
            raise InvalidInput(f"lanes is {lanes!r}: use 1 to {MOST_LANES} values such as Lane('fast', urgent=True)")
        self.all = tuple(lanes)
        self._index = {lane.name: number for number, lane in enumerate(lanes)}
        if len(self._index) < len(self.all):
            raise InvalidInput(f"two of the lanes {', '.join(lane.name for lane in lanes)} have one name")
        self.usual = next((number for number, lane in enumerate(lanes) if not lane.urgent), 0)
        """Where an item goes for which no lane is stated: the first that is not urgent."""

    @property
    def usual_name(self) -> str:
        return self.all[self.usual].name

    def index(self, name: str | None) -> int:
        """The number of a lane.

        Raises:
            InvalidInput: there is no such lane.
        """
        if name is None:
            return self.usual
        try:
            return self._index[name]
        except (KeyError, TypeError):
            known = ", ".join(map(repr, self._index))
            raise InvalidInput(f"lane is {name!r}: this batcher has {known}") from None


def longest_wait(
    lane: Lane, limits: Limits, flush_seconds: float, places: int | None = None, *, largest_unit: int = 1
) -> float:
    """The longest that an item of a lane waits before it leaves, in seconds, whatever is submitted to other lanes.

    max(patience, flush_interval) + ceil(2 N / B) * T, where N = max_pending + batch_size is the most that can be
    pending. After its patience (or when it is due, if that comes later) an item is served in the order in which items
    grew old, and every second place is theirs: so at most 2 N places go before it, in batches of B places, one after
    the other, the first of which leaves when the batch that is being written has ended.

    Args:
        lane: its patience matters.
        limits: of the batcher.
        flush_seconds: T, the longest time from one batch leaving to the writer being free again. A back-off after a
            failure, in which nothing leaves, comes on top.
        places: B, the fewest items that a batch took while more were waiting. None: `batch_size`; adaptive sizing and
            `batch_bytes` may cut batches shorter.
        largest_unit: U, the most items of an atomic unit. A buffer takes a last one whole, turns between old and others
            are out by up to one on each side, and a batch may end U - 1 places before it is full: so 2 N + 5 (U - 1)
            places go in batches of B - U + 1, or of one unit where that is less.
    """
    most_places = 2 * (limits.max_pending + limits.batch_size) + 5 * (largest_unit - 1)
    batches = ceil(most_places / max(1, (places or limits.batch_size) - largest_unit + 1))
    return max(lane.patience, limits.flush_interval) + batches * flush_seconds
