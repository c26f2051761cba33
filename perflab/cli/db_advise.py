"""`perflab db advise`: what makes a database slow, what would help, and a measurement of it."""

from __future__ import annotations

import json
import signal
import sys
from typing import Annotated

import typer

from perflab.cli.database_url import DatabaseUrl, existing_database_url


def advise(
    url: DatabaseUrl = None,
    *,
    statement: Annotated[
        list[str] | None,
        typer.Option("--statement", metavar="SQL", help="Look at this too; may be repeated."),
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="Look at this table only; may be repeated.")
    ] = None,
    prove: Annotated[
        bool, typer.Option("--prove/--no-prove", help="Measure each proposal on a scratch copy, and remove it again.")
    ] = True,
    blocks: Annotated[int, typer.Option(help="Pairs of visits for each measurement, at least 6.")] = 10,
    seed: Annotated[int, typer.Option(help="Of their orders.")] = 1,
    deep_rows: Annotated[int, typer.Option(help="Tables with fewer rows are exempt.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: everything with its figures.")] = False,
) -> None:
    """Say what makes a database slow, and prove what would help.

    It looks at the statements that pg_stat_statements remembers, at those of perflab where its tables are there, and
    at those that you give: write a placeholder for each value that changes from call to call, and it is drawn from the
    table. Your tables are only read: what is tried is tried on copies.
    """
    from tqdm import tqdm

    from perflab.database.database import Database
    from perflab.lab.advice.advice import Finding, Proposal
    from perflab.lab.advice.advisor import DatabaseAdvisor
    from perflab.lab.advice.findings import Thresholds
    from perflab.lab.advice.proof import ProofSettings
    from perflab.lab.advice.rendering import as_json as to_json
    from perflab.lab.advice.rendering import as_text

    # A polite kill clears up like Ctrl-C does; what kill -9 leaves is removed by the next run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    thresholds = Thresholds(deep_rows=deep_rows)
    with (
        Database.open(existing_database_url(url)) as database,
        tqdm(unit="visit", disable=not sys.stderr.isatty(), leave=False) as bar,
    ):

        def show(finding: Finding, proposal: Proposal) -> None:
            bar.set_description(f"{finding.table.shown_name}: {proposal.change.do[0]:.40}")

        advices = DatabaseAdvisor(database, thresholds=thresholds).advise(
            statements=statement or [],
            tables=table or [],
            prove=prove,
            settings=ProofSettings(blocks=blocks, seed=seed, visited=bar.update),
            progress=show,
        )
    typer.echo(json.dumps(to_json(advices), indent=2) if as_json else as_text(advices))
