"""One look for all figures: the finding as the title, restrained axes, words at the data instead of a legend.

Everything is set on the artists themselves; Matplotlib's global settings stay as they are.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from scipy.optimize import isotonic_regression

WIDTH_INCHES = 8.0
DOTS_PER_INCH = 150

CROSS = "\N{MULTIPLICATION SIGN}"
"""Marks a setting that could not keep up."""

INK = "#17202c"
MUTED = "#5a6675"
LINE = "#b4bec9"
GRID = "#e6ebf0"
PAPER = "#ffffff"

# M. Okabe and K. Ito, "Color Universal Design", 2008: told apart with every kind of colour vision, and in grey
BLUE = "#0072b2"
ORANGE = "#d55e00"
GREEN = "#00785a"
YELLOW = "#e69f00"
PURPLE = "#a3548a"

HEAT = LinearSegmentedColormap.from_list("perflab", ["#f2f6fa", "#9ecae1", "#3b8bc2", "#08467f"])

HALO = [withStroke(linewidth=2.5, foreground=PAPER)]
"""Keeps words legible that cross a line."""

_TITLE_POINTS, _TEXT_POINTS, _SMALL_POINTS = 12.5, 9.5, 8.5
_TITLE_CHARACTERS, _CAPTION_CHARACTERS = 72, 112
_LEFT_INCHES, _RIGHT_INCHES, _BOTTOM_INCHES = 0.85, 0.25, 0.6
_GAP_INCHES, _ALL_GAPS_INCHES = 0.3, 2.4


def new_figure(
    title: str,
    caption: str,
    *,
    panels: int = 1,
    plot_height_inches: float = 3.6,
    left_inches: float = _LEFT_INCHES,
    right_inches: float = _RIGHT_INCHES,
    bottom_inches: float = _BOTTOM_INCHES,
) -> tuple[Figure, list[Axes]]:
    """A figure under a title and a caption, which are broken into lines where they are long.

    Args:
        title: The finding, with its number.
        caption: What was measured, how often, and what the intervals are.
        panels: Plots side by side, with one y axis for all.
        plot_height_inches: Height of the plots; text comes on top of it.
        left_inches: Room for the labels of the y axis.
        right_inches: Room for words at the data.
        bottom_inches: Room for the labels of the x axis.
    """
    title_lines = lines(title, _TITLE_CHARACTERS)
    caption_lines = lines(caption, _CAPTION_CHARACTERS)
    title_inches, caption_inches = 0.23 * len(title_lines), 0.175 * len(caption_lines)
    top_inches = 0.15 + title_inches + 0.05 + caption_inches + (0.38 if panels > 1 else 0.18)
    height = top_inches + plot_height_inches + bottom_inches
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, facecolor=PAPER)
    edge = 0.12 / WIDTH_INCHES
    top = 1 - 0.15 / height
    figure.text(edge, top, "\n".join(title_lines), color=INK, size=_TITLE_POINTS, weight="bold", va="top")
    below = top - (title_inches + 0.05) / height
    figure.text(edge, below, "\n".join(caption_lines), color=MUTED, size=_TEXT_POINTS, va="top")
    gap = min(_GAP_INCHES, _ALL_GAPS_INCHES / panels)
    width = (WIDTH_INCHES - left_inches - right_inches - (panels - 1) * gap) / panels
    axes: list[Axes] = []
    for panel in range(panels):
        left = (left_inches + panel * (width + gap)) / WIDTH_INCHES
        place = (left, bottom_inches / height, width / WIDTH_INCHES, plot_height_inches / height)
        axes.append(figure.add_axes(place, sharey=axes[0] if axes else None))
    for plot in axes:
        _dress(plot, labelled=plot is axes[0])
    return figure, axes


def lines(text: str, width: int) -> list[str]:
    """Text in as few lines of at most `width` characters as it needs, about equally long. A number keeps its unit."""
    text = re.sub(r"(?<=\d) (?=(?:s|ms|µs|ns|items?)\b)", "\N{NO-BREAK SPACE}", text)
    broken = _wrapped(text, width)
    while len(narrower := _wrapped(text, width := width - 1)) == len(broken) > 1 and max(map(len, narrower)) <= width:
        broken = narrower
    return broken


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _dress(axes: Axes, *, labelled: bool) -> None:
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(LINE)
        spine.set_linewidth(0.8)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.tick_params(which="both", color=LINE, labelcolor=MUTED, labelsize=_SMALL_POINTS, length=3)
    axes.tick_params(axis="y", which="both", left=False, labelleft=labelled)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_fontsize(_TEXT_POINTS)
        axis.label.set_color(INK)
        axis.labelpad = 6


# -- axes --------------------------------------------------------------------------------------------------------------


def label_ticks(axes: Axes, x: Sequence[float], labels: Sequence[str]) -> None:
    """Ticks on the x axis at the values that were measured, and nowhere else."""
    axes.xaxis.set_major_locator(FixedLocator(list(x)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(x), list(labels))


def log_axis(
    axes: Axes, which: str, number: Callable[[float], str], *, ticks: Sequence[float] = (1.0, 2.0, 5.0)
) -> None:
    """A logarithmic axis `"x"` or `"y"` with these ticks in each decade, written by `number`."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(base=10, subs=list(ticks), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: number(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def whole(number: float) -> str:
    """`"20,000"`, `"0.5"`: a tick."""
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


def shades(count: int) -> list[str]:
    """Colours of an ordered row, such as rising batch sizes: light to dark, all legible on white."""
    return [to_hex(colormaps["viridis"](0.82 * (1 - place))) for place in np.linspace(0, 1, count)]


# -- marks -------------------------------------------------------------------------------------------------------------


def interval_bars(
    axes: Axes,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    *,
    color: str,
    horizontal: bool = False,
) -> None:
    """Points with bars from `low` to `high` (along x if `horizontal`). An endless interval has no bar."""
    values = np.asarray(x if horizontal else y, float)
    bounds = np.abs(np.array([values - np.asarray(low, float), np.asarray(high, float) - values]))
    bars = np.where(np.isfinite(bounds) & np.isfinite(np.asarray(high, float)), bounds, 0.0)
    axes.errorbar(
        np.asarray(x, float),
        np.asarray(y, float),
        xerr=bars if horizontal else None,
        yerr=None if horizontal else bars,
        fmt="o",
        markersize=4.5,
        color=color,
        ecolor=color,
        elinewidth=1.4,
        capsize=2.5,
        capthick=1.2,
        zorder=3,
    )


def words(axes: Axes, x: float, y: float, text: str, *, color: str = INK, dx: float = 6, dy: float = 0) -> None:
    """Words beside a point of the data, `dx` and `dy` points away; they are right-aligned where `dx` is negative."""
    axes.annotate(
        text,
        (x, y),
        xytext=(dx, dy),
        textcoords="offset points",
        color=color,
        size=_SMALL_POINTS,
        ha="left" if dx > 0 else "right" if dx < 0 else "center",
        va="center",
        annotation_clip=False,
        path_effects=HALO,
    )


def end_labels(axes: Axes, x: Sequence[float], y: Sequence[float], texts: Sequence[str], colors: Sequence[str]) -> None:
    """Words at the right ends (x, y) of lines, moved apart where they would overlap. Call it when the axes are set."""
    if not y:
        return
    points_per_dot = 72 / DOTS_PER_INCH
    ends = list(zip(x, y, strict=True))
    places = [float(axes.transData.transform(end)[1]) * points_per_dot for end in ends]
    for end, place, moved, text, color in zip(ends, places, spread(places, gap=11.5), texts, colors, strict=True):
        words(axes, *end, text, color=color, dx=9, dy=moved - place)


def spread(positions: Sequence[float], *, gap: float) -> list[float]:
    """Positions as near as can be to those given, in the same order, with at least `gap` between any two.

    Least squares under an order of differences is isotonic regression, once the gaps are taken out.
    """
    order = np.argsort(positions, kind="stable")
    room = gap * np.arange(len(positions))
    moved = np.empty(len(positions))
    moved[order] = isotonic_regression(np.asarray(positions, float)[order] - room).x + room
    return [float(position) for position in moved]


def note(axes: Axes, text: str) -> None:
    """Say inside the plot why there is nothing, or not everything, in it."""
    axes.text(0.5, 0.5, textwrap.fill(text, 60), transform=axes.transAxes, color=MUTED, size=_TEXT_POINTS, ha="center")


def panel_title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", color=INK, size=_TEXT_POINTS, weight="bold", pad=8)
