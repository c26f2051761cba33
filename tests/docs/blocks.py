"""The code blocks of the documentation, and how they are tried."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

import typer

from perflab.cli.app import app

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
SHELLS = {"console", "bash", "sh"}
COMPLETION = {"--install-completion", "--show-completion"}
BETWEEN = "----- what the next block prints -----"
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        language: As the fence states it; "" if it does not.
        title: Of a Python block: the file that it is the content of; None: it is run.
        code: What it holds.
        output: Of a Python block: what it prints, by the `text` block that follows at once; None if none does.
    """

    language: str
    title: str | None
    code: str
    output: str | None = None


def blocks_of(text: str) -> list[Block]:
    """All fenced blocks of a page, in their order; one without a language is prose to us."""
    found = list(FENCE.finditer(text))
    blocks = []
    for number, match in enumerate(found):
        after = found[number + 1] if number + 1 < len(found) else None
        follows = after is not None and not text[match.end() : after.start()].strip() and after["language"] == "text"
        title = TITLE.search(match["options"])
        output = after["code"] if follows and after is not None else None
        blocks.append(Block(match["language"], title and title[1], match["code"], output))
    return blocks


def run_python(blocks: list[Block], folder: Path) -> list[str]:
    """Run the Python blocks of a page as one program in a folder; the differences to what they are said to print.

    A block with a title is a file that others import.
    """
    python = [block for block in blocks if block.language == "python"]
    for block in python:
        if block.title is not None:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
    run = [block for block in python if block.title is None]
    if not run:
        return []
    program = f"\nprint({BETWEEN!r})\n".join(block.code for block in run)
    (folder / "page.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "page.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        return [done.stderr]
    printed = done.stdout.split(BETWEEN + "\n")
    checker = doctest.OutputChecker()
    return [
        f"{block.code}\nprints\n{output}\nand not\n{block.output}"
        for block, output in zip(run, printed, strict=True)
        if block.output is not None and not checker.check_output(block.output, output, LIKE)
    ]


def shell_lines(blocks: list[Block]) -> list[str]:
    """The commands of shell blocks, without their prompts; lines that end in a backslash are joined."""
    text = "".join(block.code for block in blocks if block.language in SHELLS).replace("\\\n", " ")
    return [line.removeprefix("$ ").strip() for line in text.splitlines() if line.strip()]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a shell line: between pipes, `&&` and `;` that are not quoted."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|;&")
    words.whitespace_split = True
    for operator, command in groupby(words, key=lambda word: bool(re.fullmatch(r"[|;&]+", word))):
        if not operator:
            yield list(command)


def perflab_calls(line: str) -> list[list[str]]:
    """The arguments of each call of `perflab` in a shell line, inside of `$(…)` too."""
    inner = re.findall(r"\$\((perflab [^)]*)\)", line)
    outer = re.sub(r"\$\([^)]*\)", "VALUE", line)
    calls = []
    for words in [*(shlex.split(command) for command in inner), *simple_commands(outer)]:
        while words and re.fullmatch(r"\w+=.*|export|sudo", words[0]):
            words.pop(0)
        if words and words[0] == "perflab":
            calls.append(list(takewhile(lambda word: not re.match(r"\d?>|&", word), words[1:])))
    return calls


class NotUnderstood(Exception):
    """A command that the command line would refuse."""


def parse(arguments: list[str]) -> None:
    """Parse a call by the real command line, and run nothing: an option that acts while it is parsed is only known.

    Raises:
        NotUnderstood: there is no such command, option or argument, or it does not take that value.
    """
    command: Any = typer.main.get_command(app)
    context, name = None, "perflab"
    if arguments and arguments[0] in COMPLETION and arguments[0] in {each for p in command.params for each in p.opts}:
        return
    try:
        while True:
            context = command.make_context(name, list(arguments), parent=context)
            arguments = [*context._protected_args, *context.args]
            if not arguments or not hasattr(command, "resolve_command"):
                return
            name, command, arguments = command.resolve_command(context, arguments)
    except typer.Exit:  # --version, --help
        return
    except Exception as error:
        if not hasattr(error, "format_message"):  # of Click, which Typer has brought as a module of its own
            raise
        raise NotUnderstood(error.format_message()) from None
