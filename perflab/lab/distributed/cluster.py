"""The workers of a Dask scheduler, and the machines that they are on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from perflab.errors import InvalidInput, LabError, MissingExtra
from perflab.lab.distributed.clocks import SAME_CLOCK, ClockOffset, check_clock, check_drift, estimate_offset
from perflab.version import __version__

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with workers.

    Attributes:
        identity: Of this start of its kernel.
        workers: Addresses of its workers, sorted.
        is_this: Whether this process runs on it, too.
        title: For people: its number. Host names are no business of reports.
    """

    identity: str
    workers: tuple[str, ...]
    is_this: bool
    title: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Workers that can be ordered.

    Attributes:
        client: Of Dask.
        machines: Sorted, so that their order is the same each time.
    """

    client: Client
    machines: tuple[Machine, ...]

    @property
    def workers(self) -> tuple[str, ...]:
        """One of each machine in turn, so that a few of them are on as many machines as there are."""
        longest = max(len(machine.workers) for machine in self.machines)
        return tuple(
            machine.workers[position]
            for position in range(longest)
            for machine in self.machines
            if position < len(machine.workers)
        )

    def machine_of(self, worker: str) -> Machine:
        return next(machine for machine in self.machines if worker in machine.workers)

    def check_reach(self, engine: str, url: str | None) -> None:
        """Refuse a database that another machine could not reach.

        Raises:
            InvalidInput: there are other machines, and the database is a file or a server of this one.
        """
        if all(machine.is_this for machine in self.machines):
            return
        if engine == "sqlite" or url is None or url.startswith("postgresql+embedded"):
            raise InvalidInput(
                "the workers are on other machines, which cannot reach a database of this one: add --engine postgresql "
                "and the --url of a server that all of them can reach"
            )

    def clock_offsets(self) -> Mapping[str, ClockOffset]:
        """Of each machine by its title; machines with this one's kernel have this one's clock.

        Raises:
            LabError: a clock is too far off.
        """
        offsets = {}
        for machine in self.machines:
            offset = SAME_CLOCK if machine.is_this else estimate_offset(partial(self.read_clock, machine))
            check_clock(offset, machine.title)
            offsets[machine.title] = offset
        return offsets

    def read_clock(self, machine: Machine) -> float:
        """What the clock of a machine says now."""
        worker = machine.workers[0]
        return float(self.client.run(time.time, workers=[worker])[worker])

    def check_clocks_again(self, before: Mapping[str, ClockOffset]) -> None:
        """Raises LabError where a clock was set since."""
        for title, after in self.clock_offsets().items():
            check_drift(before[title], after, title)


@contextmanager
def open_cluster(address: str) -> Iterator[Cluster]:
    """The workers of a scheduler, for the length of the block.

    Args:
        address: `tcp://host:8786`.

    Raises:
        MissingExtra: Dask's scheduler is not installed.
        InvalidInput: there is no scheduler at the address, or it has no workers.
        LabError: a worker has another version of perflab.
    """
    try:
        from distributed import Client  # noqa: PLC0415  # of an extra
    except ModuleNotFoundError as error:
        raise MissingExtra(f"--scheduler needs the package {error.name}: pip install 'perflab[distributed]'") from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS)  # type: ignore[no-untyped-call]  # as Dask has it
    except (OSError, ValueError, TimeoutError) as error:
        raise InvalidInput(
            f"no Dask scheduler answers at {address!r}: start one with `dask scheduler`, and give tcp://host:port"
        ) from error
    with client:
        yield Cluster(client, find_machines(client))


def find_machines(client: Client) -> tuple[Machine, ...]:
    """Group the workers of a scheduler by machine.

    Raises:
        InvalidInput: there are none.
        LabError: one has another version of perflab.
    """
    told = client.run(describe_worker)
    if not told:
        raise InvalidInput("the Dask scheduler has no workers: start some with `dask worker tcp://host:port`")
    for worker, (_, version) in told.items():
        if version != __version__:
            raise LabError(f"the worker {worker} has perflab {version}, and here is {__version__}: install the same")
    here, _ = describe_worker()
    machines: dict[str, list[str]] = {}
    for worker, (identity, _) in told.items():
        machines.setdefault(identity, []).append(worker)
    return tuple(
        Machine(identity, tuple(sorted(workers)), identity == here, f"machine {number}")
        for number, (identity, workers) in enumerate(sorted(machines.items(), key=lambda item: min(item[1])), start=1)
    )


def describe_worker() -> tuple[str, str]:
    """What identifies the machine of a worker, and its version of perflab."""
    try:
        # of this start of the kernel: containers of one machine, which share its clock and its cores, have it in common
        identity = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        identity = f"{platform.node()}/{os.name}"
    return identity, __version__
