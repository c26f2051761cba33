"""A FastAPI endpoint that answers before the row is written: write-behind, for what may be lost with the process.

    pip install perflab fastapi uvicorn
    uvicorn app:app

A request costs no commit. What a batcher holds is lost if the process is killed; what the database refuses goes to a
table of dead letters, as there is nobody left to tell. Where a client must know, await it: docs/how-to/fastapi.md.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, insert

from perflab import Database, DeadLetterTable, RequestBatcher
from perflab.errors import BufferFull

URL = os.environ.get("PERFLAB_DATABASE_URL", "sqlite:///readings.db")

metadata = MetaData()
readings = Table(
    "readings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sensor", String, nullable=False),
    Column("value", Float, nullable=False),
)


class Reading(BaseModel):
    sensor: str
    value: float | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with Database.open(URL) as db:
        db.create_schema()
        with db.transaction() as connection:
            metadata.create_all(connection)
        with RequestBatcher(
            db,
            batch_size=500,
            flush_interval=0.100,
            max_pending=50_000,
            overflow="raise",  # never wait in the event loop
            dead_letters=DeadLetterTable(db),
        ) as batcher:
            app.state.batcher = batcher
            yield  # at shutdown what is held is written before the database is closed


app = FastAPI(lifespan=lifespan)


@app.post("/readings", status_code=202)
async def add(reading: Reading, request: Request) -> None:
    try:
        request.app.state.batcher.submit(insert(readings), reading.model_dump())
    except BufferFull as error:  # the database does not keep up: say so, instead of holding ever more
        raise HTTPException(503, "too busy", headers={"Retry-After": "1"}) from error


@app.get("/batching")
async def batching(request: Request) -> dict[str, float]:
    """What write-behind holds, and what it has saved."""
    metrics = request.app.state.batcher.metrics()
    return {
        "pending": metrics.pending,
        "mean_batch": metrics.mean_batch,
        "round_trips_saved": metrics.round_trips_saved,
    }
