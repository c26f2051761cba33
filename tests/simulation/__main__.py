"""`make simulate SEED=1 HOURS=2`: simulate hours of faults, say what happened, and what went wrong."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from random import SystemRandom

from perflab.database.database import Database
from tests.simulation.simulation import Simulated, simulate


def main(arguments: list[str]) -> int:
    seed = int(arguments[0]) if arguments and arguments[0] else SystemRandom().randrange(10**9)
    hours = float(arguments[1]) if arguments[1:] else 2.0
    print(f"seed {seed}", flush=True)
    started = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="perflab-simulation-") as directory,
        Database.open(f"sqlite:///{Path(directory) / 'simulated.db'}") as database,
    ):
        database.create_schema()
        simulated = simulate(seed, hours, database)
    return report(simulated, hours, time.perf_counter() - started)


def report(simulated: Simulated, hours: float, seconds: float) -> int:
    print(f"{hours:g} h of faults in {seconds:.1f} s: {simulated.jobs} jobs, {simulated.deliveries} deliveries")
    for fault, times in sorted(simulated.faults.items()):
        print(f"  {times:6} {fault}")
    if simulated.findings or simulated.left:
        print(f"WRONG: {simulated.left} jobs were never done; {simulated.findings}")
        return 1
    print("nothing was lost, duplicated, stale or unexpected, and all was done once the faults had stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
