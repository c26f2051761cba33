from __future__ import annotations

import base64
from pathlib import Path

import pytest

from perflab.lab.report.markdown import markdown_to_html

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize(
    ("source", "alternative"),
    [
        ("A flush costs $F + V\\,b$ seconds.", "F + V\\,b"),
        ("so that\n\n$$X(b) = \\frac{b}{F + V b}$$\n\nholds", "X(b) = \\frac{b}{F + V b}"),
        ("for $a < b$", "a &lt; b"),
    ],
)
def test_a_formula_becomes_a_picture_that_says_what_it_is(source: str, alternative: str) -> None:
    html = markdown_to_html(source, folder=Path())
    assert f'<img alt="{alternative}"' in html
    assert 'src="data:image/svg+xml;base64,' in html
    assert "$" not in html


def test_a_formula_that_matplotlib_cannot_set_stays_readable() -> None:
    html = markdown_to_html("$$\\begin{aligned} a &= b \\end{aligned}$$", folder=Path())
    assert "<code>\\begin{aligned} a &amp;= b \\end{aligned}</code>" in html


def test_a_latex_environment_is_treated_as_a_formula() -> None:
    html = markdown_to_html("\\begin{equation}a\\end{equation}", folder=Path())
    assert "<code>\\begin{equation}a\\end{equation}</code>" in html


def test_code_is_no_formula() -> None:
    assert "<code>$HOME and $PATH</code>" in markdown_to_html("`$HOME and $PATH`", folder=Path())


def test_punctuation_stays_on_the_line_of_its_formula() -> None:
    html = markdown_to_html("costs $F$, and so on", folder=Path())
    assert '<span class="unbroken"><span class="formula">' in html
    assert "</span>,</span> and so on" in html


def test_a_picture_beside_the_notebook_is_embedded(tmp_path: Path) -> None:
    (tmp_path / "plan.png").write_bytes(PNG)
    encoded = base64.b64encode(PNG).decode()
    for source in ("![the plan](plan.png)", '<img src="plan.png">'):
        assert f"data:image/png;base64,{encoded}" in markdown_to_html(source, folder=tmp_path)


def test_a_picture_elsewhere_on_the_machine_is_not(tmp_path: Path) -> None:
    (tmp_path / "plan.png").write_bytes(PNG)
    (tmp_path / "notebooks").mkdir()
    assert "base64" not in markdown_to_html("![the plan](../plan.png)", folder=tmp_path / "notebooks")


def test_an_attached_picture_is_embedded() -> None:
    html = markdown_to_html(
        "![x](attachment:x.png)", folder=Path(), attachments={"x.png": {"image/png": base64.b64encode(PNG).decode()}}
    )
    assert "data:image/png;base64," in html


def test_headings_can_be_linked_to() -> None:
    assert '<h2 id="1-The-cost">1 The cost<a class="anchor-link"' in markdown_to_html("## 1 The cost", folder=Path())
