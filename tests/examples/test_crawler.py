"""Pages of a server of ours: fetched when due, not again while they are as they were, and backed off when they fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from examples.crawler.crawl import INTERVAL_SECONDS, crawl_once, watch_pages
from perflab import Database, PriorityQueue, Scheduler


class Site:
    """Pages by their path, and the requests that came, with the status that was answered."""

    def __init__(self) -> None:
        self.pages = {"/news": "first"}
        self.requests: list[tuple[str, int]] = []


@pytest.fixture
def site() -> Iterator[tuple[Site, str]]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = site.pages.get(self.path)
            tag = f'"{text}"'
            status = 404 if text is None else 304 if self.headers.get("If-None-Match") == tag else 200
            site.requests.append((self.path, status))
            body = text.encode() if text and status == 200 else b""
            self.send_response(status)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield site, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_only_what_has_changed_is_fetched_again(site: tuple[Site, str], database: Database) -> None:
    (pages, address), now = site, datetime(2026, 1, 1, tzinfo=UTC)
    times = [now]
    queue = PriorityQueue(database, "pages", now=lambda: times[-1])
    scheduler = Scheduler(database, queue, now=lambda: times[-1])
    news, missing = f"{address}/news", f"{address}/missing"
    watch_pages(scheduler, [news, missing])

    assert crawl_once(scheduler, queue).enqueued == 2
    assert sorted(pages.requests) == [("/missing", 404), ("/news", 200)]
    first = scheduler.ingest_states([news])[news]
    assert first.etag == '"first"'
    assert scheduler.ingest_states([missing])[missing].consecutive_failures == 1

    assert crawl_once(scheduler, queue).due == 0, "nothing is due yet"
    times.append(now + timedelta(seconds=INTERVAL_SECONDS + 1))
    crawl_once(scheduler, queue)
    assert pages.requests[2:].count(("/news", 304)) == 1
    assert scheduler.ingest_states([news])[news].cursor == first.cursor

    pages.pages["/news"] = "second"
    times.append(times[-1] + timedelta(seconds=INTERVAL_SECONDS + 1))
    crawl_once(scheduler, queue)
    assert ("/news", 200) in pages.requests[3:]
    assert scheduler.ingest_states([news])[news].cursor != first.cursor
