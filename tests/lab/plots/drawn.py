"""What stands in a figure, as numbers and words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

FloatArray = npt.NDArray[np.float64]


def x_of(line: Line2D) -> FloatArray:
    return np.asarray(line.get_xdata(), float)


def y_of(line: Line2D) -> FloatArray:
    return np.asarray(line.get_ydata(), float)


def marked(axes: Axes, marker: str) -> list[Line2D]:
    """The lines that are drawn with this marker."""
    return [line for line in axes.lines if line.get_marker() == marker]


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def bar_ends(axes: Axes) -> list[list[float]]:
    """The y values of the two ends of each interval bar, of the last series."""
    container: Any = axes.containers[-1]
    (segments,) = (collection.get_segments() for collection in container.lines[2])
    return [segment[:, 1].tolist() for segment in segments]


def text_of(artists: Iterable[Text]) -> str:
    return " ".join(artist.get_text().replace("\n", " ") for artist in artists)
