"""Where figures come from: the machine, the versions, the time and the plan, as Markdown tables for a report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Protocol

import pandas as pd

from perflab.lab.markdown_table import markdown_table
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
    return _table({**span, **findings.environment})


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
