"""Examples at the end of a command's help."""

from __future__ import annotations

UNWRAPPED = "\b"
"""Tells the formatter to leave the lines of a paragraph as they are."""


def examples(*lines: str) -> str:
    """The epilog of a command: `@app.command(epilog=examples("perflab db stop", …))`."""
    return "\n".join([UNWRAPPED, "Examples:", *(f"  {line}" for line in lines)])
