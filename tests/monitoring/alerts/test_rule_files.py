"""Rules as TOML, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.errors import InvalidInput
from perflab.monitoring.alerts.rule import AlertRule, Severity
from perflab.monitoring.alerts.rule_files import default_rules, parse_rules, read_rules


def test_a_rule_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        """
        [slow]
        signal = "flush_p99_seconds"
        above = 0.5
        clear = 0.4
        for = 60
        keep = 30.5
        window = 120
        at_least = 20
        severity = "critical"
        summary = "Look at the disk."
        """
    )
    assert read_rules(path) == (
        AlertRule(
            "slow",
            "flush_p99_seconds",
            above=0.5,
            clear=0.4,
            for_seconds=60,
            keep_seconds=30.5,
            window_seconds=120,
            at_least=20,
            severity=Severity.CRITICAL,
            summary="Look at the disk.",
        ),
    )


def test_the_default_rules_watch_what_they_are_to() -> None:
    rules = default_rules()
    assert {
        "batch_utilisation",
        "timer_flush_share",
        "flush_p99_seconds",
        "items_failed",
        "queue_age_seconds",
        "backlog_growth",
        "watch_overdue_seconds",
    } <= {rule.signal for rule in rules}
    assert all(rule.summary for rule in rules)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no rule"),
        ("x = ", "is no TOML"),
        ("x = 1", "'x' in rules.toml is no rule"),
        ("[x]", "has no `signal`"),
        ("[x]\nsignal = 'nonsense'\nabove = 1", "watches 'nonsense': choose one of backlog, "),
        ("[x]\nsignal = 1\nabove = 1", "signal of the rule 'x' in rules.toml is 1"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nsummary = 2", "summary of the rule 'x' in rules.toml is 2"),
        ("[x]\nsignal = 'flushes'", "exactly one limit"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nbelow = 2", "exactly one limit"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nover = 2", "has 'over': it may have signal, above"),
        ("[x]\nsignal = 'flushes'\nabove = '1'", "above of the rule 'x' is '1'"),
        ("[x]\nsignal = 'flushes'\nabove = nan", "above of the rule 'x' is nan"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nclear = 2", "still beyond its limit of 1: give a `clear` below"),
        ("[x]\nsignal = 'flushes'\nbelow = 2\nclear = 1", "still beyond its limit of 2: give a `clear` above"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nfor = -1", "`for` of the rule 'x' is -1"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nkeep = 86401", "`keep` of the rule 'x' is 86401"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nwindow = 0", "`window` of the rule 'x' is 0"),
        ("[x]\nsignal = 'flush_p99_seconds'\nabove = 1\nat_least = 0", "`at_least` of the rule 'x' is 0"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nat_least = 2", "flushes is no share or quantile"),
        ("[x]\nsignal = 'flushes'\nabove = 1\nseverity = 'page'", "'page': choose info, warning, critical"),
        ("[X]\nsignal = 'flushes'\nabove = 1", "a rule is named 'X'"),
        ("['x y']\nsignal = 'flushes'\nabove = 1", "a rule is named 'x y'"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_rules(text, "rules.toml")
    assert says in str(refused.value)
    assert "rules.toml" in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_rules(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe4")
    with pytest.raises(InvalidInput, match="no UTF-8"):
        read_rules(tmp_path / "latin.toml")
