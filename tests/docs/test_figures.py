"""The figures and cards of the documentation are those that would be made now."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from docs import gallery
from docs.figures.all_figures import FIGURES
from tests.docs.blocks import PROJECT

LARGEST_BYTES = 100_000
DOCS = PROJECT / "docs"


@pytest.mark.parametrize("name", FIGURES)
def test_the_sentence_under_a_figure_is_what_it_says_now(name: str) -> None:
    """Otherwise: `make figures`, and the sentence into the page."""
    (page,) = [text for path in DOCS.rglob("*.md") if f"{name}.png" in (text := path.read_text(encoding="utf-8"))]
    assert f"*{FIGURES[name]().reading}*" in " ".join(page.split())


def test_every_picture_is_light() -> None:
    pictures = [*DOCS.rglob("*.png")]
    assert len(pictures) > len(FIGURES)
    assert [path.name for path in pictures if path.stat().st_size > LARGEST_BYTES] == []


def test_a_thumbnail_is_the_first_figure_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (1_200, 800), "#0072b2").save(picture, "PNG")
    run = {"cells": [{"outputs": [{"data": {"image/png": base64.b64encode(picture.getvalue()).decode()}}]}, {}]}
    (tmp_path / "01_first_look-smoke.ipynb").write_text(json.dumps(run))
    monkeypatch.setattr(gallery, "THUMBNAILS", tmp_path / "thumbnails")
    (thumbnail,) = gallery.write_thumbnails(tmp_path)
    made = Image.open(thumbnail).convert("RGB")
    assert made.size == (gallery.WIDTH_PIXELS, 427)
    assert made.getpixel((300, 200)) == (0, 114, 178)
