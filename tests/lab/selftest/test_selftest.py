"""Arms whose times are drawn, so that the truth is known; and the real arms once, on both engines."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from perflab.cli import main
from perflab.errors import InvalidInput
from perflab.lab.bench.run import open_engines
from perflab.lab.noise import NoiseReading
from perflab.lab.selftest.experiment import SAME, SLOWER, SelfTestPlan, Work, arms_on, run_selftest
from perflab.lab.selftest.judgement import Outcome, SelfTest
from perflab.lab.selftest.report import write_selftest

PLAN = SelfTestPlan(experiments=20, blocks=10, effect=0.05)


@dataclass(frozen=True)
class Drawn:
    """An arm whose time is lognormal around 1 s, slower by a factor; what a block does to all is ten times that."""

    name: str
    factor: float = 1.0
    noise: float = 0.02

    def visit(self, block: int) -> float:
        shared = Random(f"block {block}").gauss(0, 0.2)
        return self.factor * Random(f"{self.name} {block}").lognormvariate(shared, self.noise)


def quiet_machine() -> NoiseReading:
    return NoiseReading(1e-3, 0.1)


def judged(same: Drawn, slower: Drawn) -> SelfTest:
    arms = (Drawn("work", noise=same.noise), same, slower)
    return run_selftest(PLAN, arms, engine="nothing", read=quiet_machine)


def test_equal_arms_and_little_noise_pass() -> None:
    found = judged(Drawn(SAME), Drawn(SLOWER, 1.05))
    assert found.outcome is Outcome.PASSED
    assert found.false_alarm_rate.low <= 0.05
    assert found.power.value > 0.9
    assert found.bias.low < 1 < found.bias.high
    assert found.deviation == pytest.approx(0.02 * 2**0.5, rel=0.15)
    assert found.smallest_detectable == pytest.approx(0.0285, rel=0.2)  # 2.26 + 0.88 of 2.8 % / sqrt(10)
    assert found.noise.readings == PLAN.experiments * PLAN.blocks
    assert "Passed" in found.describe()[-1]


def test_an_arm_that_is_favoured_is_a_false_alarm() -> None:
    found = judged(Drawn(SAME, 1.04), Drawn(SLOWER, 1.05))
    assert found.outcome is Outcome.FALSE_ALARMS
    assert found.alarms > 10
    assert found.bias.low > 1.02
    assert "before you believe any verdict" in found.describe()[-1]


def test_noise_that_hides_the_known_difference_is_told_with_the_blocks_that_it_takes() -> None:
    found = judged(Drawn(SAME, noise=0.10), Drawn(SLOWER, 1.05, noise=0.10))
    assert found.outcome is Outcome.TOO_NOISY
    needed = found.blocks_for(0.05)
    assert needed is not None
    assert 40 < needed < 110  # (2.8 * 14 % / 5 %)^2 = 62
    assert f"take {needed} blocks, or quieten the machine" in found.describe()[-1]


def test_a_difference_on_the_wrong_side_is_not_found() -> None:
    assert judged(Drawn(SAME), Drawn(SLOWER, 0.95)).power.value == 0


def test_the_files_hold_every_experiment(tmp_path: Path) -> None:
    found = judged(Drawn(SAME), Drawn(SLOWER, 1.05))
    files = write_selftest(found, {"cpu": "c", "cores": 2, "python": "3"}, tmp_path / "new")
    summary = json.loads(files.summary.read_text())
    assert summary["outcome"] == "passed"
    assert [ratio["value"] for ratio in summary["same"]] == [ratio.value for ratio in found.same]
    page = files.page.read_text()
    assert page.count("\n| ") == 22  # a head, its rule, and the experiments
    for sentence in found.describe():
        assert sentence in page


class Ticking:
    """A clock of which each reading takes a second."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def __call__(self) -> float:
        return float(next(self._ticks))


def test_the_slowed_work_loses_what_it_should() -> None:
    with open_engines(sqlite=True, postgresql=False) as (engine,):
        reference, _, slower = arms_on(engine, 0.5)
        assert isinstance(reference, Work)
        assert isinstance(slower, Work)
        whole = Work(slower.name, engine, slower.jobs, lost=50.0, clock=Ticking()).visit(0)
        none = Work(reference.name, engine, reference.jobs, clock=Ticking()).visit(0)
    # start and end are two readings apart, so the loop waits for fifty times that
    assert whole / none == pytest.approx(101 / 3, rel=0.05)


def run(arguments: Sequence[str], folder: Path) -> int:
    return main(["selftest", *arguments, "--experiments", "1", "--blocks", "6", "--output", str(folder)])


def test_the_command_measures_and_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["--effect-percent", "300"], tmp_path)
    out = capsys.readouterr().out
    outcome = json.loads((tmp_path / "selftest.json").read_text())["outcome"]
    assert code == {"passed": 0, "false alarms": 1, "too noisy": 3}[outcome]
    assert "of 1 experiments of 6 blocks" in out
    assert f"written to {tmp_path / 'selftest.md'}" in out


def test_the_command_measures_postgresql(tmp_path: Path, postgres_url: str) -> None:
    assert run(["--engine", "postgresql", "--url", postgres_url, "--effect-percent", "300"], tmp_path) in {0, 1, 3}
    assert json.loads((tmp_path / "selftest.json").read_text())["engine"].startswith("PostgreSQL 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--blocks", "5"], "blocks is 5"),
        (["--experiments", "0"], "experiments is 0"),
        (["--effect-percent", "0"], "effect is 0.0"),
        (["--url", "postgresql:///x"], "add --engine postgresql"),
    ],
)
def test_bad_input_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["selftest", *arguments, "--output", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_plan_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidInput, match="blocks is 1"):
        SelfTestPlan(blocks=1)
