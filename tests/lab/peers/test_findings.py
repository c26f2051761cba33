"""What is said about given figures."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from perflab.errors import InvalidInput
from perflab.lab.peers import measure
from perflab.lab.peers.catalogue import QUEUES, SMOKE, named_queues
from perflab.lab.peers.findings import PeersFindings
from perflab.lab.peers.measure import INSTALL, VisitFailed, measure_peers, visits_of
from perflab.lab.peers.plan import PROMISES, PeersPlan, peers_plan
from perflab.lab.peers.report import headline, promise_table, throughput_table, write_peers
from perflab.lab.sweep.environment import Environment
from perflab.lab.sweep.profiles import Profile

PLAN = PeersPlan("postgresql", blocks=6, jobs=20_000, singles=50, latency_jobs=200)
DRAIN = {"perflab": 10e-6, "perflab, kept": 12e-6, "raw driver": 8e-6, "pgqueuer": 26e-6, "procrastinate": 900e-6}


@pytest.fixture
def findings() -> PeersFindings:
    """A machine that gets slower by a tenth with each block, and changes no ratio."""
    rows: list[dict[str, Any]] = []
    for block in range(PLAN.blocks):
        slow = 1 + block / 10
        for queue, seconds in DRAIN.items():
            row = {"block": block, "queue": queue, "measured_at": datetime.now(UTC), "jobs": 1_000, "runs": 1_000}
            bulk = slow * (14e-6 if queue == "pgqueuer" else 10e-6)
            drain = {"what": "drain", "drain": slow * seconds, "enqueue_each": slow * 1e-3, "enqueue_bulk": bulk}
            rows += [{**row, **drain}]
        latencies = [0.001] * 195 + [0.005] * 5
        rows.append({**row, "queue": "perflab", "what": "latency", "latencies": latencies})
    environment: Environment = {"engine": "PostgreSQL 18", "python": "3", "cpu": "x", "cores": 2}
    return PeersFindings(PLAN, rows, {"chancy": INSTALL}, environment)


def test_promises_are_judged_by_their_intervals(findings: PeersFindings) -> None:
    found: object = {
        (each.promise.measure, each.promise.ours, each.promise.peer): (each.ratio.value, each.verdict)
        for each in findings.judgements
    }
    assert found == {
        ("drain", "perflab", "procrastinate"): (pytest.approx(90), "kept"),
        ("drain", "perflab", "pgqueuer"): (pytest.approx(2.6), "missed"),
        ("drain", "perflab, kept", "pgqueuer"): (pytest.approx(26 / 12), "kept"),
        ("enqueue_bulk", "perflab", "pgqueuer"): (pytest.approx(1.4), "kept"),
    }
    missed = "| perflab against pgqueuer | at least 3 times as fast | 2.60 [2.60, 2.60] | 3.25 [3.25, 3.25] | missed |"
    assert missed in promise_table(findings)


def test_a_noisy_promise_is_inconclusive(findings: PeersFindings) -> None:
    visits = findings.visits
    noisy = (visits["queue"] == "procrastinate") & (visits["block"] % 2 == 0)
    visits.loc[noisy, "drain"] = visits.loc[noisy, "drain"] * 0.7
    assert verdict_on("procrastinate", findings) == "inconclusive"


def verdict_on(peer: str, findings: PeersFindings) -> str:
    """Of the promise of a drain faster than a peer's."""
    (judgement,) = (
        each
        for each in findings.judgements
        if (each.promise.measure, each.promise.ours, each.promise.peer) == ("drain", "perflab", peer)
    )
    return judgement.verdict


@pytest.mark.parametrize(
    ("raw_seconds", "verdict"),
    [(26e-6 / 2.9, "beyond the raw driver"), (26e-6 / 3.1, "missed"), (None, "missed")],
)
def test_a_promise_that_the_raw_driver_misses_too_is_beyond_it(
    findings: PeersFindings, raw_seconds: float | None, verdict: str
) -> None:
    """Three times pgqueuer was promised."""
    visits = findings.visits
    raw = visits["queue"] == "raw driver"
    if raw_seconds is None:
        findings.visits = visits[~raw]
    else:
        visits.loc[raw, "drain"] *= raw_seconds / DRAIN["raw driver"]
    assert verdict_on("pgqueuer", findings) == verdict
    assert verdict_on("procrastinate", findings) == "kept", "90 times, where 80 were promised"
    row = next(line for line in promise_table(findings).splitlines() if "perflab against pgqueuer | at least 3" in line)
    assert ("| not measured |" in row) == (raw_seconds is None)
    assert row.endswith(f"| {verdict} |")


def test_a_raw_driver_that_is_too_noisy_excuses_nothing(findings: PeersFindings) -> None:
    visits = findings.visits
    noisy = (visits["queue"] == "raw driver") & (visits["block"] % 2 == 0)
    visits.loc[visits["queue"] == "raw driver", "drain"] *= 1.2
    visits.loc[noisy, "drain"] *= 0.8
    assert verdict_on("pgqueuer", findings) == "missed"


def test_tables_say_how_many_times_faster_ours_is_and_who_is_missing(findings: PeersFindings) -> None:
    lines = throughput_table(findings).splitlines()
    assert next(line for line in lines if line.startswith("| pgqueuer |")).endswith("2.60 [2.60, 2.60]) |")
    assert any(line.startswith("| raw driver |") and "0.800 [0.800, 0.800]" in line for line in lines)
    assert f"| chancy |  | {INSTALL} |  |  |" in lines
    costs = findings.costs.set_index(["queue", "measure"])
    assert costs.loc[("procrastinate", "drain"), "times_faster"] == pytest.approx(90)
    assert costs.loc[("procrastinate", "drain"), "jobs"] == 1_000


def test_latencies_of_all_blocks_together(findings: PeersFindings) -> None:
    readings = findings.latencies["perflab"]
    assert readings[0.5].estimate is not None
    assert readings[0.5].estimate.value == pytest.approx(0.001)
    assert readings[0.99].estimate is not None
    assert readings[0.99].estimate.value == pytest.approx(0.005), "25 in 1,000 are slower than that"


def test_a_page_and_files_for_programs(findings: PeersFindings, tmp_path: Path) -> None:
    files = write_peers([findings], tmp_path / "new")
    page = files.page.read_text()
    assert "30,000 jobs ran in 30,000 runs" in page
    for text in ("### Promises", "### Start latency", "leases end with a dead worker", "batch_size=100", INSTALL):
        assert text in page
    (summary,) = json.loads(files.summary.read_text())["queues"]
    assert summary["not_measured"] == {"chancy": INSTALL}
    assert {promise["verdict"] for promise in summary["promises"]} == {"kept", "missed"}
    assert len(pd.read_csv(files.samples)) == len(findings.visits)


# -- measuring ---------------------------------------------------------------------------------------------------------

SMALL = PeersPlan("sqlite", blocks=2, jobs=200, singles=5, latency_jobs=0)


def answer(seconds: float = 1e-3, **change: Any) -> dict[str, Any]:
    return {"jobs": 200, "runs": 200, "enqueue_each": seconds, "enqueue_bulk": seconds, "drain": seconds, **change}


def test_ours_is_measured_beside_what_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real run is in the test of the command."""
    monkeypatch.setattr(measure, "_visit", lambda *_: answer())
    findings = measure_peers(SMALL, names=["raw driver, normal"])
    assert visits_of(SMALL, ["raw driver, normal"]) == 2 * 3 == len(findings.visits)
    assert set(findings.visits["queue"]) == {"perflab, full", "perflab, normal", "raw driver, normal"}
    assert (findings.visits["runs"] == 200).all()
    assert findings.reasons == {}
    assert str(findings.environment["engine"]).startswith("SQLite")


def test_a_queue_that_fails_has_a_reason_and_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def visit(_arena: object, queue: Any, _request: object) -> dict[str, Any]:
        asked.append(queue.card.name)
        if queue.card.name == "raw driver, full" and asked.count("raw driver, full") == 1 and len(set(asked)) > 1:
            raise VisitFailed("its drain failed: no such table")
        return answer()

    monkeypatch.setattr(measure, "_visit", visit)
    findings = measure_peers(SMALL, names=["raw driver, full", "raw driver, normal"])
    assert findings.reasons == {"raw driver, full": "its drain failed: no such table"}
    assert asked.count("raw driver, full") == 1
    assert asked.count("raw driver, normal") == SMALL.blocks


def test_without_ours_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def visit(*_: object) -> dict[str, Any]:
        raise VisitFailed("its drain failed")

    monkeypatch.setattr(measure, "_visit", visit)
    with pytest.raises(VisitFailed, match=r"perflab, (full|normal) has no figures to hold others against: its drain"):
        measure_peers(SMALL)


def test_a_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "installed_version", lambda queue: None if queue.card.package == "huey" else "1")
    monkeypatch.setattr(measure, "_visit", lambda *_: answer())
    findings = measure_peers(SMALL)
    assert findings.reasons == {"huey": INSTALL}
    assert [card.name for card in findings.missing_cards] == ["huey"]
    assert "huey" not in {card.name for card in findings.cards}


def test_a_queue_that_commits_otherwise_than_its_card_says_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.CompletedProcess([], 0, json.dumps(answer(durability="normal")), "")
    monkeypatch.setattr("perflab.lab.peers.measure.subprocess.run", lambda *_, **__: process)
    with pytest.raises(VisitFailed, match="durability 'full' on its card, in the database normal"):
        measure_peers(replace(SMALL, seed=3), names=["raw driver, full"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 1}, "blocks is 1"),
        ({"jobs": 10}, "jobs is 10"),
        ({"singles": 0}, "singles is 0"),
        ({"latency_jobs": -1}, "latency_jobs"),
        ({"interval_seconds": 0.0}, "interval_seconds"),
    ],
)
def test_a_bad_plan_is_refused(change: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"blocks": 2, "jobs": 200, "singles": 5, "latency_jobs": 0, **change}
    with pytest.raises(InvalidInput, match=message):
        PeersPlan("sqlite", **values)


def test_profiles_hold_every_promise_to_account() -> None:
    names = {queue.card.name for queue in QUEUES}
    assert all({promise.peer, promise.ours} <= names for promise in PROMISES)
    assert peers_plan("smoke", engine="sqlite").jobs == 200
    assert peers_plan("quick", engine="sqlite").blocks * peers_plan("quick", engine="sqlite").latency_jobs >= 1_000


def test_a_notebook_names_queues_with_semicolons() -> None:
    def named(names: str, profile: Profile = "quick") -> tuple[str, ...]:
        return named_queues(names, engine="sqlite", profile=profile)

    assert named(" huey; raw driver, full ;") == named("huey;raw driver, full", "smoke") == ("huey", "raw driver, full")
    assert named("") == ()
    assert named("", "smoke") == SMOKE["sqlite"]
    with pytest.raises(InvalidInput, match="there is no queue 'pgqueuer' on sqlite: use some of perflab, full; "):
        named("huey; pgqueuer")


def test_headline(findings: PeersFindings) -> None:
    assert headline(findings) == {
        "one_worker_jobs_per_second": pytest.approx(81_000, rel=0.05),
        "fastest_other_queue": "pgqueuer, ours 2.60 [2.60, 2.60] times as fast",
        "promises": "3 kept, 1 missed",
    }
