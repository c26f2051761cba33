"""Pieces of HTML that a notebook brings along, made safe to stand in a self-contained page."""

from __future__ import annotations

import warnings

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning

_NEEDS_MORE_THAN_THE_PAGE = "script, iframe, frame, object, embed, link, base, meta, form"
_REMOTE = tuple(
    f"{element}[{attribute}^='{scheme}' i]"
    for element, attribute in (("img", "src"), ("source", "src"), ("video", "src"), ("audio", "src"), ("img", "srcset"))
    for scheme in ("http:", "https:", "//")
)


def self_contained(fragment: str) -> str:
    """The fragment without what runs or loads something; a picture from the network leaves its description.

    The page forbids both to the browser as well; this makes it true of the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)  # a fragment may be the name of a file
        soup = BeautifulSoup(fragment, "html.parser")
    for element in soup.select(_NEEDS_MORE_THAN_THE_PAGE):
        element.decompose()
    for element in soup.select(", ".join(_REMOTE)):
        element.replace_with(f"[not embedded: {element.get('alt') or element.get('src') or element.name}]")
    return str(soup)
