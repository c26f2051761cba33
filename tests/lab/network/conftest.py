"""A check that nothing stays open, and the two kinds of address a proxy knows."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from perflab.lab.network.address import Address, TcpAddress, UnixAddress

NewAddress: TypeAlias = Callable[[], Address]


@pytest.fixture
def nothing_left_open() -> Iterator[None]:
    """Asserts, after the test, that it left no thread and no file descriptor."""
    threads, descriptors = set(threading.enumerate()), set(Path("/dev/fd").iterdir())
    yield
    assert set(threading.enumerate()) <= threads
    assert set(Path("/dev/fd").iterdir()) <= descriptors


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private directory with a name short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="perflab-") as name:
        yield Path(name)


@pytest.fixture(params=["tcp", "unix"])
def new_address(request: pytest.FixtureRequest, folder: Path) -> NewAddress:
    """Makes addresses to listen at, all of one kind."""
    if request.param == "tcp":
        return TcpAddress
    names = iter(range(1_000))
    return lambda: UnixAddress(folder / f"socket.{next(names)}")
