"""`perflab metrics record` and `history`: what a user types, and what it says."""

from __future__ import annotations

import json
import time

import pytest

from perflab.cli import main
from perflab.database.database import Database
from perflab.monitoring.history.store import MINUTE, History
from perflab.monitoring.table_state import OLDEST
from tests.monitoring.snapshots import change_of
from tests.processes import ends_at_sigterm


@pytest.fixture
def kept_url(perflab_url: str) -> str:
    """A database with twenty minutes of history, in which a queue got slow."""
    end = time.time() // MINUTE * MINUTE
    with Database.open(perflab_url) as database:
        history = History(database)
        for number in range(20):
            moment = end - (19 - number) * MINUTE
            age = (10.0 if number < 10 else 40.0) + number % 2
            history.keep(change_of(moment - MINUTE, moment, gauges={(OLDEST, "mail"): age}))
    return perflab_url


def test_it_shows_trends_and_changes(kept_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    look = ["metrics", "history", "--url", kept_url, "--step", "60"]
    assert main(look) == 0
    trend, change = capsys.readouterr().out.splitlines()
    assert trend.startswith("queue_age_seconds {queue=mail}")
    assert "10.5 s before, 40.5 s after" in change
    assert main([*look, "--format", "markdown", "--signal", "queue_age_seconds"]) == 0
    assert "| queue_age_seconds {queue=mail} |" in capsys.readouterr().out
    assert main([*look, "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["values"]) == 20


def test_where_nothing_was_kept_it_says_what_keeps_it(perflab_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "history", "--url", perflab_url, "--days", "2"]) == 0
    assert "nothing was kept of the last 2 days: `perflab metrics record`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["history", "--signal", "nonsense"], "'nonsense': choose of batch_utilisation"),
        (["history", "--days", "0"], "--days is 0.0"),
        (["history", "--step", "1"], "step is 1.0"),
        (["record", "--minutes-days", "0"], "minutes_days is 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", *arguments, "--url", "sqlite://"]) == 2
    assert says in capsys.readouterr().err


def test_it_records_until_sigterm(perflab_url: str) -> None:
    with ends_at_sigterm("metrics", "record", url=perflab_url) as line:
        assert "is kept each minute" in line
