"""What rules say of changes: states over time, without a clock, a thread or a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from perflab.database.values import shown
from perflab.errors import InvalidInput
from perflab.monitoring.alerts.rule import AlertRule
from perflab.monitoring.change import Change, RecentChanges
from perflab.monitoring.signals.readings import Labels


class AlertState(StrEnum):
    PENDING = "pending"
    """Beyond the limit, and not yet for as long as the rule asks for."""
    FIRING = "firing"
    RESOLVED = "resolved"
    """It fired, and the signal came back."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that is or was broken, for the series with these labels."""

    rule: AlertRule
    labels: Labels
    state: AlertState
    value: float
    """The last that was measured."""
    since: float
    """When the signal went beyond the limit, in seconds since 1970."""
    fired_at: float | None = None
    until: float | None = None
    """When it was resolved."""

    def describe(self) -> str:
        """In words: "queue_old firing: queue_age_seconds is 412 s (queue mail), and is to stay below 300 s"."""
        unit = f" {self.rule.watched.unit}" if self.rule.watched.unit else ""
        where = ", ".join(f"{name} {value}" for name, value in self.labels)
        side = "below" if self.rule.above is not None else "above"
        return (
            f"{self.rule.name} {self.state}: {self.rule.signal} is {self.value:.4g}{unit}"
            f"{f' ({where})' if where else ''}, and is to stay {side} {self.rule.limit:g}{unit}"
        )


@dataclass(slots=True)
class _Series:
    """One rule for one set of labels, since it was broken."""

    alert: Alert
    back_since: float | None = None
    """When it came back while it fired."""


class AlertEvaluator:
    """Applies rules to changes as they come.

    A rule has a state for each series of its signal. A series that is not told any more counts as one that is well
    again, after `keep` seconds.

    Args:
        rules: with different names.

    Raises:
        InvalidInput: two rules have one name, or there is none.
    """

    def __init__(self, rules: Iterable[AlertRule]) -> None:
        self.rules = tuple(rules)
        if not self.rules:
            raise InvalidInput("there are no rules: give at least one")
        names = [rule.name for rule in self.rules]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InvalidInput(f"two rules are named {shown(min(twice))}: give each another name")
        self._recent = RecentChanges(max(rule.window_seconds for rule in self.rules))
        self._open: dict[tuple[str, Labels], _Series] = {}

    @property
    def alerts(self) -> Sequence[Alert]:
        """Those that are pending or firing now, in the order of the rules."""
        order = {rule.name: number for number, rule in enumerate(self.rules)}
        alerts = (series.alert for series in self._open.values())
        return sorted(alerts, key=lambda alert: (order[alert.rule.name], alert.labels))

    def evaluate(self, change: Change) -> Sequence[Alert]:
        """Go on by one change; those alerts are returned that have begun to fire, or are resolved, by it."""
        self._recent.add(change)
        news: list[Alert] = []
        windows = {seconds: self._recent.window(seconds) for seconds in {rule.window_seconds for rule in self.rules}}
        for rule in self.rules:
            values = rule.measure(windows[rule.window_seconds])
            known = {labels for name, labels in self._open if name == rule.name}
            for labels in sorted(known | values.keys()):
                news += self._step(rule, labels, values.get(labels), change.ended_at)
        return news

    def _step(self, rule: AlertRule, labels: Labels, value: float | None, now: float) -> Sequence[Alert]:
        key = rule.name, labels
        series = self._open.get(key)
        has_fired = series is not None and series.alert.state is AlertState.FIRING
        if value is None or not rule.is_broken(value, has_fired=has_fired):
            return self._back(key, value, now)
        if series is None:
            series = self._open[key] = _Series(Alert(rule, labels, AlertState.PENDING, value, since=now))
        series.back_since = None
        series.alert = replace(series.alert, value=value)
        if has_fired or now - series.alert.since < rule.for_seconds:
            return ()
        series.alert = replace(series.alert, state=AlertState.FIRING, fired_at=now)
        return (series.alert,)

    def _back(self, key: tuple[str, Labels], value: float | None, now: float) -> Sequence[Alert]:
        series = self._open.get(key)
        if series is None:
            return ()
        alert = series.alert if value is None else replace(series.alert, value=value)
        if alert.state is AlertState.PENDING:
            del self._open[key]
            return ()
        series.alert = alert
        if series.back_since is None:
            series.back_since = now
        if now - series.back_since < alert.rule.keep_seconds:
            return ()
        del self._open[key]
        return (replace(alert, state=AlertState.RESOLVED, until=now),)
