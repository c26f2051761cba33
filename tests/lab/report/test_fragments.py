from __future__ import annotations

import pytest

from perflab.lab.report.fragments import self_contained


@pytest.mark.parametrize(
    "fragment",
    [
        '<table class="dataframe"><tr><td>5 &lt; 6</td></tr></table>',
        '<p>See <a href="https://example.org/x">this</a>.</p>',
        '<img alt="a plan" src="data:image/png;base64,aGk="/>',
        "<style>.t { color: red }</style><p>text</p>",
        "plain text",
        "https://example.org/report.html",
    ],
)
def test_what_needs_only_the_page_stays_as_it_is(fragment: str) -> None:
    assert self_contained(fragment) == fragment


@pytest.mark.parametrize(
    "fragment",
    [
        "<script>alert(1)</script>",
        '<SCRIPT src="https://cdn.example.org/plotly.js"></SCRIPT>',
        '<iframe src="https://example.org"></iframe>',
        '<link rel="stylesheet" href="https://example.org/x.css">',
        '<meta http-equiv="refresh" content="0; url=https://example.org">',
        '<object data="x.swf"></object><embed src="x.swf">',
    ],
)
def test_what_runs_or_loads_something_is_removed(fragment: str) -> None:
    assert self_contained(f"<p>before</p>{fragment}<p>after</p>") == "<p>before</p><p>after</p>"


@pytest.mark.parametrize(
    ("fragment", "left"),
    [
        ('<img alt="a plan" src="https://example.org/plan.png">', "[not embedded: a plan]"),
        ('<img src="HTTP://example.org/plan.png">', "[not embedded: HTTP://example.org/plan.png]"),
        ('<img src="//example.org/plan.png">', "[not embedded: //example.org/plan.png]"),
        ('<img alt="&lt;b&gt;" src="https://example.org/plan.png">', "[not embedded: &lt;b&gt;]"),
    ],
)
def test_a_picture_from_the_network_leaves_its_description(fragment: str, left: str) -> None:
    assert self_contained(fragment) == left
