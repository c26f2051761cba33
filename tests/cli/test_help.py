"""What `--help` shows works: each command has examples, they parse, and the shell completes from the same source."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from perflab.cli import main
from perflab.cli.app import app
from tests.docs.blocks import NotUnderstood, parse, perflab_calls

HEADING = "Examples:"


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All commands that do something, and the root, by what one types after `perflab`."""
    inner = getattr(command, "commands", {})
    if command.epilog or not inner:
        yield " ".join(path), command
    for name, each in inner.items():
        yield from commands(each, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def examples_of(command: Any) -> list[str]:
    """The lines under the heading in its help."""
    _before, heading, after = (command.epilog or "").partition(HEADING)
    return [line.strip() for line in after.splitlines() if line.strip()] if heading else []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_shows_examples_of_itself_and_each_is_understood(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = examples_of(COMMANDS[name])
    assert lines, "add epilog=examples(…)"
    calls = [arguments for line in lines for arguments in perflab_calls(line)]
    assert any(arguments[: len(name.split())] == name.split() for arguments in calls), lines
    for arguments in calls:
        parse(arguments)
    assert main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert [line for line in lines if line not in shown] == []


def test_an_example_with_an_option_that_is_gone_is_found() -> None:
    (arguments,) = perflab_calls("perflab sweep --batches 1,10   # a comment")
    with pytest.raises(NotUnderstood, match="No such option"):
        parse(arguments)


def completed(shell: str, **typed: str) -> str:
    """What the shell's own script would be answered."""
    return subprocess.run(
        [sys.executable, "-m", "perflab"],
        env={**os.environ, "_PERFLAB_COMPLETE": f"complete_{shell}", **typed},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def test_the_shell_completes_commands_and_options() -> None:
    assert completed("bash", COMP_WORDS="perflab das", COMP_CWORD="1").split() == ["dashboard"]
    assert "--batch-sizes" in completed("zsh", _TYPER_COMPLETE_ARGS="perflab sweep --batch-")
    assert "postgresql" in completed(
        "fish", _TYPER_COMPLETE_ARGS="perflab sweep --engine ", _TYPER_COMPLETE_FISH_ACTION="get-args"
    )


def test_completion_is_installed_for_the_shell_that_is_named(tmp_path: Path) -> None:
    """Typer asks which shell runs it; a variable of its own stands in for that here."""
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "perflab", "--install-completion", "bash"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert "_PERFLAB_COMPLETE=complete_bash" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
