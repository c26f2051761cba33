"""Several tests at once: how much each p-value must be raised so that all claims hold together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray, finite_samples


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Adjusted p-values: calling real what is below 0.05 is wrong about any of them in 5 % of all families.

    The smallest of m is multiplied by m, the next by m - 1, and none may be below a smaller one (S. Holm, "A Simple
    Sequentially Rejective Multiple Test Procedure", *Scandinavian Journal of Statistics* 6, 1979). It holds however the
    tests depend on each other, as comparisons over the same blocks do.

    Args:
        p_values: Shape (tests,).

    Returns:
        The adjusted ones, same order, at most 1.

    Raises:
        InvalidInput: None is given, or one is outside [0, 1].
    """
    values = finite_samples(p_values, "p-values")
    if (wrong := values[(values < 0) | (values > 1)]).size:
        raise InvalidInput(f"A p-value lies between 0 and 1, got {float(wrong[0])!r}.")
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(raised, 1)
    return adjusted
