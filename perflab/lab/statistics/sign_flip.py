"""The sign-flip test: are paired differences centred on zero?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perflab.lab.statistics.inputs import FloatArray, finite_samples

if TYPE_CHECKING:
    import numpy.typing as npt

EXACT_UP_TO = 16
DRAWS = 20_000


def sign_flip_p_value(differences: npt.ArrayLike, *, rng: np.random.Generator) -> float:
    """Two-sided p-value of the mean of paired differences.

    When the two arms are the same, each difference could as well have had the other sign. The p-value is the share of
    all 2^n assignments of signs whose sum is at least as far from zero as the one observed (R. A. Fisher, *The Design
    of Experiments*, 1935, section 21). Above 16 differences, 20,000 random assignments stand for all, counted with the
    observed one among them so that the p-value is never too small (B. Phipson and G. K. Smyth, "Permutation P-values
    Should Never Be Zero", 2010).

    Args:
        differences: One for each block.
        rng: Used above 16 differences only.

    Raises:
        InvalidInput: No differences, or one that is not finite.
    """
    samples = finite_samples(differences, "The differences of a sign-flip test")
    observed = abs(float(samples.sum()))
    # the sums are rounded in another order than the observed one: equal must count as equal
    threshold = observed - 1e-9 * float(np.abs(samples).sum())
    if samples.size <= EXACT_UP_TO:
        return float(np.mean(np.abs(_all_signed_sums(samples)) >= threshold))
    signs = rng.integers(0, 2, size=(DRAWS, samples.size)) * 2 - 1
    as_extreme = int(np.count_nonzero(np.abs(signs @ samples) >= threshold))
    return (1 + as_extreme) / (1 + DRAWS)


def _all_signed_sums(samples: FloatArray) -> FloatArray:
    sums = np.zeros(1)
    for difference in samples:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums
