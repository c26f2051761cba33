from __future__ import annotations

import base64
from typing import Any

import pytest
from nbformat import NotebookNode, from_dict

from perflab.lab.report.outputs import Shown, shown_outputs


def cell(*outputs: dict[str, Any]) -> NotebookNode:
    node: NotebookNode = from_dict({"cell_type": "code", "outputs": list(outputs)})  # type: ignore[no-untyped-call]
    return node


def display(data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": metadata}


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (
            {"text/plain": "Figure", "image/png": "aGk=\n", "text/html": "<b>"},
            Shown("picture", "data:image/png;base64,aGk="),
        ),
        ({"image/jpeg": "aGk="}, Shown("picture", "data:image/jpeg;base64,aGk=")),
        ({"text/plain": "frame", "text/html": "<p>5</p>", "text/markdown": "m"}, Shown("html", "<p>5</p>")),
        ({"text/html": "<p>5</p><script>run()</script>"}, Shown("html", "<p>5</p>")),
        ({"text/plain": "m", "text/markdown": "*m*"}, Shown("markdown", "*m*")),
        ({"text/plain": "5"}, Shown("text", "5")),
        ({"application/x-unknown": "?"}, Shown("text", "")),
    ],
)
def test_the_richest_form_that_needs_no_script_is_shown(data: dict[str, str], shown: Shown) -> None:
    assert shown_outputs(cell(display(data))) == [shown]


@pytest.mark.case("F44")
def test_a_drawing_is_shown_as_a_picture_so_that_nothing_in_it_can_run() -> None:
    svg = "<svg><script>alert(1)</script></svg>"
    [shown] = shown_outputs(cell(display({"image/svg+xml": svg, "text/plain": "drawing"})))
    assert shown == Shown("picture", f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}")


def test_a_live_control_is_left_out() -> None:
    widget = display({"application/vnd.jupyter.widget-view+json": "{}", "text/plain": "0%|   |"})
    assert shown_outputs(cell(widget, display({"text/plain": "5"}))) == [Shown("text", "5")]


def test_a_picture_keeps_the_width_that_it_asks_for() -> None:
    sized = display({"image/png": "aGk="}, **{"image/png": {"width": 640, "height": 480}})
    assert shown_outputs(cell(sized)) == [Shown("picture", "data:image/png;base64,aGk=", 640)]


def test_what_is_printed_is_text_and_stderr_is_messages() -> None:
    printed = {"output_type": "stream", "name": "stdout", "text": "rows\n"}
    logged = {"output_type": "stream", "name": "stderr", "text": "  0%|\r 50%|\r100%|\ndone\r\n"}
    assert shown_outputs(cell(printed, logged)) == [Shown("text", "rows\n"), Shown("messages", "100%|\ndone\n")]


def test_an_error_is_shown_with_its_traceback_or_its_message() -> None:
    error = {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["first", "last"]}
    assert shown_outputs(cell(error)) == [Shown("error", "first\nlast")]
    assert shown_outputs(cell({**error, "traceback": []})) == [Shown("error", "KeyError: 'x'")]


def test_a_cell_without_outputs_shows_nothing() -> None:
    assert shown_outputs(cell()) == []
