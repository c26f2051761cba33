"""Each test that a promise in the documentation points at is there."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import PROJECT

PAGES_OF_PROMISES = [PROJECT / "SECURITY.md", PROJECT / "docs" / "concepts" / "promises.md"]
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(?:\w+::)?(test_\w+)`")


@pytest.mark.parametrize("page", PAGES_OF_PROMISES, ids=lambda page: page.name)
def test_every_promise_points_at_tests_that_are_there(page: object) -> None:
    text = (PROJECT / str(page)).read_text(encoding="utf-8")
    promises = text[text.index("| promise | held by |") :].splitlines()[2:]
    rows = [line for line in promises if line.startswith("| ")]
    assert len(rows) > 5
    for row in rows:
        tests = REFERENCE.findall(row)
        assert tests, f"no test stands beside {row}"
        for file, name in tests:
            assert f"def {name}(" in (PROJECT / file).read_text(encoding="utf-8"), f"{file} has no {name}"
