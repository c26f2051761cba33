"""A real Prometheus scrapes `perflab metrics`. Run by `make test-prometheus`, which installs Debian's package."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perflab.cli.database_url import VARIABLE
from perflab.database.database import Database
from perflab.monitoring.publishing import MetricsPublisher
from perflab.monitoring.registry import MetricsRegistry
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

pytestmark = pytest.mark.prometheus
PATIENCE_SECONDS = 120.0


@pytest.fixture
def metrics_address(perflab_url: str) -> Iterator[str]:
    """Where `perflab metrics` serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "perflab", "metrics", "--listen", "127.0.0.1:0"],
        env={**os.environ, VARIABLE: perflab_url},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield urllib.parse.urlsplit(process.stdout.readline().split()[-1]).netloc
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def prometheus(metrics_address: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus that scrapes it each second."""
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: perflab, static_configs: [{{targets: ['{metrics_address}']}}]}}]\n"
    )
    subprocess.run(["promtool", "check", "config", configuration], check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def ask(prometheus: str, query: str) -> list[dict[str, Any]]:
    """What an instant query returns; nothing while it has not started."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except OSError:
        return []
    return found


def eventually(prometheus: str, query: str) -> float:
    """The first value that a query has."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := ask(prometheus, query)):
        assert time.monotonic() < deadline, f"{query} has no value"
        time.sleep(0.2)
    return float(found[0]["value"][1])


def test_it_is_scraped_and_can_be_asked(prometheus: str, perflab_url: str, metrics_address: str) -> None:
    registry = MetricsRegistry()
    with (
        Database.open(perflab_url) as database,
        registry.observing(database),
        MetricsPublisher(registry, database, interval=0.2),
    ):
        queue: PriorityQueue[int, bool] = PriorityQueue(database, name="mail")
        queue.bulk_enqueue([NewJob(n) for n in range(7)])
        queue.claim(3)
        assert eventually(prometheus, "up == 1") == 1
        assert eventually(prometheus, "perflab_up") == 1
        assert eventually(prometheus, 'perflab_queue_jobs{state="ready"} == 4') == 4
        assert eventually(prometheus, "sum(perflab_jobs_enqueued_total) == 7") == 7
        assert eventually(prometheus, "sum(rate(perflab_jobs_enqueued_total[1m]))") >= 0
        assert (
            eventually(prometheus, "histogram_quantile(0.5, sum by (le) (perflab_claim_duration_seconds_bucket))") > 0
        )
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=60) as page:
        checked = subprocess.run(["promtool", "check", "metrics"], input=page.read(), capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
