"""Reports of the notebooks that take longest are for `make slow`: `make notebooks` runs all their cells, too."""

from __future__ import annotations

import pytest

SLOW_FIXTURES = {"adaptive", "latency", "monitoring", "peers", "queue", "tune"}
SLOW_NUMBERS = ("03", "04", "05", "08", "09", "11")


@pytest.hookimpl(tryfirst=True)  # before pytest looks which marks are wanted
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.path.name == "test_reports.py":
            notebook = item.callspec.params.get("run", "") if hasattr(item, "callspec") else ""
            if SLOW_FIXTURES & set(item.fixturenames) or str(notebook).startswith(SLOW_NUMBERS):
                item.add_marker(pytest.mark.slow)
