"""Flush times as a table of blocks by batch sizes, with the weight that each size deserves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray, positive_samples

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

FEWEST_SIZES = 3
NOISY = 2.0
_MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True, slots=True)
class CostTable:
    """Mean seconds per flush in every cell of a complete grid.

    Attributes:
        batch_sizes: Items, rising, shape (sizes,).
        seconds: Mean time of the flushes of a cell, shape (blocks, sizes).
    """

    batch_sizes: FloatArray
    seconds: FloatArray

    @property
    def weights(self) -> FloatArray:
        """1/variance of each size, shape (sizes,).

        Noise is taken as relative, the same share of T everywhere: 1/T^2. A size whose own deviation over the blocks
        (from the median absolute deviation) is more than twice the typical one counts by its own. Deviations of a few
        blocks scatter; if each size had its own weight, those that agree by accident would rule the fit and make its
        intervals too short.
        """
        typical = np.median(self.seconds, axis=0)
        deviations = _MAD_TO_DEVIATION * np.median(np.abs(self.seconds - typical), axis=0) / typical
        shared = float(np.median(deviations))
        if self.seconds.shape[0] < 3 or shared == 0:
            return 1 / np.square(typical)
        excess = np.where(deviations > NOISY * shared, deviations / shared, 1.0)
        return 1 / np.square(excess * typical)

    @property
    def without_block_effects(self) -> FloatArray:
        """The table with every block brought to the same speed, shape (blocks, sizes).

        A block that was slow at all sizes says nothing about the shape of the curve, but would look like a pattern
        in its residuals.
        """
        levels = np.log(self.seconds).mean(axis=1, keepdims=True)
        adjusted: FloatArray = self.seconds * np.exp(levels.mean() - levels)
        return adjusted


def tabulate(batch_sizes: npt.ArrayLike, seconds: npt.ArrayLike, blocks: Sequence[Hashable]) -> CostTable:
    """Average the flushes of each (block, batch size).

    The mean and not the median, because a slow flush costs its time, too.

    Args:
        batch_sizes: Items of each flush.
        seconds: Duration of each flush.
        blocks: The block that each flush belongs to.

    Raises:
        InvalidInput: The three differ in length, a number is not finite and above zero, there are fewer than three
            sizes (a line through two points cannot be doubted), or a block lacks a size.
    """
    sizes = positive_samples(batch_sizes, "Batch sizes")
    times = positive_samples(seconds, "Flush times")
    if not sizes.size == times.size == len(blocks):
        raise InvalidInput(
            "Every flush needs a batch size, a time and a block; "
            f"got {sizes.size} sizes, {times.size} times and {len(blocks)} blocks."
        )
    levels, level_of_flush = np.unique(sizes, return_inverse=True)
    if levels.size < FEWEST_SIZES:
        raise InvalidInput(
            f"A cost model needs at least {FEWEST_SIZES} different batch sizes; got "
            f"{', '.join(f'{level:g}' for level in levels)}. Measure for example 1, 2, 4, ..., 1024."
        )
    # blocks keep the order in which they first appear
    block_numbers = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    shape = (len(block_numbers), levels.size)
    cells = (np.array([block_numbers[block] for block in blocks]), level_of_flush)
    totals, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(totals, cells, times)
    np.add.at(counts, cells, 1)
    if (counts == 0).any():
        row, column = (int(index) for index in np.argwhere(counts == 0)[0])
        block = list(block_numbers)[row]
        raise InvalidInput(
            f"Block {block!r} has no flush of {levels[column]:g} items; every block must have every batch size. "
            "Finish the sweep, or leave out that block or that size."
        )
    return CostTable(levels, totals / counts)
