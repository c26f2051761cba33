"""What the statistics accept: finite numbers in one row; everything else is refused with the place and the value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perflab.errors import InvalidInput

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def finite_samples(values: npt.ArrayLike, name: str, *, minimum: int = 1) -> FloatArray:
    """Return `values` as a one-dimensional array of finite floats.

    Args:
        values: Numbers, any sequence or array of one dimension.
        name: What they are, for the message.
        minimum: How many there must be.

    Raises:
        InvalidInput: They are not numbers in one row, too few, or one of them is NaN or infinite.
    """
    try:
        samples = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} must be numbers: {error}.") from error
    if samples.ndim != 1:
        raise InvalidInput(f"{name} must be one row of numbers, got an array of shape {samples.shape}.")
    if samples.size < minimum:
        raise InvalidInput(f"{name} needs at least {minimum} values, got {samples.size}; measure more.")
    _refuse_where(~np.isfinite(samples), samples, name, "finite")
    return samples


def positive_samples(values: npt.ArrayLike, name: str, *, minimum: int = 1) -> FloatArray:
    """Return `values` as `finite_samples` does, and refuse zero and negative ones: they have no logarithm.

    Raises:
        InvalidInput: As `finite_samples`, or a value is not above zero.
    """
    samples = finite_samples(values, name, minimum=minimum)
    _refuse_where(samples <= 0, samples, name, "above zero")
    return samples


def require_fraction(value: float, name: str) -> float:
    """Return `value` if it lies strictly between 0 and 1.

    Raises:
        InvalidInput: It does not.
    """
    if not 0 < value < 1:
        raise InvalidInput(f"{name} must lie between 0 and 1, for example 0.95; got {value!r}.")
    return float(value)


def require_positive(value: float, name: str) -> float:
    """Return `value` if it is finite and above zero.

    Raises:
        InvalidInput: It is not.
    """
    if not (0 < value < float("inf")):
        raise InvalidInput(f"{name} must be finite and above zero, got {value!r}.")
    return float(value)


def _refuse_where(wrong: BoolArray, samples: FloatArray, name: str, wanted: str) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidInput(f"{name} must be {wanted}; value {first} of {samples.size} is {float(samples[first])!r}.")
