"""Alerts over HTTP, by a server that takes them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.monitoring.alerts.evaluation import Alert, AlertState
from perflab.monitoring.alerts.rule import AlertRule
from perflab.monitoring.alerts.webhook import MOST_WAITING, NOT_OVER, Webhook, message
from tests.processes import wait_for

RULE = AlertRule("queue_old", "queue_age_seconds", above=100.0, summary="Start a worker.")
FIRING = Alert(RULE, (("queue", "mail"),), AlertState.FIRING, 412.0, since=1_000.0, fired_at=1_060.0)
RESOLVED = replace(FIRING, state=AlertState.RESOLVED, value=3.0, until=1_120.0)


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[tuple[str, Any]] = []
        self.codes: list[int] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, json.loads(body)))
        self.send_response(self.server.codes.pop(0) if self.server.codes else 200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url_of(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.server_port}/hook?token=s3cret"


def test_alerts_arrive_in_order_as_alertmanager_tells_them(receiver: Receiver) -> None:
    with Webhook(url_of(receiver)) as webhook:
        webhook(FIRING)
        webhook(RESOLVED)
    (path, first), (_, second) = receiver.received
    assert path == "/hook?token=s3cret"
    assert first == message(FIRING)
    assert (first["version"], first["status"], second["status"]) == ("4", "firing", "resolved")
    (alert,) = first["alerts"]
    assert alert["labels"] == {"alertname": "queue_old", "severity": "warning", "queue": "mail"}
    assert alert["annotations"]["summary"] == "Start a worker."
    assert (alert["startsAt"], alert["endsAt"]) == ("1970-01-01T00:17:40Z", NOT_OVER)
    assert second["alerts"][0]["endsAt"] == "1970-01-01T00:18:40Z"
    assert second["alerts"][0]["fingerprint"] == alert["fingerprint"]


def test_a_refusal_is_tried_again(receiver: Receiver) -> None:
    receiver.codes = [503]
    with Webhook(url_of(receiver)) as webhook:
        webhook(FIRING)
        wait_for(lambda: len(receiver.received) == 2)
    assert [body["status"] for _, body in receiver.received] == ["firing", "firing"]


def test_what_is_given_up_is_logged_without_the_url(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.codes = [500, 500]
    with caplog.at_level(logging.ERROR), Webhook(url_of(receiver), attempts=1) as webhook:
        webhook(FIRING)
    assert "Webhook(<127.0.0.1>) could not be told (HTTP 500): queue_old firing" in caplog.text
    assert "s3cret" not in caplog.text + repr(webhook)


def test_a_slow_receiver_never_blocks_and_what_is_too_much_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    is_sending, may_go_on = threading.Event(), threading.Event()

    def post(_text: bytes) -> None:
        is_sending.set()
        may_go_on.wait()

    webhook = Webhook("https://example.org/s3cret", post=post)
    webhook(FIRING)
    is_sending.wait()
    for _ in range(MOST_WAITING + 2):
        webhook(FIRING)
    may_go_on.set()
    webhook.close()
    webhook.close()
    assert [record.message.partition(" is too slow")[0] for record in caplog.records] == ["Webhook(<example.org>)"] * 2


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org/s3cret", "http://", "file:///etc/passwd"])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(InvalidInput, match="no http or https") as refused:
        Webhook(url)
    assert "s3cret" not in str(refused.value)
