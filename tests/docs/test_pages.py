"""What the documentation shows works: its Python runs, its commands parse, its targets and extras are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, PROJECT, NotUnderstood, blocks_of, parse, perflab_calls, run_python, shell_lines

TEXTS = {str(page.relative_to(PROJECT)): page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = {name: blocks_of(text) for name, text in TEXTS.items()}
WITH_PYTHON = [name for name, blocks in BLOCKS.items() if any(block.language == "python" for block in blocks)]
COMMANDS = [(name, line) for name, blocks in BLOCKS.items() for line in shell_lines(blocks)]
LANGUAGES = {"python", "text", "console", "bash", "yaml", "toml", "sql", "json", "ini", "promql", ""}


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_of_a_page_runs_from_top_to_bottom_and_prints_what_it_says(page: str, tmp_path: Path) -> None:
    assert run_python(BLOCKS[page], tmp_path) == []


@pytest.mark.parametrize(("page", "line"), [(page, line) for page, line in COMMANDS if perflab_calls(line)])
def test_a_command_is_understood(page: str, line: str) -> None:
    for arguments in perflab_calls(line):
        parse(arguments)


@pytest.mark.parametrize(("page", "line"), [(page, line) for page, line in COMMANDS if line.startswith("make ")])
def test_a_target_exists(page: str, line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "extra"),
    sorted(
        (page, extra)
        for page, text in TEXTS.items()
        for extras in re.findall(r"perflab\[([a-z,]+)\]", text)
        for extra in extras.split(",")
    ),
)
def test_an_extra_exists(page: str, extra: str) -> None:
    assert extra in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("page", TEXTS)
def test_no_block_is_in_a_language_that_nobody_tries(page: str) -> None:
    assert {block.language for block in BLOCKS[page]} <= LANGUAGES


def test_every_fence_of_a_page_is_found() -> None:
    for name, text in TEXTS.items():
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(BLOCKS[name]), name


def test_a_block_that_fails_and_one_that_prints_something_else_are_found(tmp_path: Path) -> None:
    good = "```python\nx = 6 * 7\nprint(x)\n```\n\n```text\n42\n```\n"
    assert run_python(blocks_of(good), tmp_path) == []
    (difference,) = run_python(blocks_of(good.replace("42", "43")), tmp_path)
    assert "43" in difference
    (failure,) = run_python(blocks_of(good + "\n```python\nprint(missing)\n```\n"), tmp_path)
    assert "NameError" in failure


def test_a_block_with_a_title_is_a_file_for_the_others(tmp_path: Path) -> None:
    file = '```python title="app/jobs.py"\nANSWER = 42\n```\n'
    use = "```python\nfrom app.jobs import ANSWER\nprint(ANSWER)\n```\n\n```text\n42\n```\n"
    assert run_python(blocks_of(file + use), tmp_path) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("perflab sweeps", "No such command"),
        ("perflab sweep --batches 1,10", "No such option"),
        ("PERFLAB_DATABASE_URL=sqlite:///lab.db perflab db doctor a b", "unexpected extra argument"),
        ("perflab report 02 --engine oracle | cat", "not one of"),
        ('psql "$(perflab db location)"', "No such command"),
        ("true && echo 'a;b|c' | perflab sweeps", "No such command"),
    ],
)
def test_a_command_that_is_no_longer_there_is_found(line: str, reason: str) -> None:
    (arguments,) = perflab_calls(line)
    with pytest.raises(NotUnderstood, match=reason):
        parse(arguments)
