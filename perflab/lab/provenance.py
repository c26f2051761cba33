"""Where figures come from: the machine, the versions, the time and the plan, as Markdown tables for a report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Protocol

import pandas as pd

from perflab.lab.markdown_table import markdown_table
from perflab.lab.noise import Noise, NoiseReading, summarise_noise
from perflab.lab.sweep.environment import Environment
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.latency_findings import LatencyFindings

_WHEN = "%Y-%m-%d %H:%M UTC"


class Measured(Protocol):
    """What was found, and on what."""

    environment: Environment

    @property
    def visits(self) -> pd.DataFrame:
        """One row for each visit; its column measured_at says when."""


def environment_table(findings: Measured) -> str:
    """When the visits were measured, and the environment of the last run that measured any."""
    measured = pd.to_datetime(findings.visits["measured_at"], utc=True)
    span = {"measured from": measured.min().strftime(_WHEN), "measured until": measured.max().strftime(_WHEN)}
    noise = {"noise": noise_of(findings).describe()} if "calibration_seconds" in findings.visits else {}
    return _table({**span, **noise, **findings.environment})


def noise_of(findings: Measured) -> Noise:
    """How quiet the machine was while the visits of a sweep were measured.

    Raises:
        InvalidInput: There is no visit.
    """
    visits, cores = findings.visits, findings.environment.get("cores")
    readings = [
        NoiseReading(float(seconds), None if pd.isna(load) else float(load))
        for seconds, load in zip(visits["calibration_seconds"], visits["load_average"], strict=True)
    ]
    return summarise_noise(readings, cores=cores if isinstance(cores, int) else None)


def plan_table(findings: Findings | LatencyFindings) -> str:
    """Everything that the plan of the sweep says."""
    return _table(asdict(findings.plan))


def _table(values: dict[str, object]) -> str:
    return markdown_table(
        ["", "value"], [(name.replace("_", " "), _text(name, value)) for name, value in values.items()]
    )


def _text(name: str, value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, tuple):
        return ", ".join(_text(name, each) for each in value) or "none"
    if isinstance(value, int) and name.endswith("bytes"):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
