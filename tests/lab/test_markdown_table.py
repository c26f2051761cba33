from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perflab.lab.markdown_table import markdown_table


def test_a_table() -> None:
    assert markdown_table(["", "value"], [("cores", 2), ("text", "a | b\nc")]) == (
        "|  | value |\n| --- | --- |\n| cores | 2 |\n| text | a &#124; b c |"
    )


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_no_cell_breaks_the_table(rows: list[tuple[str, str]]) -> None:
    lines = markdown_table(["a", "b"], rows).split("\n")
    assert len(lines) == 2 + len(rows)
    assert all(line.count("|") == 3 for line in lines)
