from __future__ import annotations

import json
from pathlib import Path

import pytest

from perflab.cli import main

QUICK = ["load", "--rate", "200", "--duration", "1", "--warm-up", "0.2"]


def test_a_load_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    # a closed loop, for an open one may be more than a busy machine can take
    options = ["--clients", "2", "--mix", "insert", "--payload-bytes", "uniform:10,20"]
    assert main([*QUICK, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "closed loop, 2 clients"
    assert found["stable"]
    assert found["operations"]["insert"] >= found["measured_items"] > 0
    assert found["payload_bytes"] == "uniform 10 to 20"
    assert found["environment"]["engine"].startswith("SQLite")
    assert found["percentiles"]["response"][3]["reason"].startswith("p99.9 needs 10,000 samples")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "rate_per_second must be a positive"),
        (["--mix", "delete"], "has 'delete': use enqueue, insert, state"),
        (["--payload-bytes", "many"], "--payload-bytes is 'many': give a number"),
        (["--service", "gauss:1"], "--service is 'gauss:1'"),
        (["--duration", "nan"], "--warm-up and --duration together is nan"),
        (["--trace", "a.csv"], "--time-column"),
        (["--size-column", "bytes"], "are of a trace"),
        (["--url", "postgresql://localhost/x"], "add --engine postgresql"),
        (["--generators", "0"], "generators is 0"),
        (["--duration", "0.1"], "100 are needed"),
        (["--scheduler", "nonsense"], "no Dask scheduler answers at 'nonsense'"),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*QUICK, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_trace_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--trace", str(tmp_path / "none.csv"), "--time-column", "at"]) == 2
    assert "cannot read the trace" in capsys.readouterr().err
    trace = tmp_path / "trace.csv"
    trace.write_text("at\n1\n", encoding="utf-8")
    assert main([*QUICK, "--trace", str(trace), "--time-column", "at", "--clients", "2"]) == 2
    assert "give one of them" in capsys.readouterr().err
