"""The commands of `perflab`, one module each.

To add one: write `perflab/cli/<name>.py` with a typed function whose docstring is its help, import it below, and
register it with `app.command(epilog=examples(…))`. Import the libraries that it needs inside the function, so that
`--help` stays quick.
A command returns for success, raises `typer.Exit(code)` for an outcome of its own, and raises a `PerflabError` for what
it refuses: `main` prints that as one line and exits with 2.
"""

from __future__ import annotations

import typer

from perflab.cli.alerts import EXAMPLES as ALERTS_EXAMPLES
from perflab.cli.alerts import alerts
from perflab.cli.bench import EXAMPLES as BENCH_EXAMPLES
from perflab.cli.bench import bench
from perflab.cli.compare import EXAMPLES as COMPARE_EXAMPLES
from perflab.cli.compare import GateCommand, compare
from perflab.cli.dashboard import EXAMPLES as DASHBOARD_EXAMPLES
from perflab.cli.dashboard import dashboard
from perflab.cli.db import db
from perflab.cli.doctor import EXAMPLES as DOCTOR_EXAMPLES
from perflab.cli.doctor import doctor
from perflab.cli.examples import examples
from perflab.cli.fleet import fleet
from perflab.cli.history import EXAMPLES as HISTORY_EXAMPLES
from perflab.cli.history import history
from perflab.cli.init import EXAMPLES as INIT_EXAMPLES
from perflab.cli.init import init
from perflab.cli.load import EXAMPLES as LOAD_EXAMPLES
from perflab.cli.load import load
from perflab.cli.metrics import metrics
from perflab.cli.peers import EXAMPLES as PEERS_EXAMPLES
from perflab.cli.peers import peers
from perflab.cli.report import EXAMPLES as REPORT_EXAMPLES
from perflab.cli.report import report
from perflab.cli.scheduler import EXAMPLES as SCHEDULER_EXAMPLES
from perflab.cli.scheduler import scheduler
from perflab.cli.selftest import EXAMPLES as SELFTEST_EXAMPLES
from perflab.cli.selftest import selftest
from perflab.cli.sweep import EXAMPLES as SWEEP_EXAMPLES
from perflab.cli.sweep import sweep
from perflab.cli.tune import EXAMPLES as TUNE_EXAMPLES
from perflab.cli.tune import tune
from perflab.cli.worker import EXAMPLES as WORKER_EXAMPLES
from perflab.cli.worker import worker
from perflab.version import __version__

app = typer.Typer(
    name="perflab",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help reads the same in a terminal and in a log, and needs no import
)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"perflab {__version__}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "perflab report 02                        # a measured answer on this machine, as a page",
        "perflab tune sqlite:///lab.db --slo 20ms # and for a database of yours",
        "perflab --install-completion             # commands and options by the Tab key, in bash, zsh, fish, pwsh",
    )
)
def perflab(
    *,
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
    ),
) -> None:
    """A performance lab for batching on SQL databases."""


app.command(epilog=DOCTOR_EXAMPLES)(doctor)
app.command(epilog=INIT_EXAMPLES)(init)
app.command(epilog=SWEEP_EXAMPLES)(sweep)
app.command(epilog=TUNE_EXAMPLES)(tune)
app.command(epilog=REPORT_EXAMPLES)(report)
app.command(epilog=BENCH_EXAMPLES)(bench)
app.command(cls=GateCommand, epilog=COMPARE_EXAMPLES)(compare)
app.command(cls=GateCommand, epilog=HISTORY_EXAMPLES)(history)
app.command(epilog=SELFTEST_EXAMPLES)(selftest)
app.command(epilog=LOAD_EXAMPLES)(load)
app.command(epilog=PEERS_EXAMPLES)(peers)
app.command(epilog=WORKER_EXAMPLES)(worker)
app.command(epilog=SCHEDULER_EXAMPLES)(scheduler)
app.command(epilog=ALERTS_EXAMPLES)(alerts)
app.command(epilog=DASHBOARD_EXAMPLES)(dashboard)
app.add_typer(db, name="db")
app.add_typer(fleet, name="fleet")
app.add_typer(metrics, name="metrics")
