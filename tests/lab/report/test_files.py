from __future__ import annotations

from pathlib import Path

import pytest

from perflab.errors import InvalidInput, LabError
from perflab.lab.report.files import ReportFiles, prepare_files, write_whole


def test_the_directory_is_made(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    files = prepare_files(directory, "02-quick")
    assert files == ReportFiles(html=directory / "02-quick.html", notebook=directory / "02-quick.ipynb")
    assert list(directory.iterdir()) == []


def test_an_older_report_may_be_there_and_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "r.html").write_text("old")
    files = prepare_files(tmp_path, "r")
    assert files.html.read_text() == "old"
    write_whole(files.html, "new é \ud800")
    assert files.html.read_text(encoding="utf-8") == "new é \\ud800"
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.case("F44")
@pytest.mark.parametrize("target", ["../outside.html", "/outside/of/it.html"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, target: str) -> None:
    directory = tmp_path / "reports"
    directory.mkdir()
    (directory / "r.html").symlink_to(target)
    with pytest.raises(InvalidInput, match="remove that link"):
        prepare_files(directory, "r")


def test_a_link_within_the_directory_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "first.html").write_text("first")
    (tmp_path / "latest.html").symlink_to("first.html")
    files = prepare_files(tmp_path, "latest")
    write_whole(files.html, "second")
    assert (tmp_path / "first.html").read_text() == "first"
    assert not files.html.is_symlink()


def test_a_linked_directory_is_the_choice_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "reports").symlink_to("big")
    write_whole(prepare_files(tmp_path / "reports", "r").html, "text")
    assert (tmp_path / "big" / "r.html").read_text() == "text"


@pytest.mark.case("F44")
@pytest.mark.parametrize("stem", ["nul\0", "n" * 300, "../escape", "/etc/passwd"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, stem: str) -> None:
    directory = tmp_path / "reports"
    with pytest.raises(InvalidInput, match=r"no report can be written|outside"):
        prepare_files(directory, stem)
    assert not (tmp_path / "escape.html").exists()


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.html").symlink_to("r.html")
    with pytest.raises(InvalidInput, match="no report can be written"):
        prepare_files(tmp_path, "r")


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")
    with pytest.raises(InvalidInput, match="no report can be written"):
        prepare_files(tmp_path / "reports", "r")


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.ipynb").mkdir()
    with pytest.raises(InvalidInput, match="is a directory"):
        prepare_files(tmp_path, "r")


def test_a_failed_write_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(LabError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
