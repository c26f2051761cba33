"""Finding the poison, and the size that fits: write many items so that only those that fail alone fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from perflab.batching.part_size import PartSize
from perflab.database.failures import classify, is_too_much
from perflab.database.result_codes import FailureKind
from perflab.events import Outcome

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Isolated(Generic[T, R]):
    """How the items ended; together they are all of them."""

    parts: list[tuple[Sequence[T], Sequence[R]]] = field(default_factory=list)
    """What was delivered: the items of each transaction, and their results."""
    failed: list[tuple[T, Exception]] = field(default_factory=list)
    undecided: list[T] = field(default_factory=list)
    """In their order; not written, because of `error`."""
    in_doubt: Sequence[T] = ()
    """The first of the undecided, if nobody knows whether they are written: the part whose COMMIT was not answered."""
    error: Exception | None = None
    """The failure that left items undecided."""
    attempts: int = 0

    @property
    def delivered(self) -> list[tuple[T, R]]:
        """Each delivered item with its result."""
        return [pair for part, results in self.parts for pair in zip(part, results, strict=True)]

    @property
    def deliveries(self) -> int:
        """How many items were delivered."""
        return sum(len(part) for part, _ in self.parts)


def isolate(
    items: Sequence[T],
    attempt: Callable[[Sequence[T]], Sequence[R]],
    *,
    part_size: PartSize | None = None,
    weigh: Callable[[Sequence[T]], int] = len,
    has_time: Callable[[T], bool] = lambda _item: True,
) -> Isolated[T, R]:
    """Write items with `attempt`, all or nothing each time, and halve what is refused until the poison stands alone.

    An item's neighbours never fail with it, and parts are tried in order. For k bad items of n it makes at most
    2k(log2(n/k) + 1) + 1 attempts: the path to a bad item has log2(n) halvings, each with a sibling, and the paths of k
    items share their upper parts. Parts are cut at a power of two; cut in the middle, an n that is none would need
    more (n = 80, k = 2: 27 attempts where the bound is 26.3).

    A part that took too long, or too much memory, is halved at once, and so are all that follow it: at most
    log2(n) + 1 attempts until one fits, or a single item does not. That one waits, and all behind it.

    Args:
        items: what to write.
        attempt: writes the items of one part in one transaction and returns a result for each, or raises; what it
            raises is judged by `classify`. A statement that cannot run is halved too: whether a row or the statement is
            to blame is known only when a row stands alone.
        part_size: bounds the parts, and learns from them.
        weigh: how much a part is to the `part_size`: where items differ, such as units, not their number.
        has_time: whether there is time to try a smaller part at once; asked for the first item of what was too much.

    Returns:
        What was delivered, what failed, and what a passing failure, or one of unknown outcome, left undecided.
    """
    part_size = part_size or PartSize()
    outcome: Isolated[T, R] = Isolated()
    parts = [items] if items else []
    while parts:
        part = parts.pop()
        weight = weigh(part)
        if (fits := part_size.cut(weight)) < weight and (count := max(1, len(part) * fits // weight)) < len(part):
            parts.append(part[count:])
            part = part[:count]
            weight = weigh(part)
        outcome.attempts += 1
        try:
            results = attempt(part)
        except Exception as error:  # noqa: BLE001  # each kind has its own answer
            kind = classify(error)
            if kind is FailureKind.TRANSIENT and is_too_much(error):
                part_size.too_much(weight)
                if len(part) > 1 and has_time(part[0]):
                    parts.append(part)
                    continue
            if kind in (FailureKind.TRANSIENT, FailureKind.UNKNOWN):
                outcome.error = error
                outcome.in_doubt = part if kind is FailureKind.UNKNOWN else ()
                outcome.undecided = [item for waiting in (part, *reversed(parts)) for item in waiting]
                return outcome
            if kind is FailureKind.UNUSABLE:
                outcome.failed += [(item, error) for waiting in (part, *reversed(parts)) for item in waiting]
                return outcome
            if len(part) == 1:
                outcome.failed.append((part[0], error))
            else:
                cut = 1 << ((len(part) - 1).bit_length() - 1)  # the largest power of two below
                parts += [part[cut:], part[:cut]]
        else:
            part_size.fitted(weight)
            outcome.parts.append((part, results))
    return outcome


def outcome_of(delivered: int, failed: int, undecided: int) -> Outcome:
    """How an attempt ended in which so many items ended so."""
    if undecided:
        return Outcome.RETRIED
    if not failed:
        return Outcome.COMMITTED
    return Outcome.PARTIAL if delivered else Outcome.FAILED
