"""A self-test as a page for people and a file for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from perflab.lab.markdown_table import markdown_table
from perflab.lab.quantities import format_factor, format_percent
from perflab.lab.selftest.judgement import SelfTest
from perflab.lab.statistics.ratio import Ratio
from perflab.lab.sweep.environment import Environment


class SelfTestFiles(NamedTuple):
    """What was written."""

    page: Path
    summary: Path


def write_selftest(found: SelfTest, environment: Environment, folder: Path) -> SelfTestFiles:
    """Write `selftest.md` and `selftest.json` into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = SelfTestFiles(folder / "selftest.md", folder / "selftest.json")
    files.page.write_text(_page(found, environment), encoding="utf-8")
    files.summary.write_text(json.dumps(_summary(found, environment), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return files


def _page(found: SelfTest, environment: Environment) -> str:
    rows = [
        (str(number), *_cells(same), *_cells(slower))
        for number, (same, slower) in enumerate(zip(found.same, found.slower, strict=True), start=1)
    ]
    slowed = f"slowed by {format_percent(found.effect)}"
    heads = ["experiment", "same work ÷ work [95 %]", "verdict", f"{slowed} ÷ work [95 %]", "verdict"]
    findings = "\n".join(f"- {sentence}" for sentence in found.describe())
    machine = f"{environment['cpu']}, {environment['cores']} cores; Python {environment['python']}"
    return (
        f"# Self-test\n\n{found.engine}; {machine}. Each visit: {found.work}.\n\n{findings}\n\n"
        f"{markdown_table(heads, rows)}\n"
    )


def _cells(ratio: Ratio) -> tuple[str, str]:
    bounds = f"[{format_factor(ratio.low)}, {format_factor(ratio.high)}]"
    return f"{format_factor(ratio.value)} {bounds}", str(ratio.verdict)


def _summary(found: SelfTest, environment: Environment) -> dict[str, Any]:
    return {
        "outcome": str(found.outcome),
        "engine": found.engine,
        "work": found.work,
        "effect": found.effect,
        "experiments": len(found.same),
        "blocks": found.blocks,
        "false_alarm_rate": asdict(found.false_alarm_rate),
        "power": asdict(found.power),
        "coverage": asdict(found.coverage),
        "bias": asdict(found.bias),
        "deviation": found.deviation,
        "smallest_detectable": found.smallest_detectable,
        "noise": asdict(found.noise),
        "same": [asdict(ratio) for ratio in found.same],
        "slower": [asdict(ratio) for ratio in found.slower],
        "environment": dict(environment),
    }
