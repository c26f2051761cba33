"""`perflab selftest`: may one believe what is measured on this machine?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from perflab.cli.database_url import ServerUrl, server_url
from perflab.cli.examples import examples

EXAMPLES = examples("perflab selftest", "perflab selftest --engine postgresql --blocks 20")

EXIT_FALSE_ALARMS = 1
EXIT_TOO_NOISY = 3


def selftest(
    *,
    engine: Annotated[Literal["sqlite", "postgresql"], typer.Option(help="Where to write.")] = "sqlite",
    url: ServerUrl = None,
    experiments: Annotated[int, typer.Option(help="Independent ones, each with a verdict of its own.")] = 20,
    blocks: Annotated[int, typer.Option(help="Of each experiment, at least 6: as many as you mean to measure.")] = 10,
    effect_percent: Annotated[float, typer.Option(metavar="P", help="The known difference to look for.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Of the orders.")] = 1,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where selftest.md and selftest.json go.")] = (
        Path("reports")
    ),
) -> None:
    """Measure equal work against itself, and against the same work slowed by a known share.

    Says how often differences are found where there are none, how often the known one is found, and which is the
    smallest that could be. Exits with 1 when there are more false alarms than promised, and with 3 when the machine is
    too noisy to find the known difference in four of five experiments.
    """
    import tempfile

    from tqdm import tqdm

    from perflab.lab.bench.run import open_engines
    from perflab.lab.selftest.experiment import SelfTestPlan, arms_on, run_selftest
    from perflab.lab.selftest.judgement import Outcome
    from perflab.lab.selftest.report import write_selftest
    from perflab.lab.sweep.environment import read_environment

    plan = SelfTestPlan(experiments, blocks, effect_percent / 100, seed)
    url = server_url(url, engine)
    environment = read_environment(Path(tempfile.gettempdir()))
    with (
        open_engines(sqlite=engine == "sqlite", postgresql=engine == "postgresql", url=url) as (opened,),
        tqdm(total=plan.visits, unit="visit", disable=not sys.stderr.isatty(), leave=False) as bar,
    ):
        found = run_selftest(plan, arms_on(opened, plan.effect), engine=opened.title, visited=bar.update)
    files = write_selftest(found, environment, output)
    for sentence in found.describe():
        typer.echo(sentence)
    typer.echo(f"written to {files.page} and {files.summary}")
    if found.outcome is not Outcome.PASSED:
        raise typer.Exit(EXIT_FALSE_ALARMS if found.outcome is Outcome.FALSE_ALARMS else EXIT_TOO_NOISY)
