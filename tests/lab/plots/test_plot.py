from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

from perflab.errors import LabError
from perflab.lab.plots import Plot, export

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def plot() -> Plot:
    figure = Figure()
    figure.add_subplot().plot([1, 2], [3, 4])
    return Plot(figure, "It rises", "From 3 to 4.", pd.DataFrame({"x": [1, 2], "y": [0.1 + 0.2, 4.0]}))


def test_equal_figures_are_equal_files(plot: Plot) -> None:
    assert plot.png().startswith(PNG)
    assert plot.png() == plot.png()


def test_a_figure_is_unknown_to_pyplot(plot: Plot) -> None:
    plot.png()
    assert plt.get_fignums() == []


def test_figures_and_their_data_are_written(plot: Plot, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    files = export({"one": plot, "two": plot}, folder)
    assert files == [folder / name for name in ("one.png", "one.csv", "two.png", "two.csv")]
    assert files[0].read_bytes() == plot.png()
    pd.testing.assert_frame_equal(pd.read_csv(files[1]), plot.data)


def test_a_folder_that_cannot_be_made_is_named(plot: Plot, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match=r"cannot be written to .*file"):
        export({"one": plot}, tmp_path / "file")


def test_a_cell_shows_the_figure_and_then_its_reading(plot: Plot, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def record(data: dict[str, Any], *, raw: bool, metadata: dict[str, Any] | None = None) -> None:
        assert raw
        shown.append((data, metadata or {}))

    monkeypatch.setattr("IPython.display.display", record)
    plot._ipython_display_()
    (picture, metadata), (text, _) = shown
    assert picture["image/png"] == plot.png()
    assert picture["text/plain"] == "It rises"
    assert metadata["image/png"]["width"] < 1_000
    assert text == {"text/markdown": "From 3 to 4.", "text/plain": "From 3 to 4."}
