"""Which of several proven options comes first, on given measurements."""

from __future__ import annotations

import pytest

from perflab.lab.advice.advice import Advice, Change, Finding, FindingKind, Measured, Option, Proof, Proposal, Verdict
from perflab.lab.advice.advisor import _best_first
from tests.lab.advice.conftest import JOB


def option(name: str, low: float, ratio: float, high: float, verdict: Verdict = Verdict.GAIN) -> Option:
    gain = Measured("the statement", 0.02, 0.02 * ratio, ratio, low, high, ratio, low, high, 6, "s/call")
    return Option(Proposal(Change((name,), ()), ""), Proof(verdict, gain=gain))


def order(*options: Option) -> list[str]:
    return [each.proposal.change.do[0] for each in _best_first(options)]


CLEAR = option("clear", 0.004, 0.005, 0.006)
CLOSE = option("close", 0.0055, 0.007, 0.009)  # what it may gain at best, CLEAR may gain at least
LESS = option("less", 0.02, 0.03, 0.04)
NONE = option("none", 0.9, 1.0, 1.1, Verdict.NO_GAIN)
UNTRIED = Option(Proposal(Change(("untried",), ()), ""))
UNMEASURED = Option(Proposal(Change(("unmeasured",), ()), ""), Proof(Verdict.NOT_MEASURED, "too large"))


@pytest.mark.parametrize(
    ("proposed", "expected"),
    [
        ((LESS, CLEAR), ["clear", "less"]),
        ((CLOSE, CLEAR), ["close", "clear"]),  # cannot be told apart, so what was proposed first stays first
        ((CLEAR, CLOSE), ["clear", "close"]),
        ((NONE, LESS, CLOSE, CLEAR), ["close", "clear", "less", "none"]),
        ((UNMEASURED, NONE, UNTRIED, LESS), ["less", "unmeasured", "none", "untried"]),
        ((), []),
    ],
)
def test_proven_gains_come_first_the_largest_of_them_before_all(
    proposed: tuple[Option, ...], expected: list[str]
) -> None:
    assert order(*proposed) == expected


@pytest.mark.parametrize(("first", "best"), [(CLEAR, CLEAR), (NONE, None), (UNTRIED, None), (UNMEASURED, None)])
def test_the_best_is_the_first_if_it_was_proven(first: Option, best: Option | None) -> None:
    assert Advice(Finding((FindingKind.SORT,), JOB, ""), (first, NONE)).best is best


def test_without_any_option_none_is_the_best() -> None:
    assert Advice(Finding((FindingKind.SORT,), JOB, ""), ()).best is None
