"""Both arms do the same work, and one of them compresses it."""

from __future__ import annotations

import re

import pytest

from perflab.database.database import Database
from perflab.database.values import encode_payload
from perflab.lab.bench import compression
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.compression import JobCycle, compression_comparisons, payloads_of
from perflab.lab.bench.postgresql_engine import PostgresBench
from perflab.lab.bench.sqlite_engine import SQLiteBench
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BenchEngine:
    monkeypatch.setattr(compression, "JOBS_OF_KIBIBYTES", {16: 8})
    return SQLiteBench() if request.param == "sqlite" else PostgresBench(request.getfixturevalue("postgres_url"))


@pytest.mark.parametrize("size_bytes", [1_024, 16_384, 262_144])
def test_payloads_have_the_size_they_are_named_for(size_bytes: int) -> None:
    payloads = payloads_of(size_bytes, 3)
    sizes = [len(encode_payload(payload)) for payload in payloads]
    assert all(0.8 * size_bytes < size < 1.2 * size_bytes for size in sizes)
    assert payloads[0] != payloads[1]


def test_one_arm_compresses_and_the_other_does_not(engine: BenchEngine) -> None:
    (comparison,) = compression_comparisons(engine)
    frames = []
    for arm in comparison.arms:
        assert isinstance(arm, JobCycle)
        with engine.fresh_database() as url, Database.open(url, compression=arm.compression) as database:
            PriorityQueue(database, "q").bulk_enqueue([NewJob(payload) for payload in arm.payloads])
            frames.append(database.fetch("SELECT count(payload_zstd), count(*) FROM perflab_jobs"))
    assert frames == [[(8, 8)], [(0, 8)]]


def test_each_arm_has_a_time(engine: BenchEngine) -> None:
    (comparison,) = compression_comparisons(engine)
    assert all(arm.visit(0) > 0.0 for arm in comparison.arms)


def test_the_description_has_the_measured_bytes(engine: BenchEngine) -> None:
    (comparison,) = compression_comparisons(engine)
    small, large = re.findall(r"([\d,]+) bytes compressed and ([\d,]+) as JSON", comparison.work)[0]
    assert 0 < int(small.replace(",", "")) < int(large.replace(",", ""))
