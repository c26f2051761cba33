"""A figure with its reading and its data: what every function of this package returns."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from perflab.errors import LabError
from perflab.lab.plots.style import DOTS_PER_INCH

PIXELS_PER_INCH = 110
"""As a browser shows it: fewer than the dots of the file, so that it is sharp on finer screens too."""


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """A figure that says what it shows.

    As the last line of a notebook cell it shows the figure, with the reading as text under it.

    Attributes:
        figure: Drawn with Matplotlib's objects, unknown to `pyplot`: it need not be closed, and is never shown twice.
        title: What it found, in words: the title in the figure.
        reading: What the figure shows, in a sentence or two made from the data.
        data: Exactly what is drawn, one row for each mark.
    """

    figure: Figure
    title: str
    reading: str
    data: pd.DataFrame

    def png(self) -> bytes:
        """The figure as a PNG file."""
        picture = io.BytesIO()
        # without the version of Matplotlib in it, equal figures are equal files
        self.figure.savefig(picture, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        return picture.getvalue()

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415  # only a notebook needs it

        width = round(self.figure.get_figwidth() * PIXELS_PER_INCH)
        picture = {"image/png": self.png(), "text/plain": self.title}
        display(picture, raw=True, metadata={"image/png": {"width": width}})  # type: ignore[no-untyped-call]
        display({"text/markdown": self.reading, "text/plain": self.reading}, raw=True)  # type: ignore[no-untyped-call]


def export(plots: Mapping[str, Plot], folder: Path) -> list[Path]:
    """Write figures as `<name>.png` and their data as `<name>.csv` into a folder, which is made if it is not there.

    Returns:
        The files, in the order of the figures.

    Raises:
        LabError: The folder cannot be written.
    """
    files: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, plot in plots.items():
            picture, table = folder / f"{name}.png", folder / f"{name}.csv"
            picture.write_bytes(plot.png())
            plot.data.to_csv(table, index=False)
            files += [picture, table]
    except OSError as error:
        raise LabError(f"the figures cannot be written to {str(folder)!r}: {error.strerror}") from error
    return files
