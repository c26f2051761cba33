"""How advice reads, and what a program gets of it."""

from __future__ import annotations

import json
from dataclasses import replace
from textwrap import dedent

from perflab.lab.advice.advice import (
    Advice,
    Advices,
    Change,
    Finding,
    FindingKind,
    Measured,
    Option,
    Proof,
    Proposal,
    Verdict,
)
from perflab.lab.advice.plan import Plan
from perflab.lab.advice.rendering import as_json, as_text
from perflab.lab.advice.statement import Source, Statement
from tests.lab.advice.conftest import JOB

STATEMENT = Statement(
    "SELECT *\n  FROM job WHERE queue = ?", Source.RECORDED, parameters=("a secret",), calls=4, seconds=0.1
)
FINDING = Finding((FindingKind.FULL_SCAN,), JOB, "sequential scan on job", STATEMENT, Plan(("SCAN job",), ()))
PROPOSAL = Proposal(Change(("CREATE INDEX ix ON {table} (queue)",), ("DROP INDEX ix",)), "it finds the rows at once.")
GAIN = Measured("the statement", 0.02, 0.001, 0.05, 0.04, 0.0625, 0.05, 0.03, 0.07, 10, "s/call")
INSERTS = Measured("inserts", 10e-6, 12e-6, 1.2, 1.1, 1.3, 1.2, 1.1, 1.3, 10, "s/row")
PROVEN = Proof(
    Verdict.GAIN, gain=GAIN, costs=(INSERTS,), rows=20_000, plan_after=("SEARCH job",), writes_per_call=9_500
)


def advices(*proofs: Proof | None) -> Advices:
    options = tuple(Option(PROPOSAL, proof) for proof in proofs)
    return Advices((Advice(FINDING, options),), tables=2, statements=1)


def test_a_finding_with_a_proven_gain() -> None:
    assert as_text(advices(PROVEN)) == dedent("""\
        1. sequential scan on job
           recorded: SELECT * FROM job WHERE queue = ? (4 calls, 25.0 ms each)
             SCAN job
           a) makes the statement 20.0 [16.0, 25.0] times as fast:
                CREATE INDEX ix ON "job" (queue);
              why: it finds the rows at once.
              undo: DROP INDEX ix;
              the statement: 20.0 ms before, 1.00 ms after, per call; after/before 0.0500 [0.0400, 0.0625], 10 blocks
              inserts: 10.0 µs before, 12.0 µs after, per row; after/before 1.200 [1.100, 1.300], 10 blocks
              it pays as long as fewer than 9,500 rows are inserted for each call
              measured on copies of 20,000 rows, interleaved; intervals at 95 %

        1 finding; looked at 2 tables and 1 statement.""")


def test_what_was_not_proven_says_so() -> None:
    none = replace(PROVEN, verdict=Verdict.NO_GAIN, gain=replace(GAIN, ratio=1.02, low=0.9, high=1.15))
    text = as_text(advices(none, Proof(Verdict.NOT_MEASURED, "too large"), None))
    assert "a) no proven gain: after/before 1.020 [0.900, 1.150] for the statement:" in text
    assert "b) not measured: too large" in text
    assert "c) proposed, not measured:" in text
    assert as_text(advices()).splitlines()[3] == "   No index or setting is known that would help."


def test_a_setting_of_a_connection_says_where_it_belongs() -> None:
    change = Change(("PRAGMA cache_size = -1",), (), on_connection=True)
    text = as_text(Advices((Advice(FINDING, (Option(replace(PROPOSAL, change=change)),)),), 1, 1))
    assert "It holds for one connection: run it wherever one is opened." in text
    assert "undo: nothing has to be" in text


def test_silence_says_what_was_looked_at() -> None:
    skipped = ((replace(STATEMENT, name="queue.claim"), "no reason"),)
    assert as_text(Advices((), 3, 5, skipped)) == (
        "Nothing to advise: looked at 3 tables and 5 statements, and none of them reads more of a deep table than it "
        "needs.\n\nNot judged:\n  queue.claim: no reason"
    )


def test_json_has_every_figure_with_its_unit_and_no_parameters() -> None:
    text = json.dumps(as_json(advices(PROVEN, None)))
    assert "a secret" not in text
    assert "a secret" not in as_text(advices(PROVEN))
    found = json.loads(text)["advice"][0]
    assert found["finding"]["kinds"] == ["sequential scan"]
    first, second = found["options"]
    assert (first["do"], first["undo"]) == (['CREATE INDEX ix ON "job" (queue)'], ["DROP INDEX ix"])
    assert first["proof"]["gain"] == {
        "what": "the statement",
        "unit": "s/call",
        "before": 0.02,
        "after": 0.001,
        "ratio": {"value": 0.05, "low": 0.04, "high": 0.0625},
        "median_ratio": {"value": 0.05, "low": 0.03, "high": 0.07},
        "blocks": 10,
        "level": 0.95,
    }
    assert first["proof"]["verdict"] == "gain"
    assert first["proof"]["costs"][0]["what"] == "inserts"
    assert second["proof"] is None
