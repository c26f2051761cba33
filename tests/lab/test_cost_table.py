from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.cost_table import CostTable, tabulate


def test_flushes_are_averaged_in_their_cell_in_any_order() -> None:
    table = tabulate([4, 1, 2, 1, 4, 2, 1], [9.0, 1.0, 3.0, 3.0, 7.0, 5.0, 4.0], ["b", "a", "a", "a", "a", "b", "b"])

    assert table.batch_sizes.tolist() == [1, 2, 4]
    # blocks stand in the order in which they appear
    assert table.seconds.tolist() == [[4, 5, 9], [2, 3, 7]]


def test_the_same_size_throughout_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 3 different batch sizes; got 100"):
        tabulate([100, 100, 100], [1.0, 1.1, 0.9], [1, 2, 3])


def test_two_sizes_cannot_doubt_a_line() -> None:
    with pytest.raises(InvalidInput, match="got 1, 2"):
        tabulate([1, 2, 1, 2], [1.0, 1.1, 0.9, 1.2], [1, 1, 2, 2])


def test_a_missing_cell_is_named() -> None:
    with pytest.raises(InvalidInput, match="Block 'second' has no flush of 4 items"):
        tabulate([1, 2, 4, 1, 2], [1.0] * 5, ["first"] * 3 + ["second"] * 2)


@pytest.mark.parametrize(
    ("sizes", "seconds", "blocks", "message"),
    [
        ([1, 2, 4], [1.0, 2.0], [1, 1, 1], "3 sizes, 2 times and 3 blocks"),
        ([1, 2, 4], [1.0, 2.0, 3.0], [1, 1], "2 blocks"),
        ([1, 2, 0], [1.0, 2.0, 3.0], [1, 1, 1], "Batch sizes must be above zero"),
        ([1, 2, 4], [1.0, 0.0, 3.0], [1, 1, 1], "Flush times must be above zero"),
        ([1, 2, 4], [1.0, math.nan, 3.0], [1, 1, 1], "Flush times must be finite"),
    ],
)
def test_broken_flushes_are_refused(sizes: list[float], seconds: list[float], blocks: list[int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        tabulate(sizes, seconds, blocks)


def test_without_noise_or_blocks_weights_are_by_relative_error() -> None:
    one_block = CostTable(np.array([1.0, 2.0, 4.0]), np.array([[1.0, 2.0, 10.0]]))
    no_noise = CostTable(np.array([1.0, 2.0, 4.0]), np.array([[1.0, 2.0, 10.0]] * 5))

    assert one_block.weights == pytest.approx([1, 0.25, 0.01])
    assert no_noise.weights == pytest.approx([1, 0.25, 0.01])


def test_a_size_that_is_noisier_than_the_others_counts_less() -> None:
    rng = np.random.default_rng(1)
    noise = np.array([0.2, 0.01, 0.01, 0.01])
    table = CostTable(np.array([1.0, 2.0, 4.0, 8.0]), np.exp(noise * rng.normal(size=(10, 4))))

    assert table.weights[0] < 0.02
    assert table.weights[1:] == pytest.approx(np.ones(3), rel=0.1)


def test_block_effects_are_taken_out_and_the_shape_stays() -> None:
    shape = np.array([1.0, 2.0, 5.0])
    table = CostTable(np.array([1.0, 2.0, 4.0]), np.outer([0.5, 1.0, 2.0], shape))

    assert table.without_block_effects == pytest.approx(np.tile(shape, (3, 1)))
