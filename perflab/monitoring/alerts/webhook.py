"""Alerts over HTTP, in the form that receivers of Prometheus' Alertmanager know."""

from __future__ import annotations

import json
import logging
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self
from urllib.parse import urlsplit

from perflab.batching.threads import start_thread
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.monitoring.alerts.evaluation import Alert, AlertState

logger = logging.getLogger("perflab.alerts")

MOST_WAITING = 1_000
LONGEST_TIMEOUT_SECONDS = 60.0
NOT_OVER = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for the end of an alert that fires."""

Post = Callable[[bytes], None]


class Webhook:
    """Sends each alert to a URL as JSON, in order, from a thread of its own: give it to `AlertWatch` as a `notify`.

    The form is version 4 of Alertmanager's webhook (https://prometheus.io/docs/alerting/latest/configuration/), one
    alert in each message. Whatever is not a 2xx answer is tried again after 1, 2, 4, … seconds. An alert that is given
    up, or that finds 1,000 others waiting, is logged. The URL may hold a secret and appears nowhere.

    Args:
        url: http or https.
        timeout: seconds for one attempt, up to a minute.
        attempts: 1 … 10.
        post: sends one message; None: over HTTP.

    Raises:
        InvalidInput: the URL is no http one, or an argument is out of its range.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, attempts: int = 5, post: Post | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidInput("the URL of the webhook is no http or https one: give such as https://example.org/hook")
        self._host = parts.hostname
        self._url = url
        self._timeout = check_number(timeout, "timeout", above_low=True, high=LONGEST_TIMEOUT_SECONDS)
        self._attempts = check_integer(attempts, "attempts", low=1, high=10)
        self._post = post or self._post_over_http
        self._waiting: queue.Queue[Alert | None] = queue.Queue(MOST_WAITING)
        self._closing = threading.Event()
        self._thread = start_thread(self._keep_sending, "perflab-webhook", without="alerts are sent where they arise")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Webhook(<{self._host}>)"

    def __call__(self, alert: Alert) -> None:
        """Send it soon. It never waits."""
        if self._thread is None:
            self._send(alert)
            return
        try:
            self._waiting.put_nowait(alert)
        except queue.Full:
            logger.error("%r is too slow, and is not told: %s", self, alert.describe())  # noqa: TRY400  # no traceback

    def close(self) -> None:
        """Try each alert that waits once more, then end. Calling it again changes nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _keep_sending(self) -> None:
        while (alert := self._waiting.get()) is not None:
            self._send(alert)

    def _send(self, alert: Alert) -> None:
        text = json.dumps(message(alert), allow_nan=False).encode()
        reason = ""
        for attempt in range(self._attempts):
            if attempt and self._closing.wait(2.0 ** (attempt - 1)):
                break
            try:
                self._post(text)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next attempt may get through
                reason = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
            else:
                return
        logger.error("%r could not be told (%s): %s", self, reason, alert.describe())

    def _post_over_http(self, text: bytes) -> None:
        request = urllib.request.Request(  # noqa: S310  # the scheme was checked
            self._url, data=text, headers={"Content-Type": "application/json", "User-Agent": "perflab"}
        )
        with urllib.request.urlopen(request, timeout=self._timeout):  # noqa: S310  # the same
            pass


def message(alert: Alert) -> dict[str, Any]:
    """An alert as Alertmanager tells it."""
    status = "resolved" if alert.state is AlertState.RESOLVED else "firing"
    labels = {"alertname": alert.rule.name, "severity": str(alert.rule.severity), **dict(alert.labels)}
    annotations = {"summary": alert.rule.summary, "description": alert.describe()}
    fingerprint = sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "version": "4",
        "status": status,
        "receiver": "perflab",
        "groupKey": fingerprint,
        "truncatedAlerts": 0,
        "externalURL": "",
        "groupLabels": labels,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": _written(alert.since if alert.fired_at is None else alert.fired_at),
                "endsAt": NOT_OVER if alert.until is None else _written(alert.until),
                "generatorURL": "",
                "fingerprint": fingerprint,
            }
        ],
    }


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
