"""Pictures as small files: a figure has few colours."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

COLORS = 64


def write_small(png: bytes, path: Path, *, width: int | None = None) -> None:
    """Write a picture with a palette of its own.

    Args:
        png: the picture.
        path: where it goes, as PNG.
        width: pixels to which a wider one is reduced; None leaves it as it is.
    """
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    if width is not None:
        picture.thumbnail((width, picture.height), Image.Resampling.LANCZOS)
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
