"""The generators of a load on the workers of a Dask scheduler, one on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from perflab.errors import InvalidInput, LabError, PerflabError
from perflab.lab.distributed.cluster import Cluster
from perflab.lab.load.generator import Generator, Progress, SelfCheck
from perflab.lab.load.observed import Observed
from perflab.lab.load.plan import Share


class DistributedGenerators:
    """A `Generators` of `perflab.lab.load.run`; its generators are actors, each in a process of its own.

    Args:
        cluster: With as many workers as there are shares, or more.
        shares: What each generator sends.

    Raises:
        InvalidInput: there are fewer workers than shares.
        LabError: a clock is too far off.
    """

    def __init__(self, cluster: Cluster, shares: Sequence[Share]) -> None:
        workers = cluster.workers[: len(shares)]
        if len(workers) < len(shares):
            raise InvalidInput(
                f"{len(shares)} generators need as many Dask workers, and there are {len(workers)}: "
                "start more of them, or use fewer generators"
            )
        self._cluster = cluster
        self._offsets = cluster.clock_offsets()
        self._ahead = [self._offsets[cluster.machine_of(worker).title].seconds for worker in workers]
        self._generators = [
            cluster.client.submit(Generator, share, workers=[worker], actor=True, pure=False, allow_other_workers=False)
            for worker, share in zip(workers, shares, strict=True)
        ]
        self._actors = results([future.result for future in self._generators])

    @property
    def clocks(self) -> tuple[str, ...]:
        """One line for each machine."""
        return tuple(
            f"{machine.title}: {len(machine.workers)} workers, {self._offsets[machine.title]}"
            for machine in self._cluster.machines
        )

    def check(self) -> list[SelfCheck]:
        """Have all of them send to nothing, at the same time, and then make their items."""
        checks = self._all([actor.check() for actor in self._actors])
        self._all([actor.prepare() for actor in self._actors])
        return checks

    def run(self, start_at: float, heard: Callable[[list[Progress]], None]) -> list[Observed]:
        """Have all of them begin at one moment, each by its own clock."""
        heard([])
        starts = zip(self._actors, self._ahead, strict=True)
        observed = self._all([actor.run(start_at + ahead) for actor, ahead in starts])
        self._cluster.check_clocks_again(self._offsets)
        return observed

    def _all(self, pending: Sequence[Any]) -> list[Any]:
        return results([one.result for one in pending])


def generators_on(cluster: Cluster) -> Callable[[Sequence[Share], ExitStack], DistributedGenerators]:
    """What `run_load` opens its generators with."""
    return lambda shares, _stack: DistributedGenerators(cluster, shares)


def results(waits: Sequence[Callable[[], Any]]) -> list[Any]:
    """Wait for all of them.

    Raises:
        PerflabError: what one of them raised; a LabError where a worker was lost.
    """
    try:
        return [wait() for wait in waits]
    except PerflabError:
        raise
    except Exception as error:
        raise LabError(
            f"a Dask worker could not go on: {type(error).__name__}: {error}. There are no figures; run it again"
        ) from error
