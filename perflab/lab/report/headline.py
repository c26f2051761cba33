"""Headline numbers: a notebook publishes them, the report and the command line show them."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from perflab.errors import InvalidInput
from perflab.lab.quantities import format_count, format_percent, format_rate, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbformat import NotebookNode

HEADLINE_MIME = "application/vnd.perflab.headline+json"

HeadlineValue = str | int | float | bool

_FORMATS: Mapping[str, Callable[[float], str]] = {
    "_per_second": format_rate,
    "_seconds": format_seconds,
    "_fraction": format_percent,
}
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]()#+-.!|~$"})


def publish_headline(**values: HeadlineValue) -> None:
    """Display headline numbers in a notebook, in a form that `run_report` reads back.

    The end of a name is its unit: `throughput_items_per_second`, `flush_interval_seconds`, `saved_fraction`.

    Args:
        **values: Text, numbers or truth values, numpy's included. A name published again replaces its value.

    Raises:
        InvalidInput: There is no value, one has another type, or one is not finite. Nothing is displayed.
    """
    if not values:
        raise InvalidInput("there is no headline to publish: give values, such as batch_size=500")
    published = {name: _plain(name, value) for name, value in values.items()}
    from IPython.display import display  # noqa: PLC0415  # only a notebook needs it

    display(  # type: ignore[no-untyped-call]
        {
            # a list, because notebook files sort the keys of objects
            HEADLINE_MIME: [{"name": name, "value": value} for name, value in published.items()],
            "text/markdown": " · ".join(
                f"{_as_markdown(label(name))} **{_as_markdown(value_text(name, value))}**"
                for name, value in published.items()
            ),
            "text/plain": headline_text(published),
        },
        raw=True,
    )


def read_headline(notebook: NotebookNode) -> dict[str, HeadlineValue]:
    """The headline numbers in the outputs of a notebook that ran, in the order of first publication."""
    headline: dict[str, HeadlineValue] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            headline.update((item["name"], item["value"]) for item in output.get("data", {}).get(HEADLINE_MIME, []))
    return headline


def headline_text(headline: Mapping[str, HeadlineValue]) -> str:
    """One line of text: `"batch size 500 · flush interval 10.0 ms"`."""
    return " · ".join(f"{label(name)} {value_text(name, value)}" for name, value in headline.items())


def label(name: str) -> str:
    """A name as people read it, without the unit, which stands with the value: `"flush interval"`."""
    unit = next((unit for unit in _FORMATS if name.endswith(unit) and name != unit), "")
    return name.removesuffix(unit).replace("_", " ")


def value_text(name: str, value: HeadlineValue) -> str:
    """A value as people read it, in the unit at the end of its name: `"10.0 ms"`."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return next((show for unit, show in _FORMATS.items() if name.endswith(unit)), format_count)(value)


def _as_markdown(text: str) -> str:
    """Text that Markdown shows as it is, with no markup and no HTML in it."""
    return escape(text, quote=False).translate(_MARKDOWN)


def _plain(name: str, value: object) -> HeadlineValue:
    """The value as Python's own type: numpy's scalars are not all JSON."""
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, str | int | float | bool):
        raise InvalidInput(
            f"the headline {name!r} is a {type(value).__name__}: publish text, a number or a truth value"
        )
    if isinstance(plain, float) and not math.isfinite(plain):
        raise InvalidInput(
            f"the headline {name!r} is {plain}: publish a finite number, or say in text why there is none"
        )
    return plain
