"""The endpoint answers before it writes; at shutdown all is written, and what is refused is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from examples.write_behind import app as example
from perflab import Database, DeadLetterTable
from perflab.errors import BufferFull


def run(bodies: list[dict[str, Any]]) -> tuple[Counter[int], dict[str, float]]:
    """The answers to requests that come at once, and what the endpoint says of its batching then."""

    async def main() -> tuple[Counter[int], dict[str, float]]:
        async with example.app.router.lifespan_context(example.app):
            transport = httpx.ASGITransport(example.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                answers = await asyncio.gather(*(client.post("/readings", json=body) for body in bodies))
                batching = (await client.get("/batching")).json()
        return Counter(answer.status_code for answer in answers), batching

    return asyncio.run(main())


def test_all_is_written_at_shutdown_and_the_refused_row_is_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "URL", database_url)
    codes, batching = run([{"sensor": f"s{n}", "value": n if n != 20 else None} for n in range(60)])
    assert codes == {202: 60}
    assert set(batching) == {"pending", "mean_batch", "round_trips_saved"}
    with Database.open(database_url) as db:
        assert db.fetch("SELECT count(*) FROM readings") == [(59,)]
        (letter,) = DeadLetterTable(db).oldest()
    assert (letter.error_type, "s20" in letter.item) == ("RejectedRow", True)


def test_load_beyond_the_buffer_is_shed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def submit(self, statement: object, row: object) -> None:
            assert str(statement) == str(insert(example.readings))
            raise BufferFull("full")

    async def main() -> httpx.Response:
        async with example.app.router.lifespan_context(example.app):
            monkeypatch.setattr(example.app.state, "batcher", Full())
            transport = httpx.ASGITransport(example.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post("/readings", json={"sensor": "s", "value": 1})

    monkeypatch.setattr(example, "URL", sqlite_url)
    answer = asyncio.run(main())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
