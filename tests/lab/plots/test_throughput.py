from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
import pytest

from perflab.lab.plots import throughput_by_batch_size
from perflab.lab.plots.throughput import END_TO_END, MODEL, WRITER
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.measure import Slice
from perflab.lab.sweep.plan import Cell
from tests.lab.plots.conftest import CAPACITY_ALONE, PLAN, Find
from tests.lab.plots.drawn import marked, text_of, x_of, y_of
from tests.lab.plots.known_world import KnownWorld


def test_the_points_are_the_truth(findings: Findings, world: KnownWorld) -> None:
    data = throughput_by_batch_size(findings).data
    for size in PLAN.closed_loop_batch_sizes:
        rows = data[data["batch_size"] == size].set_index("series")
        busy = world.seconds(size) / size
        assert rows.loc[WRITER, "items_per_second"] == pytest.approx(1 / busy, rel=0.05)
        assert rows.loc[END_TO_END, "items_per_second"] == pytest.approx(1 / (busy + world.per_call), rel=0.05)


def test_the_line_is_the_cost_of_a_flush(findings: Findings, world: KnownWorld) -> None:
    data = throughput_by_batch_size(findings).data
    line = data[data["series"] == MODEL]
    sizes = line["batch_size"].to_numpy(float)
    assert (sizes.min(), sizes.max()) == pytest.approx((1, 400))
    expected = sizes / (world.alpha + world.beta * sizes)
    np.testing.assert_allclose(line["items_per_second"].to_numpy(float), expected, rtol=0.05)


def test_what_is_drawn_is_the_data(findings: Findings) -> None:
    plot = throughput_by_batch_size(findings)
    drawn = {tuple(y_of(line)) for line in plot.figure.axes[0].lines}
    for series in (END_TO_END, WRITER, MODEL):
        assert tuple(plot.data.loc[plot.data["series"] == series, "items_per_second"]) in drawn


def test_the_reading_names_the_gain_and_the_cost(findings: Findings, world: KnownWorld) -> None:
    plot = throughput_by_batch_size(findings)
    assert plot.title.startswith("Batches of 400 write ")
    gain = float(plot.title.split(" write ")[1].split(" times")[0])
    per_item = {size: world.seconds(size) / size + world.per_call for size in (1, 400)}
    assert gain == pytest.approx(per_item[1] / per_item[400], rel=0.05)
    assert f"{gain:.2f} [" in plot.reading
    assert findings.cost_model.describe() in plot.reading
    assert "geometric mean of 6 blocks, 95% interval" in text_of(plot.figure.texts)


def test_half_of_the_limit_is_marked(findings: Findings, world: KnownWorld) -> None:
    axes = throughput_by_batch_size(findings).figure.axes[0]
    (mark,) = marked(axes, "D")
    assert x_of(mark)[0] == pytest.approx(world.alpha / world.beta, rel=0.1)
    assert "half of the limit" in text_of(axes.texts)


@dataclass(frozen=True)
class Given(KnownWorld):
    """Batch size makes no difference but for what is given: how much longer each size took, block by block."""

    alpha: float = 1e-12
    given: Mapping[int, Iterator[float]] = field(default_factory=dict)

    def factor(self, cell: Cell, _part: Slice) -> float:
        return next(self.given[cell.batch_size])


@pytest.mark.parametrize(
    ("hundred", "title", "reading"),
    [
        (
            (0.97, 1.02, 0.96, 1.03, 0.98, 1.01),
            "Batch size makes no clear difference to throughput",
            "the highest. No difference larger than 3.4%",  # the third block judges single items
        ),
        (
            (0.999, 0.95, 0.94, 1.001, 0.95, 0.94),  # the mean leaves out 1, the median does not
            "Batch size makes no clear difference to throughput",
            "the highest. Throughput at the best size and throughput at 1 cannot be told apart safely",
        ),
        (
            (1.01,) * 6,
            "No larger batch writes more items per second than single items",
            "no larger batch size was faster on average",
        ),
        (
            (0.95, 0.96, 0.94, 0.95, 0.96, 0.94),
            "Batches of 100 write 1.05 times as many items per second as single items",
            ": 1.05 [1.04, 1.06] times as many (each block judges the size that was best in all others",
        ),
    ],
)
def test_only_a_clear_difference_is_called_a_gain(
    find: Find, hundred: tuple[float, ...], title: str, reading: str
) -> None:
    given = Given(given={1: repeat(1.0), 100: iter(hundred)})
    plot = throughput_by_batch_size(find(given, closed_loop_batch_sizes=(1, 100), **CAPACITY_ALONE))
    assert plot.title == title
    assert reading in plot.reading
    assert plot.png()


def test_batches_that_cost_more_are_not_called_a_gain(find: Find) -> None:
    class Worse(KnownWorld):
        def seconds(self, items: float) -> float:
            return 1e-4 * float(items**1.5)

    plot = throughput_by_batch_size(find(Worse(), closed_loop_batch_sizes=(1, 10, 100), **CAPACITY_ALONE))
    assert plot.title == "No larger batch writes more items per second than single items"
    assert plot.png()


def test_too_few_sizes_for_a_model_are_said(find: Find) -> None:
    plot = throughput_by_batch_size(find(KnownWorld(), closed_loop_batch_sizes=(1, 100), blocks=3, **CAPACITY_ALONE))
    assert "There is no cost model: A cost model needs at least 3 different batch sizes" in plot.reading
    assert MODEL not in set(plot.data["series"])
    assert plot.png()


def test_one_block_has_no_interval(find: Find) -> None:
    plot = throughput_by_batch_size(find(KnownWorld(), blocks=1, **CAPACITY_ALONE))
    assert "one block, so no interval" in text_of(plot.figure.texts)
    assert math.isinf(plot.data["high"].max())
    assert plot.png()
