"""Servers that are disturbed under traffic: work goes on, and nothing is lost. `make recovery` measures how soon."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from perflab.database.embedded import EmbeddedServer
from tests.faults.disturbances import DISTURBANCES
from tests.faults.recovery import visit

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A durable one, which this may stop."""
    with (
        tempfile.TemporaryDirectory(prefix="perflab-postgres-") as directory,
        EmbeddedServer.start(directory) as started,
    ):
        yield started


@pytest.mark.case("F09", "F10", "F11", "F15", "F20")
@pytest.mark.parametrize("name", DISTURBANCES)
def test_nothing_is_lost_and_it_goes_on(name: str, server: EmbeddedServer) -> None:
    scene, recovery = visit(name, server)
    assert (recovery.conservation.lost, recovery.conservation.unexpected) == (0, 0)
    assert recovery.conservation.acknowledged == recovery.conservation.submitted
    assert recovery.retries > 0 or not scene.interrupts, "the fault was felt"
