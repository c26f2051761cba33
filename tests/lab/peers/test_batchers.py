"""The arms of batchers do the work whose time they give, and a wrong answer has no time."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from perflab.errors import WrongAnswer
from perflab.lab.bench.comparison import Arm, ComparisonResult
from perflab.lab.peers import batchers
from perflab.lab.peers.batchers import batcher_comparisons
from perflab.lab.peers.report import batcher_section

ARMS = [arm for comparison in batcher_comparisons() for arm in comparison.arms]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batchers, "BATCH_SIZE", 50)
    monkeypatch.setattr(batchers, "ROUNDS", 2)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_each_arm_does_its_work(arm: Arm) -> None:
    assert arm.visit(0) > 0


def test_rows_that_are_missing_leave_no_figure() -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE peers (id INTEGER PRIMARY KEY)")
        with pytest.raises(WrongAnswer, match=r"somebody wrote .* \(0, None\), and not \(150, 11175\)"):
            batchers._check_written(connection, "somebody")
    connection.close()


@pytest.mark.parametrize("rows", [[], [(1,), (0,)], [(0,)] * 50])
def test_rows_of_others_leave_no_figure(rows: list[Any]) -> None:
    with pytest.raises(WrongAnswer, match="somebody gave other rows"):
        batchers._check_loaded(rows, "somebody")


def test_the_section_names_the_work_and_the_ratio() -> None:
    results = [
        ComparisonResult(comparison, {arm.name: (1e-5,) * 6 for arm in comparison.arms})
        for comparison in batcher_comparisons()
    ]
    section = batcher_section(results)
    for result in results:
        assert result.comparison.work in section
        assert result.comparison.others[0].name in section
    assert section.count("**1.00** [1.00, 1.00]") == len(results)
