from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import NotebookNode

from perflab.errors import InvalidInput
from perflab.lab.report.headline import HEADLINE_MIME, headline_text, label, publish_headline, read_headline, value_text
from perflab.lab.report.markdown import markdown_to_html


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a notebook would have shown."""
    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def notebook_that_shows(new_notebook: Callable[..., NotebookNode], *bundles: dict[str, Any]) -> NotebookNode:
    notebook = new_notebook(("markdown", "# T"), *[("code", "publish") for _ in bundles])
    for cell, bundle in zip(notebook.cells[1:], bundles, strict=True):
        cell.outputs = [NotebookNode(output_type="display_data", data=bundle, metadata={})]  # type: ignore[no-untyped-call]
    return notebook


def test_what_is_published_is_read_back_in_its_order(
    displayed: list[dict[str, Any]], new_notebook: Callable[..., NotebookNode]
) -> None:
    publish_headline(verdict="pass", batch_size=500, safe=True, aged=1.5)
    publish_headline(batch_size=400)
    headline = read_headline(notebook_that_shows(new_notebook, *displayed))
    assert list(headline.items()) == [("verdict", "pass"), ("batch_size", 400), ("safe", True), ("aged", 1.5)]


def test_other_outputs_are_no_headline(new_notebook: Callable[..., NotebookNode]) -> None:
    assert read_headline(notebook_that_shows(new_notebook, {"text/plain": "500"})) == {}


def test_the_scalars_of_numpy_become_those_of_python(displayed: list[dict[str, Any]]) -> None:
    publish_headline(a=np.int64(5), b=np.float32(0.5), c=np.bool_(True))  # type: ignore[arg-type]
    assert [(type(item["value"]), item["value"]) for item in displayed[0][HEADLINE_MIME]] == [
        (int, 5),
        (float, 0.5),
        (bool, True),
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "is a NoneType"), ([1], "is a list"), (float("nan"), "is nan"), (float("inf"), "is inf")],
)
def test_other_values_are_refused_and_nothing_is_shown(
    displayed: list[dict[str, Any]], value: Any, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=f"the headline 'rate' {reason}"):
        publish_headline(good=1, rate=value)
    assert displayed == []


def test_an_empty_headline_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no headline"):
        publish_headline()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("batch_size", 1000, "batch size 1,000"),
        ("flush_interval_seconds", 0.01, "flush interval 10.0 ms"),
        ("throughput_per_second", 109_321.4, "throughput 109,000/s"),
        ("round_trips_saved_fraction", 0.998, "round trips saved 99.8%"),
        ("safe", True, "safe yes"),
        ("safe", False, "safe no"),
        ("verdict", "no\n difference", "verdict no difference"),
    ],
)
def test_values_read_in_the_unit_of_their_name(name: str, value: Any, text: str) -> None:
    assert headline_text({name: value}) == text
    assert f"{label(name)} {value_text(name, value)}" == text


def test_the_line_of_text_has_every_value(displayed: list[dict[str, Any]]) -> None:
    publish_headline(batch_size=500, flush_interval_seconds=0.01)
    assert displayed[0]["text/plain"] == "batch size 500 · flush interval 10.0 ms"


@given(text=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1))
def test_markdown_shows_text_as_it_is(text: str) -> None:
    bundles: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("IPython.display.display", lambda bundle, raw: bundles.append(bundle))
        publish_headline(value=f"a{text}z")  # Markdown trims the edges
    rendered = markdown_to_html(bundles[0]["text/markdown"], folder=Path())
    shown = html.unescape(re.sub(r"</?(p|strong)>", "", rendered)).strip()
    assert shown == f"value {' '.join(f'a{text}z'.split())}"
