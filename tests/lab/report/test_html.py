from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode, from_dict

from perflab.lab.report.execution import Execution, Failure
from perflab.lab.report.headline import HEADLINE_MIME
from perflab.lab.report.html import duration_text, render_html
from perflab.lab.report.parameters import Parameter
from perflab.version import __version__

HOSTILE = "<script>alert('x')</script>&\"<img src=x onerror=alert(1)>"
RUN = {"start_time": "2026-03-01T23:30:00+02:00", "duration": 95.3}


class Elements(HTMLParser):
    """Every element of a page with its attributes, and all of its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def output(kind: str, **fields: Any) -> NotebookNode:
    node: NotebookNode = from_dict({"output_type": kind, "metadata": {}, **fields})  # type: ignore[no-untyped-call]
    return node


def shows(**data: Any) -> NotebookNode:
    return output("display_data", data={name.replace("_", "/"): value for name, value in data.items()})


@pytest.fixture
def render(new_notebook: Callable[..., NotebookNode], tmp_path: Path) -> Callable[..., Elements]:
    def rendered(
        *cells: tuple[str, ...],
        outputs: tuple[NotebookNode, ...] = (),
        failure: Failure | None = None,
        parameters: tuple[Parameter, ...] = (),
        values: dict[str, object] | None = None,
        profile: str | None = "quick",
    ) -> Elements:
        notebook = new_notebook(*cells)
        notebook.metadata["papermill"] = from_dict(RUN)  # type: ignore[no-untyped-call]
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        if outputs:
            code[0].outputs = list(outputs)
        page = render_html(
            Execution(notebook, failure),
            notebook=tmp_path / "02_batch_size.ipynb",
            executed="02_batch_size-quick.ipynb",
            parameters=parameters,
            values=values or {},
            profile=profile,
        )
        return Elements(page)

    return rendered


def test_the_head_says_what_was_run_when_and_how_long(render: Callable[..., Elements]) -> None:
    page = render(("markdown", "# Batch `size`\n\nHow **large**?"), ("code", "1"))
    assert page.text.count("Batch size") == 2  # the title of the window, and the heading
    assert ("strong", {}) in page.elements
    for fact in ("1 March 2026, 21:30", "UTC", "quick", "1 min 35 s", "02_batch_size.ipynb", __version__):
        assert fact in page.text
    assert page.attributes("time") == [{"datetime": "2026-03-01T21:30:00+00:00"}]


def test_without_a_title_the_name_of_the_file_is_one(render: Callable[..., Elements]) -> None:
    page = render(("markdown", "No title here."), ("code", "1"), profile=None)
    assert "02_batch_size" in page.text
    assert "No title here." in page.text
    assert "Profile" not in page.text


@pytest.mark.case("F44")
def test_nothing_comes_from_the_network_and_no_script_runs(render: Callable[..., Elements]) -> None:
    png = "iVBORw0KGgo="
    page = render(
        ("markdown", "# T\n\n[a link](https://example.org), ![plan](https://example.org/p.png) and $x^2$"),
        ("markdown", "```mermaid\ngraph\n```\n\n$$y$$"),
        ("code", "1"),
        outputs=(shows(image_png=png), shows(text_html='<td>5</td><script src="https://example.org/x.js"></script>')),
    )
    assert page.attributes("script") == []
    assert page.attributes("link") == []
    assert page.attributes("iframe") == []
    assert all((image["src"] or "").startswith("data:image/") for image in page.attributes("img"))
    assert {"src": f"data:image/png;base64,{png}", "alt": ""} in page.attributes("img")
    [policy] = [meta["content"] for meta in page.attributes("meta") if meta.get("http-equiv")]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    style = page.text
    assert "@import" not in style
    assert "url(" not in style


@pytest.mark.case("F44")
def test_text_is_escaped_wherever_it_stands(render: Callable[..., Elements]) -> None:
    headline = [{"name": HOSTILE, "value": HOSTILE}]
    page = render(
        ("markdown", "# T"),
        ("code", HOSTILE),
        outputs=(
            output("stream", name="stdout", text=HOSTILE),
            output("stream", name="stderr", text=HOSTILE),
            output("display_data", data={HEADLINE_MIME: headline, "text/plain": HOSTILE}),
            output("error", ename="E", evalue=HOSTILE, traceback=[f"\x1b[31mE\x1b[39m: {HOSTILE}"]),
        ),
        failure=Failure(index=1, cell=2, error=f"E: {HOSTILE}"),
        parameters=(Parameter("label", "str", "", HOSTILE),),
        values={"label": HOSTILE},
        profile=HOSTILE,
    )
    assert page.attributes("script") == []
    assert page.attributes("img") == []
    # headline twice, code, stdout, stderr, text, traceback, banner, parameter, help, profile
    assert page.text.count(HOSTILE) == 11


def test_a_title_is_escaped(render: Callable[..., Elements]) -> None:
    page = render(("markdown", f"# {HOSTILE}"))
    assert page.attributes("script") == []
    assert page.attributes("img") == []


def test_headline_numbers_stand_at_the_top(render: Callable[..., Elements]) -> None:
    headline = [{"name": "flush_interval_seconds", "value": 0.01}]
    page = render(("markdown", "# T"), ("code", "1"), outputs=(output("display_data", data={HEADLINE_MIME: headline}),))
    assert page.text.index("flush interval") < page.text.index("10.0 ms") < page.text.index("Duration")


def test_pictures_are_described_by_the_heading_above_them(render: Callable[..., Elements]) -> None:
    page = render(
        ("markdown", "# T"),
        ("markdown", "## Cost & *benefit*\n\n### Throughput"),
        ("code", "1"),
        outputs=(shows(image_png="aGk="),),
    )
    assert [image["alt"] for image in page.attributes("img")] == ["Throughput"]


def test_sections_are_listed(render: Callable[..., Elements]) -> None:
    page = render(("markdown", "# T"), ("markdown", "## 1 Cost & time"), ("markdown", "## 2 Advice\n\n### Not listed"))
    targets = [link["href"] for link in page.attributes("a")]
    assert targets.count("#2-Advice") == 2  # in the list, and at the heading
    assert targets.count("#Not-listed") == 1
    assert "#parameters-of-this-run" in targets


def test_the_code_is_there_behind_one_switch(render: Callable[..., Elements]) -> None:
    page = render(("markdown", "# T"), ("code", "measure_it()"), ("code", "  "))
    assert [box["id"] for box in page.attributes("input")] == ["show-code"]
    assert [label["for"] for label in page.attributes("label")] == ["show-code"]
    assert "checked" not in page.attributes("input")[0]
    assert page.text.count("measure_it") == 1
    assert len([1 for attributes in page.attributes("div") if attributes.get("class") == "code"]) == 1


def test_a_failure_is_announced_and_what_did_not_run_is_counted(render: Callable[..., Elements]) -> None:
    cells = [
        ("markdown", "# T"),
        ("code", "ok()"),
        ("code", "fails()"),
        ("code", "a()"),
        ("markdown", "m"),
        ("code", "b()"),
    ]
    page = render(*cells, failure=Failure(index=2, cell=3, error="KeyError: 'x'"))
    assert "This report is incomplete." in page.text
    assert "Cell 3 failed, and 2 after it did not run: KeyError: 'x'" in page.text
    assert "2 more cells did not run" in page.text
    assert [section.get("id") for section in page.attributes("section")].count("failed-cell") == 1
    assert "#failed-cell" in [link["href"] for link in page.attributes("a")]


def test_a_failure_in_the_last_cell_leaves_nothing_unrun(render: Callable[..., Elements]) -> None:
    page = render(("markdown", "# T"), ("code", "fails()"), failure=Failure(index=1, cell=2, error="E: e"))
    assert "did not run" not in page.text


def test_the_parameters_stand_at_the_end_with_their_meaning(render: Callable[..., Elements]) -> None:
    page = render(
        ("markdown", "# T"),
        parameters=(
            Parameter("sizes", "list", [1, 2], "sizes to visit"),
            Parameter("trace", "Optional[str]", None, ""),
            Parameter("label", "str", "é", ""),
        ),
        values={"sizes": [10, 20]},
    )
    table = page.text[page.text.rindex("Parameters of this run") :]
    assert "sizes[10, 20]sizes to visit" in "".join(table.split("\n"))
    assert "tracenull default" in "".join(table.split("\n"))
    assert "labelé default" in "".join(table.split("\n"))
    assert "02_batch_size-quick.ipynb" in [link["href"] for link in page.attributes("a")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (3.21, "3.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.6, "1 h 00 min"),
        (3720, "1 h 02 min"),
    ],
)
def test_a_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
