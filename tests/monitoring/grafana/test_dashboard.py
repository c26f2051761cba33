"""The dashboard for Grafana: each expression names what is exported, and nothing covers anything."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from perflab.errors import InvalidInput
from perflab.monitoring.alerts.rule_files import default_rules
from perflab.monitoring.catalogue import CATALOGUE
from perflab.monitoring.grafana.files import PACKAGED, RULES_FILE, write_files
from perflab.monitoring.metric import MetricKind
from perflab.monitoring.prometheus import UP

FOLDER = files("perflab.monitoring.grafana")
DASHBOARD: dict[str, Any] = json.loads(FOLDER.joinpath("dashboards/perflab.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
SUFFIXES = {MetricKind.DISTRIBUTION: ("_bucket", "_sum", "_count")}
OF_PROMETHEUS = {"job", "instance", "le"}
EXPORTED = {
    UP: {"job", "instance"},
    "ALERTS": {"job", "instance", "alertname", "alertstate", "severity"},
    **{
        f"{metric.name}{suffix}": OF_PROMETHEUS | set(metric.labels)
        for metric in CATALOGUE.values()
        for suffix in SUFFIXES.get(metric.kind, ("",))
    },
}


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics that an expression names, each with the labels of its conditions."""
    found = re.findall(r"\b(perflab_\w+|ALERTS)(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)[=!]", conditions))) for name, conditions in found]


def grouped_by(expression: str) -> set[str]:
    return {label for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(", ")}


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_names_what_is_exported(title: str, expression: str) -> None:
    found = selectors(expression)
    assert found, title
    for name, labels in found:
        assert name in EXPORTED, title
        assert labels | grouped_by(expression) <= EXPORTED[name], title
        assert {"job", "instance"} <= labels, "it shows what is chosen above"


def test_a_renamed_metric_would_be_found() -> None:
    assert selectors('sum by (a) (rate(perflab_nonsense_total{job="x"}[5m]))') == [("perflab_nonsense_total", {"job"})]
    assert "perflab_nonsense_total" not in EXPORTED


def test_every_metric_of_the_glance_is_shown() -> None:
    shown = {name for _, expression in EXPRESSIONS for name, _ in selectors(expression)}
    missing = {
        name
        for name, metric in CATALOGUE.items()
        if not {f"{name}{s}" for s in SUFFIXES.get(metric.kind, ("",))} & shown
    }
    assert missing == {
        "perflab_items_superseded_total",
        "perflab_flush_bytes_total",
        "perflab_batches_cut_total",
        "perflab_jobs_claimed_total",
        "perflab_ticks_total",
        "perflab_tick_round_trips_total",
        "perflab_last_tick_timestamp_seconds",
        "perflab_cache_warmed_total",
        "perflab_cache_warm_reads_total",
        "perflab_cache_warm_round_trips_total",
        "perflab_cache_warm_duration_seconds",
        "perflab_database_round_trips_total",
        "perflab_queue_paused",
    }


def test_legends_name_labels_that_are_there() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped_by(target["expr"])


def test_variables_ask_for_what_is_exported() -> None:
    queries = [variable["definition"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    for query in queries:
        label = re.fullmatch(r"label_values\(.*, (\w+)\)", query)
        ((name, labels),) = selectors(query)
        assert label is not None
        assert labels | {label[1]} <= EXPORTED[name]
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = {name for _, expression in EXPRESSIONS for name in re.findall(r"\$(\w+)", expression)}
    assert used <= names | {"__rate_interval", "__range"}


def test_panels_explain_themselves_and_cover_nothing() -> None:
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in PANELS:
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above


def test_the_files_are_written_once(tmp_path: Path) -> None:
    written = write_files(tmp_path / "new", default_rules())
    assert [str(path.relative_to(tmp_path / "new")) for path in written] == [*PACKAGED, RULES_FILE]
    for path in written:
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    assert yaml.safe_load((tmp_path / "new" / "prometheus.yml").read_text())["rule_files"] == [RULES_FILE]
    with pytest.raises(InvalidInput, match="is there already"):
        write_files(tmp_path / "new", default_rules())
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_files(tmp_path / "file", default_rules())


def test_all_files_are_named() -> None:
    root = Path(str(FOLDER))
    found = {str(path.relative_to(root)) for path in root.rglob("*.*") if path.suffix in {".json", ".yml"}}
    assert found == set(PACKAGED)


@pytest.mark.prometheus
def test_promtool_reads_configuration_and_expressions(tmp_path: Path) -> None:
    write_files(tmp_path, default_rules())
    plain = [re.sub(r"\$__\w+", "5m", expression) for _, expression in EXPRESSIONS]
    rules = [{"record": f"perflab:{number}", "expr": expression} for number, expression in enumerate(plain)]
    (tmp_path / "all.yml").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    for check in (["config", "prometheus.yml"], ["rules", "all.yml"]):
        run = subprocess.run(["promtool", "check", *check], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
