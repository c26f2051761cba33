from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace

import pytest

from perflab.lab.provenance import environment_table, plan_table
from perflab.lab.recommendation import NoRecommendation, Recommendation
from perflab.lab.report.headline import headline_text
from perflab.lab.sweep.findings import Confirmation, Findings, confirm
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.verdict import headline, paste_lines
from tests.lab.plots.known_world import KnownWorld

PLAN = SweepPlan(
    replay_batch_sizes=(1, 100), replay_flush_intervals=(0.0, 0.010), blocks=3, warm_up_items=50, speed_up=100_000
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultsStore:
    return ResultsStore(tmp_path_factory.mktemp("verdict") / "results.duckdb")


@pytest.fixture(scope="module")
def findings(store: ResultsStore) -> Findings:
    run_sweep(PLAN, store, progress=False, measure_cell=KnownWorld())
    return Findings(PLAN, store)


@pytest.fixture(scope="module")
def recommendation(findings: Findings) -> Recommendation:
    found = findings.recommend(0.020)
    assert isinstance(found, Recommendation)
    return found


@pytest.fixture(scope="module")
def confirmation(recommendation: Recommendation, store: ResultsStore) -> Confirmation:
    return confirm(recommendation, PLAN, store, progress=False, measure_cell=KnownWorld())


def test_the_headline_has_the_setting_and_the_figures_of_the_confirmation(
    findings: Findings, recommendation: Recommendation, confirmation: Confirmation
) -> None:
    values = headline(findings, recommendation, confirmation)
    assert (values["batch_size"], values["flush_interval_seconds"]) == (100, 0.010)
    assert values["throughput_per_second"] == confirmation.throughput.value != recommendation.throughput.value
    assert confirmation.p99 is not None
    assert values["p99_seconds"] == confirmation.p99.value
    assert values["round_trips_saved_fraction"] == pytest.approx(1 - 1 / 51, abs=0.002)
    text = headline_text(values)
    assert text.startswith("recommendation send at 100 items or after 10.0 ms; ")
    assert (
        "times the unbatched throughput, p99 within 20.0 ms confirmed by a second measurement · batch size 100" in text
    )


def test_a_setting_that_was_not_confirmed_says_so(
    findings: Findings, recommendation: Recommendation, store: ResultsStore
) -> None:
    world = KnownWorld(stable=lambda cell: cell.batch_size != 100)
    other = replace(PLAN, seed=77)
    second = confirm(recommendation, other, store, progress=False, measure_cell=world)
    values = headline(findings, recommendation, second)
    assert "NOT confirmed by a second measurement" in str(values["recommendation"])
    assert "p99_seconds" not in values


def test_without_a_target_the_headline_claims_none(findings: Findings, store: ResultsStore) -> None:
    free = findings.recommend(math.inf)
    assert isinstance(free, Recommendation)
    second = confirm(free, PLAN, store, progress=False, measure_cell=KnownWorld())
    assert "within" not in str(headline(findings, free, second)["recommendation"])


def test_no_recommendation_is_the_headline(findings: Findings) -> None:
    refused = findings.recommend(1e-6)
    assert isinstance(refused, NoRecommendation)
    assert headline(findings, refused, refused) == {"recommendation": f"none: {refused.describe()}"}
    assert paste_lines(refused).startswith("# nothing is recommended")


def test_the_lines_to_paste_are_python_with_the_setting(recommendation: Recommendation) -> None:
    lines = paste_lines(recommendation)
    compile(lines, "lines", "exec")
    assert "RequestBatcher(db, batch_size=100, flush_interval=0.01)" in lines


def test_the_tables_say_where_figures_come_from(findings: Findings) -> None:
    environment, plan = _rows(environment_table(findings)), _rows(plan_table(findings))
    assert environment["cores"] == str(findings.environment["cores"])
    assert environment["measured from"] <= environment["measured until"]
    assert environment["measured until"].endswith(" UTC")
    assert plan["replay flush intervals"] == "0, 0.01"
    assert plan["seed"] == "20130705"
    assert len(plan) == len(fields(PLAN))


def _rows(table: str) -> Mapping[str, str]:
    cells = (line.strip("| ").split(" | ") for line in table.splitlines()[2:])
    return {name.strip(): value.strip() for name, value in cells}
