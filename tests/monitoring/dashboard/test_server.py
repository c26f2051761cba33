"""The page over HTTP: who gets it, and what can be done with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from typing import NamedTuple

import pytest

from perflab.errors import InvalidInput
from perflab.monitoring.dashboard.drawing import BODY_PANELS, HEAD_PANELS
from perflab.monitoring.dashboard.live import Live
from perflab.monitoring.dashboard.server import COOKIE, DashboardServer, is_loopback
from perflab.monitoring.source import Labelled
from tests.monitoring.dashboard.sources import Scripted, busy

TOKEN = "not-to-be-guessed"
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[DashboardServer]:
    _, live = busy()
    with DashboardServer(live, port=0, interval=0.1) as server:
        yield server


@pytest.fixture(scope="module")
def guarded() -> Iterator[DashboardServer]:
    _, live = busy()
    with DashboardServer(live, "0.0.0.0", 0, token=TOKEN) as server:  # with a token
        yield server


class Answer(NamedTuple):
    status: int
    headers: Message
    body: str


@contextmanager
def asking(server: DashboardServer, path: str = "/", method: str = "GET", **headers: str) -> Iterator[HTTPResponse]:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)) as connection:
        connection.request(method, path, headers=headers)
        with connection.getresponse() as answer:
            yield answer


def ask(server: DashboardServer, path: str = "/", method: str = "GET", **headers: str) -> Answer:
    with asking(server, path, method, **headers) as answer:
        is_endless = answer.status == 200 and path.startswith("/events")
        return Answer(answer.status, answer.headers, "" if is_endless else answer.read().decode())


def test_the_page_is_complete_without_a_script(server: DashboardServer) -> None:
    answer = ask(server)
    assert answer.status == 200
    page = answer.body
    assert "Items per second" in page
    assert "sqlite:///lab.db" in page
    assert "http://" not in page, "nothing comes from elsewhere"
    assert "https://" not in page


def test_what_a_browser_may_do_with_it_is_little(server: DashboardServer) -> None:
    for path in ("/", "/static/dashboard.js", "/events", "/nothing"):
        answer = ask(server, path)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "192.0.2.1"])
def test_another_host_is_refused(server: DashboardServer, host: str) -> None:
    for path in ("/", "/events", "/static/dashboard.js"):
        assert ask(server, path, Host=host).status == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "LOCALHOST:8765", "[::1]:8765"])
def test_names_of_this_machine_are_let_in(server: DashboardServer, host: str) -> None:
    assert ask(server, Host=host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(server: DashboardServer, method: str) -> None:
    for path in ("/", "/events", "/static/dashboard.js"):
        assert ask(server, path, method).status == 405


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/%2e%2e/server.py", "/etc/passwd", "/static/"])
def test_other_files_are_not_served(server: DashboardServer, path: str) -> None:
    assert ask(server, path).status == 404


def test_events_bring_what_was_drawn(server: DashboardServer) -> None:
    with asking(server, "/events?span=8h") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for _ in range(3):
            line = answer.readline()
            assert line.startswith(b"data: ")
            panels = json.loads(line.removeprefix(b"data: "))
            assert set(panels) == {*HEAD_PANELS, *BODY_PANELS}
            assert "8 hours ago" in panels["throughput"]
            assert answer.readline() == b"\n"


def test_another_span_is_the_first_one(server: DashboardServer) -> None:
    assert 'data-span="5m"' in ask(server, "/?span=%3Cscript%3E").body


@pytest.mark.parametrize("path", ["/", "/events", "/static/dashboard.js", "/?token=wrong", "/?token="])
def test_without_the_token_there_is_nothing(guarded: DashboardServer, path: str) -> None:
    answer = ask(guarded, path)
    assert answer.status == 401
    assert "sqlite" not in answer.body


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}"])
def test_a_bearer_is_let_in(guarded: DashboardServer, header: str) -> None:
    assert ask(guarded, Authorization=header).status == 200


@pytest.mark.parametrize("header", ["Bearer wrong", f"Basic {TOKEN}", "Bearer", "Bearer \u00e9"])
def test_another_one_is_not(guarded: DashboardServer, header: str) -> None:
    assert ask(guarded, Authorization=header).status == 401


def test_the_token_moves_from_the_address_into_a_cookie(guarded: DashboardServer) -> None:
    answer = ask(guarded, f"/?token={TOKEN}")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert ask(guarded, Cookie=cookie.partition(";")[0]).status == 200
    assert ask(guarded, Cookie=f"{COOKIE}=wrong").status == 401


def test_with_a_token_any_name_may_be_given(guarded: DashboardServer) -> None:
    assert ask(guarded, Host="lab.example", Authorization=f"Bearer {TOKEN}").status == 200


def test_others_need_a_token() -> None:
    _, live = busy(1)
    for host in ("0.0.0.0", "::", "192.0.2.1", "lab.example"):  # refused
        with pytest.raises(InvalidInput, match="token"):
            DashboardServer(live, host, 0)


def test_an_address_that_is_taken_is_refused(server: DashboardServer) -> None:
    _, live = busy(1)
    with pytest.raises(InvalidInput, match="cannot be served"):
        DashboardServer(live, port=server.port)


@pytest.mark.parametrize("interval", [0.0, 61.0])
def test_an_interval_out_of_range_is_refused(interval: float) -> None:
    _, live = busy(1)
    with pytest.raises(InvalidInput, match="interval"):
        DashboardServer(live, port=0, interval=interval)


def test_closing_ends_event_streams_and_may_be_repeated() -> None:
    _, live = busy(1)
    server = DashboardServer(live, port=0, interval=0.1)
    with asking(server, "/events") as answer:
        assert answer.readline().startswith(b"data: ")
        server.close()
        server.close()
        while answer.readline():
            pass
    with pytest.raises(ConnectionRefusedError):
        ask(server)


def test_a_look_that_fails_is_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    source = Scripted()
    failed: list[bool] = []

    def fail_once() -> list[Labelled]:
        if not failed:
            failed.append(True)
            raise ZeroDivisionError
        return source()

    live = Live(fail_once, "a mistake of ours")
    with DashboardServer(live, port=0, interval=0.1) as server, asking(server, "/events") as answer:
        for _ in range(6):
            assert answer.readline()
    assert failed
    assert "a look at the figures failed" in caplog.text


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab", False)],
)
def test_what_only_this_machine_reaches(host: str, *, only_here: bool) -> None:
    assert is_loopback(host) is only_here
