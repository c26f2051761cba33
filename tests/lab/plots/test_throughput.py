from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.lab.plots import throughput_by_batch_size
from perflab.lab.plots.throughput import END_TO_END, MODEL, WRITER
from perflab.lab.sweep.findings import Findings
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


def test_a_flat_curve_is_not_called_a_gain(find: Find) -> None:
    plot = throughput_by_batch_size(
        find(KnownWorld(alpha=1e-12), closed_loop_batch_sizes=(1, 10, 100), **CAPACITY_ALONE)
    )
    assert plot.title in {
        "Batch size makes no clear difference to throughput",
        "No larger batch writes more items per second than single items",
    }
    assert "No difference larger than" in plot.reading or "no larger batch size was faster" in plot.reading
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
