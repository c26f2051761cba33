"""Write the figures of the concept pages beside this file: `make figures`."""

from __future__ import annotations

from pathlib import Path

from docs.figures.all_figures import FIGURES
from docs.pictures import write_small

if __name__ == "__main__":
    for name, make in FIGURES.items():
        write_small(make().png(), Path(__file__).parent / f"{name}.png")
