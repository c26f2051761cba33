"""Markdown cells as HTML that needs nothing from the network: formulas become pictures, local images are embedded."""

from __future__ import annotations

import base64
import io
import re
from html import escape
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from perflab.lab.report.fragments import self_contained

if TYPE_CHECKING:
    from pathlib import Path

_FONT_POINTS = 12
# kept on one line, or the next one may start with the comma
_PUNCTUATED_FORMULA = re.compile(r'(<span class="formula"><img [^>]*></span>[.,;:!?)]+)')


def markdown_to_html(source: str, *, folder: Path, attachments: dict[str, dict[str, str]] | None = None) -> str:
    """The HTML of a piece of Markdown.

    Args:
        source: The Markdown; HTML in it stays, unless it runs or loads something.
        folder: Where relative image files are looked for.
        attachments: Images stored in the cell: by name, base64 by MIME type.
    """
    renderer = _Renderer(
        escape=False, embed_images=True, path=str(folder), anchor_link_text="#", attachments=attachments
    )
    html = self_contained(MarkdownWithMath(renderer=renderer).render(source))
    return _PUNCTUATED_FORMULA.sub(r'<span class="unbroken">\1</span>', html)


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return f'<span class="formula formula-block">{_formula(body, large=True)}</span>'

    def inline_math(self, body: str) -> str:
        return f'<span class="formula">{_formula(body, large=False)}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


def _formula(body: str, *, large: bool) -> str:
    """A TeX formula as an embedded picture, or as its source where Matplotlib cannot set it.

    Matplotlib is here anyway, and sets what a report needs without a script from a network.
    """
    tex = " ".join(body.split())
    set_tex = tex.replace(r"\frac", r"\dfrac") if large else tex
    picture = io.BytesIO()
    # transparent and black: on a dark page the style sheet inverts the ink
    style = mpl.rc_context({"mathtext.fontset": "cm", "svg.fonttype": "path", "savefig.transparent": True})
    points = _FONT_POINTS * (1.15 if large else 1)
    try:
        with style:
            font = FontProperties(size=points)
            depth = math_to_image(f"${set_tex}$", picture, prop=font, format="svg", color="black")
    except ValueError:
        return f"<code>{escape(tex)}</code>"
    data = base64.b64encode(picture.getvalue()).decode("ascii")
    # the picture's own baseline is `depth` points above its lower edge
    baseline = "" if large else f' style="vertical-align:{-depth:.0f}pt"'
    return f'<img alt="{escape(tex)}"{baseline} src="data:image/svg+xml;base64,{data}"/>'
