"""The options of `perflab load`, which has many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

LoadedEngine: TypeAlias = Annotated[Literal["sqlite", "postgresql"], typer.Option(help="What to load.")]
Rate: TypeAlias = Annotated[float, typer.Option(help="Arrivals a second; of on-off, while on.")]
Arrivals: TypeAlias = Annotated[
    Literal["poisson", "constant", "on-off"],
    typer.Option(help="Independent of each other, a steady beat, or bursts and silences of exponential lengths."),
]
OnSeconds: TypeAlias = Annotated[float, typer.Option(metavar="SECONDS", help="Mean length of a burst.")]
OffSeconds: TypeAlias = Annotated[float, typer.Option(metavar="SECONDS", help="Mean length of a silence.")]
Trace: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Arrivals of a CSV or Parquet file instead.", show_default=False),
]
TimeColumn: TypeAlias = Annotated[str, typer.Option(help="Of the trace: time stamps, or seconds.", show_default=False)]
SizeColumn: TypeAlias = Annotated[str, typer.Option(help="Of the trace: bytes of payloads.", show_default=False)]
ServiceColumn: TypeAlias = Annotated[str, typer.Option(help="Of the trace: seconds of service.", show_default=False)]
SpeedUp: TypeAlias = Annotated[float, typer.Option(help="Seconds of the trace per second.")]
Clients: TypeAlias = Annotated[
    int | None,
    typer.Option(help="Closed loop: so many in each generator wait for each answer.", show_default=False),
]
Duration: TypeAlias = Annotated[float, typer.Option(metavar="SECONDS", help="That are measured.")]
WarmUp: TypeAlias = Annotated[float, typer.Option(metavar="SECONDS", help="Before them.")]
Mix: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME=WEIGHT,…", help="Of enqueue (jobs), insert (rows), state (of watches).")
]
PayloadBytes: TypeAlias = Annotated[
    str, typer.Option(metavar="N|KIND:…", help="Or uniform:100,2000, lognormal:MEDIAN,P99, pareto:SHAPE,LOW,HIGH.")
]
Service: TypeAlias = Annotated[
    str, typer.Option(metavar="SECONDS|KIND:…", help="That a handler of a job takes; or exponential:MEAN, ….")
]
Writes: TypeAlias = Annotated[
    Literal["batched", "single"], typer.Option(help="Through a batcher, or a transaction for each.")
]
BatchSize: TypeAlias = Annotated[int, typer.Option(help="Of the batchers.")]
FlushIntervalMs: TypeAlias = Annotated[float, typer.Option(metavar="MS", help="Of the batchers.")]
Connections: TypeAlias = Annotated[int, typer.Option(help="Of each generator, for single writes.")]
Generators: TypeAlias = Annotated[int, typer.Option(help="Processes that send, each a share of the schedule.")]
Workers: TypeAlias = Annotated[int, typer.Option(help="Processes that work the jobs off.")]
Concurrency: TypeAlias = Annotated[int, typer.Option(help="Jobs at a time in each of them.")]
Durability: TypeAlias = Annotated[Literal["normal", "full"], typer.Option(help="Of the database.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="Of everything that is drawn.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")]
