"""Tables as Markdown: notebooks and reports set them as text, where pandas would cut long cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown. What would end a cell or a row in its text is taken out of the way."""
    lines = [_row(header), _row(["---"] * len(header)), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(' '.join(str(cell).split()).replace('|', '&#124;') for cell in cells)} |"
