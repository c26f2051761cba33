"""Jobs with compressed payloads, on each engine: what was put in comes out, whatever the setting is by then."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.batching.batcher import RequestBatcher
from perflab.database.compression import Compression
from perflab.database.database import Database
from perflab.database.values import MAX_INT64, MAX_PAYLOAD_BYTES, MIN_INT64
from perflab.errors import MissingExtra
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

Queue: TypeAlias = PriorityQueue[int, bool]

LARGE = {"flights": ["UA1545", "Zürich \N{AIRPLANE}", -0.0, 1e16, MAX_INT64, None, True] * 300}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
PAYLOADS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(MIN_INT64, MAX_INT64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
EVERYTHING = Compression(threshold=0, least_saving=0.0)


@pytest.fixture
def compressing(database: Database, perflab_url: str) -> Iterator[Queue]:
    """A queue that compresses, beside a database that does not."""
    with Database.open(perflab_url, compression=Compression()) as opened:
        yield PriorityQueue(opened, "ingest")


def stored(queue: Queue) -> list[tuple[Any, ...]]:
    return queue.db.fetch(
        "SELECT CAST(payload AS TEXT), payload_zstd IS NOT NULL FROM perflab_jobs WHERE queue = 'ingest' ORDER BY id"
    )


@settings(max_examples=50)
@given(st.lists(PAYLOADS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_what_is_put_in_comes_out_unchanged(
    database: Database, perflab_url: str, payloads: list[Any], rng: Random
) -> None:
    """Some jobs of a call are compressed and some are not. `repr` tells 1 from True and 0.0 from -0.0."""
    large = [[payload] * rng.choice([1, 100]) for payload in payloads]
    with Database.open(perflab_url, compression=Compression(threshold=200, least_saving=0.0)) as opened:
        PriorityQueue(opened, "ingest").bulk_enqueue([NewJob(payload) for payload in large])
    queue = PriorityQueue(database, "ingest")
    jobs = queue.claim()
    assert repr([job.payload for job in jobs]) == repr(large)
    assert all(queue.mark_done_bulk(jobs))


def test_large_payloads_are_compressed_and_small_ones_can_be_queried(compressing: Queue) -> None:
    compressing.bulk_enqueue([NewJob({"flight": 1}), NewJob(LARGE), NewJob("x", key="k"), NewJob(LARGE, key="l")])
    assert stored(compressing) == [('{"flight":1}', False), ("null", True), ('"x"', False), ("null", True)]
    assert [job.payload for job in compressing.claim()] == [{"flight": 1}, LARGE, "x", LARGE]


def test_many_rows_keep_their_order(compressing: Queue) -> None:
    payloads = [LARGE | {"number": number} if number % 3 else {"number": number} for number in range(125)]
    ids = compressing.bulk_enqueue([NewJob(payload, key=f"k{index % 70}") for index, payload in enumerate(payloads)])
    assert ids[70:] == ids[:55]
    assert [job.payload for job in compressing.claim(1_000)] == payloads[:70]


def test_single_and_batched_calls_compress_too(compressing: Queue) -> None:
    compressing.enqueue(LARGE)
    with RequestBatcher(compressing.db, batch_size=10, flush_interval=0.001) as batcher:
        PriorityQueue(compressing.db, "ingest", batching=batcher).enqueue(LARGE).result()
    assert stored(compressing) == [("null", True)] * 2
    assert [job.payload for job in compressing.claim()] == [LARGE] * 2


def test_jobs_outlive_every_change_of_the_setting(database: Database, perflab_url: str) -> None:
    versions = [None, Compression(level=1), None, Compression(level=19), Compression(threshold=0)]
    for number, compression in enumerate(versions):
        with Database.open(perflab_url, compression=compression) as opened:
            PriorityQueue(opened, "ingest").enqueue(LARGE | {"number": number})
    assert [is_compressed for _, is_compressed in stored(PriorityQueue(database, "ingest"))] == [0, 1, 0, 1, 1]
    for compression in (None, Compression()):
        with Database.open(perflab_url, compression=compression) as opened:
            queue = PriorityQueue(opened, "ingest")
            jobs = queue.claim()
            assert [job.payload for job in jobs] == [LARGE | {"number": number} for number in range(len(versions))]
            queue.release(jobs)


# -- damage ------------------------------------------------------------------------------------------------------------


def damage(queue: Queue, job_id: int, frame: bytes) -> None:
    with queue.db.driver_transaction() as connection:
        connection.execute(f"UPDATE perflab_jobs SET payload_zstd = {literal(queue, frame)} WHERE id = {job_id}")


def literal(queue: Queue, frame: bytes) -> str:
    return f"x'{frame.hex()}'" if queue.db.engine_name == "sqlite" else f"'\\x{frame.hex()}'::bytea"


def frame_in(queue: Queue, job_id: int) -> bytes:
    ((frame,),) = queue.db.fetch(f"SELECT payload_zstd FROM perflab_jobs WHERE id = {job_id}")
    return bytes(frame)


def bomb() -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(bytes(64 * MAX_PAYLOAD_BYTES))


@pytest.mark.case("F31")
@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (lambda frame: frame[:-1], "its compressed bytes are damaged"),
        (lambda frame: frame[:40] + bytes([frame[40] ^ 1]) + frame[41:], "its compressed bytes are damaged"),
        (lambda frame: b"", "its compressed bytes are damaged"),
        (lambda frame: bomb(), "would become 67,108,864 bytes, and the limit is 1,048,576"),
    ],
    ids=["cut", "flipped", "empty", "bomb"],
)
def test_a_damaged_payload_harms_its_own_job_alone(compressing: Queue, damaged: Any, reason: str) -> None:
    good, broken, small = compressing.bulk_enqueue([NewJob(LARGE), NewJob(LARGE, max_attempts=1), NewJob(1)])
    damage(compressing, broken, damaged(frame_in(compressing, broken)))
    assert [job.id for job in compressing.claim()] == [good, small]
    ((state, error),) = compressing.db.fetch(f"SELECT state, last_error FROM perflab_jobs WHERE id = {broken}")
    assert state == "dead"
    assert reason in error
    assert compressing.counts().running == 2


def test_a_damaged_payload_comes_again_while_it_has_attempts(perflab_url: str, clock: SimpleNamespace) -> None:
    """The damage may be this worker's: its memory, its network, or an older version than the writer's."""
    with Database.open(perflab_url, compression=Compression()) as opened:
        opened.create_schema()
        queue: Queue = PriorityQueue(opened, "ingest", now=lambda: clock.now, rng=Random(1))
        job_id = queue.enqueue(LARGE)
        frame = frame_in(queue, job_id)
        damage(queue, job_id, frame[:-1])
        assert queue.claim() == []
        assert queue.counts().scheduled == 1
        damage(queue, job_id, frame)
        queue.retry([job_id])
        clock.now = clock.now.replace(year=2027)
        assert [job.payload for job in queue.claim()] == [LARGE]


def test_without_the_extra_a_claim_gives_everything_back(compressing: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    compressing.bulk_enqueue([NewJob("small"), NewJob(LARGE, max_attempts=1)])
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "zstandard", None)
        for _ in range(3):
            with pytest.raises(MissingExtra, match=r"pip install 'perflab\[compression\]'"):
                compressing.claim()
        with pytest.raises(MissingExtra):
            Worker(compressing, lambda job: None).run(until_empty=True)
        assert compressing.counts().ready == 2
    assert [job.payload for job in compressing.claim()] == ["small", LARGE]
