from __future__ import annotations

import subprocess
import sys
from typing import NoReturn

import pytest

from perflab.cli import main
from perflab.errors import InvalidInput
from perflab.version import __version__


def replace_report(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(name: str, *, folder: object) -> NoReturn:
        raise error

    monkeypatch.setattr("perflab.cli.report.find_notebook", fail)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"perflab {__version__}\n"


def test_help_names_the_commands_and_imports_no_library() -> None:
    script = (
        "import sys\n"
        "from perflab.cli import main\n"
        "assert main(['--help']) == 0\n"
        "print(sorted({'papermill', 'nbconvert', 'pandas', 'matplotlib', 'sqlalchemy', 'rich'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "report" in run.stdout
    assert run.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reprot"]) == 2
    assert "reprot" in capsys.readouterr().err


@pytest.mark.case("F22")
def test_what_perflab_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    replace_report(monkeypatch, InvalidInput("first line\nsecond line"))
    assert main(["report", "02"]) == 2
    assert capsys.readouterr() == ("", "perflab: first line second line\n")


def test_an_interruption_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    replace_report(monkeypatch, KeyboardInterrupt())
    assert main(["report", "02"]) == 130
    assert capsys.readouterr() == ("", "")


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_report(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["report", "02"])


@pytest.mark.parametrize("package", ["typer", "papermill"])
def test_a_missing_package_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    if package == "typer":
        monkeypatch.setitem(sys.modules, "typer", None)
        monkeypatch.delitem(sys.modules, "perflab.cli.app", raising=False)
        monkeypatch.delitem(sys.modules, "perflab.cli.report", raising=False)
    else:
        replace_report(
            monkeypatch, ModuleNotFoundError("No module named 'papermill.execute'", name="papermill.execute")
        )
    assert main(["report", "02"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert package in line
    assert "pip install 'perflab[lab]'" in line


def test_a_missing_module_of_ours_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_report(monkeypatch, ModuleNotFoundError("No module named 'perflab.x'", name="perflab.x"))
    with pytest.raises(ModuleNotFoundError):
        main(["report", "02"])
