"""Look at pages again and again, and fetch only what has changed.

    python crawl.py sqlite:///crawl.db https://example.org/ https://example.org/news

Each page is a watch with an interval; a tick makes a job of each that is due, and a worker fetches it. The ingest state
of a watch keeps the page's ETag, so that the server can answer "not modified"; pages that fail are asked less often.
Ticks and workers may run on many machines at once: `perflab scheduler` and `perflab worker` are the processes for that.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from functools import partial
from hashlib import sha256

from perflab import Database, Job, PriorityQueue, Scheduler, TickReport, Watch, Worker

INTERVAL_SECONDS = 300.0
NOT_MODIFIED = 304


def watch_pages(scheduler: Scheduler, urls: Iterable[str]) -> None:
    """Have pages looked at; those that are watched already keep their next slot."""
    scheduler.add_watches_bulk(Watch(url, interval=INTERVAL_SECONDS) for url in urls)


def fetch(job: Job, *, scheduler: Scheduler) -> None:
    """Fetch one page, unless it is as it was, and note what came of it."""
    url = job.payload["watch"]
    known = scheduler.ingest_states([url]).get(url)
    request = urllib.request.Request(url)  # a URL that whoever runs this has given
    if known is not None and known.etag:
        request.add_header("If-None-Match", known.etag)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            digest = sha256(answer.read()).hexdigest()
            scheduler.update_ingest_state(url, etag=answer.headers.get("ETag"), cursor=digest)
    except urllib.error.HTTPError as error:
        if error.code == NOT_MODIFIED:
            scheduler.update_ingest_state(url)
            return
        scheduler.update_ingest_state(url, error=error)
    except OSError as error:
        scheduler.update_ingest_state(url, error=error)


def crawl_once(scheduler: Scheduler, queue: PriorityQueue[int, bool]) -> TickReport:
    """Fetch all pages that are due."""
    report = scheduler.tick()
    Worker(queue, partial(fetch, scheduler=scheduler), concurrency=8).run(until_empty=True)
    return report


if __name__ == "__main__":
    database, *urls = sys.argv[1:]
    with Database.open(database) as db:
        db.create_schema()
        queue = PriorityQueue(db, "pages")
        scheduler = Scheduler(db, queue)
        watch_pages(scheduler, urls)
        report = crawl_once(scheduler, queue)
        print(f"{report.enqueued} of {len(scheduler.watches())} pages were due")
        for name, state in scheduler.ingest_states().items():
            print(f"{name}: {state.last_error or state.cursor}")
