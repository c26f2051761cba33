"""How often something happens, from how often it did."""

from __future__ import annotations

import math

from scipy import special

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import require_fraction
from perflab.lab.statistics.intervals import Estimate


def proportion_interval(successes: int, trials: int, *, level: float = 0.95) -> Estimate:
    """The share of successes with its exact interval, which is never too short.

    The bounds are the shares under which so few, or so many, successes would just be too rare (C. J. Clopper and E. S.
    Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial", *Biometrika* 26, 1934).

    Args:
        successes: From 0 to `trials`.
        trials: Independent ones, at least one.
        level: Confidence level.

    Raises:
        InvalidInput: There is no trial, or the successes are not a part of them.
    """
    require_fraction(level, "level")
    _check(successes, trials)
    tail = (1 - level) / 2
    failures = trials - successes
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return Estimate(successes / trials, low, high, trials, level)


def too_many_p_value(successes: int, trials: int, share: float) -> float:
    """The chance of so many successes or more when the true share is `share`.

    Raises:
        InvalidInput: As `proportion_interval`, or the share is outside (0, 1).
    """
    require_fraction(share, "share")
    _check(successes, trials)
    return math.fsum(
        math.comb(trials, count) * share**count * (1 - share) ** (trials - count)
        for count in range(successes, trials + 1)
    )


def _check(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise InvalidInput(f"A share needs trials and successes among them; got {successes} of {trials}.")
