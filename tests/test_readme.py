"""What the README says is so, and what it leads to is there. Code and commands are tried by `tests/docs`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.gallery import gallery_page
from docs.readme_tables import reference_tables, with_tables

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert link.startswith("https://") or (PROJECT / link).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z]+)", README))))
def test_every_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_tables_are_those_of_the_reference_runs() -> None:
    """Otherwise: `make tables`."""
    assert with_tables(README, reference_tables()) == README


def test_the_gallery_is_of_the_notebooks_that_there_are() -> None:
    page = (PROJECT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert page == gallery_page(), "run .venv/bin/python -m docs.gallery (make gallery makes the thumbnails too)"


def test_a_table_that_nobody_makes_is_refused() -> None:
    with pytest.raises(KeyError, match="weather"):
        with_tables("<!-- table: weather -->\n<!-- end -->", {})


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = "before\n<!-- table: a -->\nold\n<!-- end -->\nbetween\n<!-- table: b -->\n<!-- end -->\nafter\n"
    made = with_tables(page, {"a": "| new |", "b": "| other |"})
    assert made.split("\n\n| new |\n\n") == [
        "before\n<!-- table: a -->",
        "<!-- end -->\nbetween\n<!-- table: b -->\n\n| other |\n\n<!-- end -->\nafter\n",
    ]
