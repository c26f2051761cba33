from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.lab.plots.style import interval_bars, lines, new_figure, shades, spread, whole
from tests.lab.plots.drawn import bar_ends

positions = st.lists(st.floats(-1e3, 1e3), max_size=12)


@given(positions)
def test_words_are_moved_apart_in_their_order(places: list[float]) -> None:
    moved = spread(places, gap=10)
    assert len(moved) == len(places)
    ordered = [position for _, position in sorted(zip(places, moved, strict=True))]
    assert all(after - before >= 10 - 1e-6 for before, after in pairwise(ordered))


@given(st.lists(st.integers(-50, 50), unique=True, max_size=12))
def test_words_with_room_stay_where_they_are(steps: list[int]) -> None:
    places = [10.0 * step for step in steps]
    assert spread(places, gap=10) == pytest.approx(places)


def test_words_at_one_place_spread_around_it() -> None:
    assert spread([5.0, 5.0, 5.0], gap=10) == pytest.approx([-5.0, 5.0, 15.0])


@given(st.lists(st.text("abcdefg", min_size=1, max_size=12), min_size=1, max_size=40), st.integers(12, 80))
def test_lines_hold_all_words_and_keep_the_width(words: list[str], width: int) -> None:
    broken = lines(" ".join(words), width)
    assert " ".join(broken).split() == words
    assert all(len(line) <= width for line in broken)


def test_lines_are_about_equally_long_and_a_number_keeps_its_unit() -> None:
    assert lines("one two three four five", 20) == ["one two three", "four five"]
    assert lines("within 10 ms", 10) == ["within", "10\N{NO-BREAK SPACE}ms"]
    assert lines("short", 20) == ["short"]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_shades_are_distinct(count: int) -> None:
    assert len(set(shades(count))) == count


@pytest.mark.parametrize(("number", "text"), [(20_000, "20,000"), (1, "1"), (0.5, "0.5")])
def test_ticks_are_plain_numbers(number: float, text: str) -> None:
    assert whole(number) == text


def test_a_long_title_makes_the_figure_taller_and_not_the_plot() -> None:
    short, (small,) = new_figure("Short", "A caption.")
    tall, (same,) = new_figure("A title that goes on and on " * 6, "A caption.")
    assert tall.get_figheight() > short.get_figheight()
    heights = [axes.get_position().height * figure.get_figheight() for axes, figure in ((small, short), (same, tall))]
    assert heights[0] == pytest.approx(heights[1])


def test_an_endless_interval_has_no_bar() -> None:
    _, (axes,) = new_figure("Title", "Caption.")
    interval_bars(axes, [1, 2], [5, 5], [0, 4], [float("inf"), 7], color="black")
    assert bar_ends(axes) == [[5.0, 5.0], [4.0, 7.0]]


@pytest.mark.parametrize("panels", [1, 2, 8, 40])
def test_panels_stand_side_by_side_however_many(panels: int) -> None:
    figure, axes = new_figure("Title", "Caption.", panels=panels)
    edges = [(place.x0, place.x1) for place in (plot.get_position() for plot in axes)]
    assert all(left < right for left, right in edges)
    assert all(right < left for (_, right), (left, _) in pairwise(edges))
    assert edges[-1][1] < 1
    assert figure.axes == axes
