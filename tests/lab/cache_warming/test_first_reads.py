"""An engine that starts again and again, with its pages where they are told to be."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest

from perflab.cache.engine_warming import EngineWarmReport
from perflab.cache.row_cache import RowCache
from perflab.errors import LabError, WrongAnswer
from perflab.lab.cache_warming import first_reads
from perflab.lab.cache_warming.first_reads import STATES, WARMED, measure_first_reads
from perflab.lab.plots import first_reads as plot_of
from tests.engines import on_sqlite


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(first_reads.EXTENT, "smoke", (500, 20, 1))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_state_is_visited_warmed_and_not_in_every_block(engine: str, request: pytest.FixtureRequest) -> None:
    if engine == "postgresql":
        request.getfixturevalue("postgres_server")  # skipped where there can be none
    found = measure_first_reads("smoke", engine=engine, seed=1)  # type: ignore[arg-type]
    visits = found.visits
    arms = sorted(product(STATES, WARMED))
    for _, block in visits.groupby("block"):
        assert sorted(zip(block["state"], block["warmed"], strict=True)) == arms
    assert len(visits) == 4
    assert (visits["read_seconds"] > 0).all()
    assert ((visits["warm_seconds"] > 0) == (visits["warmed"] == "warmed")).all()


@on_sqlite
def test_a_file_is_dropped_before_it_is_to_be_on_disk(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = []
    drop = os.posix_fadvise

    def note(descriptor: int, start: int, length: int, advice: int) -> None:
        dropped.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        drop(descriptor, start, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", note)
    measure_first_reads("smoke", engine="sqlite", seed=1)
    assert dropped.count("first_reads.db") == 2  # of four arms


def test_a_read_of_another_row_is_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    get = RowCache.get
    monkeypatch.setattr(RowCache, "get", lambda cache, _key: get(cache, first_reads._key(3)))
    with pytest.raises(WrongAnswer, match="another row"):
        measure_first_reads("smoke", engine="sqlite", seed=1)


def test_an_engine_that_was_not_warmed_is_not_called_warmed(monkeypatch: pytest.MonkeyPatch) -> None:
    report = EngineWarmReport(0, ("first_reads",), "no room", 0, 0.0)
    monkeypatch.setattr(first_reads, "warm_engine", lambda *_: report)
    with pytest.raises(LabError, match="no room"):
        measure_first_reads("smoke", engine="sqlite", seed=1)


def test_where_files_cannot_be_dropped_the_figure_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise")
    plot = plot_of(measure_first_reads("smoke", engine="sqlite", seed=1))
    assert plot.title == "First reads were not measured"
    assert "cannot drop files" in plot.reading
    assert plot.png().startswith(b"\x89PNG")
