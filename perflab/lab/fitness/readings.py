"""What the machine says of itself."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from perflab.lab.noise import Noise, read_noise, summarise_noise
from perflab.lab.sweep.environment import file_system_of

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
CPU_TIMES = Path("/proc/stat")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
MEMORY = Path("/proc/meminfo")
STEAL = 7
"""The place of the time that a hypervisor gave to others, in the first line of /proc/stat; see proc_stat(5)."""


@dataclass(frozen=True, slots=True)
class Readings:
    """A machine at one moment. None is what the system does not say.

    Attributes:
        usable_cores: Cores that this process may run on.
        quota_cores: What a container's quota allows of them; None for no quota.
        noise: Of a fixed loop, with the load.
        steal_share: Of the processor's time during the loops, what a hypervisor gave to other machines.
        governor: Of the processor's frequency.
        memory_available_bytes: What can be had without swapping.
        scratch: The folder in which databases are made.
        scratch_writable: Whether files can be made there.
        scratch_free_bytes: Left on its file system.
        scratch_file_system: The type of it, such as "ext4".
        clock_step_seconds: The smallest step of the clock that measures.
    """

    usable_cores: int
    quota_cores: float | None
    noise: Noise
    steal_share: float | None
    governor: str | None
    memory_available_bytes: int | None
    scratch: Path
    scratch_writable: bool
    scratch_free_bytes: int
    scratch_file_system: str | None
    clock_step_seconds: float


def read_machine(scratch: Path, *, loops: int = 40, clock: Callable[[], float] = time.perf_counter) -> Readings:
    """Look at the machine; `loops` of them take some two to three milliseconds each.

    Raises:
        InvalidInput: there are no loops.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    before = parse_cpu_times(_text(CPU_TIMES))
    noise = summarise_noise([read_noise(clock) for _ in range(loops)], cores=cores)
    after = parse_cpu_times(_text(CPU_TIMES))
    return Readings(
        usable_cores=cores,
        quota_cores=parse_quota(_text(CGROUP_QUOTA)),
        noise=noise,
        steal_share=steal_between(before, after),
        governor=_text(GOVERNOR).strip() or None,
        memory_available_bytes=parse_available_memory(_text(MEMORY)),
        scratch=scratch,
        scratch_writable=os.access(scratch, os.W_OK | os.X_OK),
        scratch_free_bytes=shutil.disk_usage(scratch).free,
        scratch_file_system=file_system_of(scratch),
        clock_step_seconds=time.get_clock_info("perf_counter").resolution,
    )


def parse_quota(text: str) -> float | None:
    """Cores that a `cpu.max` of cgroups allows, which holds a quota and a period in microseconds; None for no limit."""
    quota, _space, period = text.strip().partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def parse_cpu_times(text: str) -> list[int]:
    """The times of all cores together in /proc/stat, in ticks; empty where there are none."""
    first = next(iter(text.splitlines()), "").split()
    return [int(each) for each in first[1:]] if first[:1] == ["cpu"] else []


def steal_between(before: list[int], after: list[int]) -> float | None:
    """The share of time that was stolen between two readings; None where that is not told."""
    if len(before) <= STEAL or len(after) <= STEAL:
        return None
    passed = sum(after[: STEAL + 1]) - sum(before[: STEAL + 1])  # what follows is contained in the first
    return (after[STEAL] - before[STEAL]) / passed if passed > 0 else None


def parse_available_memory(text: str) -> int | None:
    """`MemAvailable` of /proc/meminfo, as bytes."""
    for line in text.splitlines():
        name, _colon, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1_024
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
