"""What the readings of a machine mean for a measurement."""

from __future__ import annotations

from collections.abc import Iterator

from perflab.database.doctor.diagnosis import Check, Verdict
from perflab.database.doctor.machine import duration, size
from perflab.lab.fitness.readings import Readings
from perflab.lab.noise import LARGEST_LOAD, LARGEST_VARIATION
from perflab.lab.quantities import format_percent

FEWEST_CORES = 2
"""One for what sends, one for what it sends to: with fewer they wait for each other."""
LARGEST_STEAL = 0.01
LARGEST_CLOCK_STEP = 1e-6
LEAST_MEMORY_BYTES = 512 << 20
LEAST_DISK_BYTES = 1 << 30
FULL_DISK_BYTES = 64 << 20
IN_MEMORY = ("tmpfs", "ramfs")


def judge_machine(readings: Readings) -> Iterator[Check]:
    """A check for each thing that decides what figures of this machine are worth."""
    yield _cores(readings)
    yield _noise(readings)
    yield _steal(readings)
    yield _governor(readings)
    yield _clock(readings)
    yield _memory(readings)
    yield _scratch(readings)


def _cores(readings: Readings) -> Check:
    cores = readings.usable_cores if readings.quota_cores is None else min(readings.usable_cores, readings.quota_cores)
    values = {"usable_cores": readings.usable_cores, "quota_cores": readings.quota_cores}
    finding = f"{readings.usable_cores} cores"
    if readings.quota_cores is not None:
        finding += f", of which a quota allows {readings.quota_cores:g}"
    if cores < FEWEST_CORES:
        advice = f"give it {FEWEST_CORES}: here the program and the server take turns"
        return Check("cores", Verdict.WARNING, finding, advice, values)
    if readings.quota_cores is not None and readings.quota_cores < readings.usable_cores:
        advice = (
            "pin whole cores (docker run --cpuset-cpus) instead: a quota that is used up stops everything for a while"
        )
        return Check("cores", Verdict.NOTE, finding, advice, values)
    return Check("cores", Verdict.OK, finding, values=values)


def _noise(readings: Readings) -> Check:
    noise = readings.noise
    values = {
        "variation": noise.variation,
        "load_per_core": noise.load_per_core,
        "loop_seconds": noise.typical_seconds,
        "readings": noise.readings,
    }
    load = "" if noise.load_per_core is None else f", load {noise.load_per_core:.2f} per core"
    finding = f"a loop of {duration(noise.typical_seconds)} varied by {format_percent(noise.variation)}{load}"
    if noise.quiet:
        return Check("quiet", Verdict.OK, finding, values=values)
    bounds = f"quiet is below {LARGEST_VARIATION:.0%} and {LARGEST_LOAD:g}"
    return Check(
        "quiet", Verdict.WARNING, f"{finding} ({bounds})", "end what else runs, or measure more blocks", values
    )


def _steal(readings: Readings) -> Check:
    if readings.steal_share is None:
        advice = "compare only what was measured in turns, as bench and sweep do"
        return Check("neighbours", Verdict.NOTE, "the system does not say what a hypervisor takes", advice)
    finding = f"a hypervisor took {format_percent(readings.steal_share)} of the processor's time for others"
    values = {"steal_share": readings.steal_share}
    if readings.steal_share > LARGEST_STEAL:
        return Check(
            "neighbours", Verdict.WARNING, finding, "measure at another time or on a machine of its own", values
        )
    return Check("neighbours", Verdict.OK, finding, values=values)


def _governor(readings: Readings) -> Check:
    values = {"governor": readings.governor}
    if readings.governor is None:
        return Check("frequency", Verdict.OK, "nothing here changes the processor's frequency", values=values)
    finding = f"the governor of the processor's frequency is {readings.governor}"
    if readings.governor == "performance":
        return Check("frequency", Verdict.OK, finding, values=values)
    return Check("frequency", Verdict.NOTE, finding, "steadier: sudo cpupower frequency-set -g performance", values)


def _clock(readings: Readings) -> Check:
    values = {"clock_step_seconds": readings.clock_step_seconds}
    finding = f"the clock goes by {readings.clock_step_seconds * 1e9:g} ns"
    if readings.clock_step_seconds > LARGEST_CLOCK_STEP:
        return Check("clock", Verdict.WARNING, finding, "measure elsewhere: single writes are not much longer", values)
    return Check("clock", Verdict.OK, finding, values=values)


def _memory(readings: Readings) -> Check:
    available = readings.memory_available_bytes
    values = {"available_bytes": available}
    if available is None:
        advice = f"see to it yourself that {size(LEAST_MEMORY_BYTES)} are"
        return Check("memory", Verdict.NOTE, "the system does not say how much is free", advice, values)
    finding = f"{size(available)} are available"
    if available < LEAST_MEMORY_BYTES:
        return Check("memory", Verdict.WARNING, finding, "end what holds it: what swaps is not measured", values)
    return Check("memory", Verdict.OK, finding, values=values)


def _scratch(readings: Readings) -> Check:
    kind = readings.scratch_file_system
    finding = f"{size(readings.scratch_free_bytes)} are free where databases are made" + (
        f", on {kind}" if kind else ""
    )
    values = {"free_bytes": readings.scratch_free_bytes, "file_system": kind}
    if not readings.scratch_writable:
        return Check(
            "scratch", Verdict.FAILURE, f"{readings.scratch} cannot be written", "name another: TMPDIR", values
        )
    if readings.scratch_free_bytes < FULL_DISK_BYTES:
        return Check("scratch", Verdict.FAILURE, finding, "make room, or name another folder: TMPDIR", values)
    if readings.scratch_free_bytes < LEAST_DISK_BYTES:
        return Check("scratch", Verdict.WARNING, finding, "make room, or name another folder: TMPDIR", values)
    if kind in IN_MEMORY:
        advice = "commits cost nothing in memory: set TMPDIR to a folder on the disk that you ask about"
        return Check("scratch", Verdict.WARNING, finding, advice, values)
    return Check("scratch", Verdict.OK, finding, values=values)
