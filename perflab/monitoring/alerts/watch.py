"""Evaluates rules now and then, and tells whoever wants to know."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from perflab.database.values import check_number
from perflab.errors import DatabaseError
from perflab.monitoring.alerts.evaluation import Alert, AlertEvaluator, AlertState
from perflab.monitoring.alerts.rule import AlertRule, Severity
from perflab.monitoring.alerts.rule_files import default_rules
from perflab.monitoring.change import ChangeTracker
from perflab.monitoring.outage import Outage
from perflab.monitoring.periodic import Periodic
from perflab.monitoring.source import Source

logger = logging.getLogger("perflab.alerts")

Notify = Callable[[Alert], None]
SHORTEST_INTERVAL_SECONDS, LONGEST_INTERVAL_SECONDS = 0.1, 600.0
_LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.ERROR}


def log_alert(alert: Alert) -> None:
    """One line in the logger "perflab.alerts"; its fields are attributes of the record."""
    fields = {
        "alert": alert.rule.name,
        "state": str(alert.state),
        "severity": str(alert.rule.severity),
        "signal": alert.rule.signal,
        "value": alert.value,
        "limit": alert.rule.limit,
        "labels": dict(alert.labels),
    }
    is_over = alert.state is AlertState.RESOLVED
    summary = "" if is_over or not alert.rule.summary else f". {alert.rule.summary}"
    level = logging.INFO if is_over else _LEVELS[alert.rule.severity]
    logger.log(level, "%s%s", alert.describe(), summary, extra=fields)


class AlertWatch:
    """Applies rules to a source every `interval` seconds, from a thread of its own.

        with AlertWatch(of_database(db), notify=[log_alert, Webhook("https://…")]) as watch:
            ...
            watch.alerts

    While the source cannot be read, alerts stay as they are. What a `notify` raises is logged, and the others hear all
    the same; they are called from the thread of the watch, one after the other.

    Args:
        source: `of_database(db)` for all processes that publish there, or `of_process(registry)` for this one.
        rules: None: the default ones.
        notify: called with each alert that begins to fire or is resolved.
        interval: seconds, 0.1 … 600.
        clock: seconds since 1970.

    Raises:
        InvalidInput: the interval is out of its range, or the rules are refused.
        DatabaseError: the source cannot be read.
    """

    def __init__(
        self,
        source: Source,
        rules: Iterable[AlertRule] | None = None,
        *,
        notify: Iterable[Notify] = (log_alert,),
        interval: float = 15.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._evaluator = AlertEvaluator(default_rules() if rules is None else rules)
        self._notify = tuple(notify)
        self._interval = check_number(
            interval, "interval", low=SHORTEST_INTERVAL_SECONDS, high=LONGEST_INTERVAL_SECONDS
        )
        self._clock = clock
        self._tracker = ChangeTracker()
        self._lock = threading.Lock()
        self._alerts: Sequence[Alert] = ()
        self._outage = Outage(logger, "rules can be evaluated again")
        self.check()
        self._checks = Periodic(
            self._try_to_check, lambda: self._interval, "perflab-alerts", without="call check() now and then"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def alerts(self) -> Sequence[Alert]:
        """Those that are pending or firing, as of the last check."""
        return self._alerts

    def check(self) -> Sequence[Alert]:
        """Evaluate now; what has begun to fire or was resolved is told, and returned.

        Raises:
            DatabaseError: the source cannot be read.
        """
        with self._lock:
            change = self._tracker.change(self._source(), self._clock())
            news = self._evaluator.evaluate(change)
            self._alerts = self._evaluator.alerts
        for alert in news:
            for notify in self._notify:
                try:
                    notify(alert)
                except Exception:
                    logger.exception("the alert %s could not be told by %r", alert.rule.name, notify)
        return news

    def close(self) -> None:
        """Check no longer. Calling it again changes nothing."""
        self._checks.close()

    def _try_to_check(self) -> None:
        try:
            self.check()
        except DatabaseError as error:
            self._outage.goes_on("rules cannot be evaluated, and alerts stay as they are until they can: %s", error)
        else:
            self._outage.is_over()
