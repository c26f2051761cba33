"""Keeping a number of worker processes alive."""

from __future__ import annotations

import logging
import math
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from perflab.batching.retry import longest_wait
from perflab.database.values import check_integer, check_number
from perflab.queue.stop_signals import stop_signals
from perflab.queue.wakeup import LONGEST_WAIT_SECONDS

logger = logging.getLogger(__name__)

MOST_PROCESSES = 1_000
EXIT_REFUSED = 2
"""With it a process says that it was asked for what cannot be: another one would say the same."""
KILL_GRACE_SECONDS = 10.0
"""Beyond the drain, for the last acknowledgements and the end of the interpreter."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """After its n-th crash in a row a process is started again in min(cap, base · 2^(n - 1)) seconds.

    One that has lived for `steady_seconds` starts counting from the beginning.
    """

    base_seconds: float = 0.5
    cap_seconds: float = 30.0
    steady_seconds: float = 60.0

    def delay_seconds(self, crashes: int) -> float:
        return longest_wait(crashes, self.base_seconds, self.cap_seconds)


@dataclass(slots=True)
class _Place:
    """Where one process runs after the other."""

    number: int
    crashes: int = 0
    """In a row."""
    started: float = 0.0
    due: float | None = 0.0
    """When to start the next one; None while one runs, or if none shall."""


class Supervisor:
    """Starts the same command several times, and starts anew what ends without having been told to.

    Each process gets a pipe as its standard input, which ends when this process does, however that is: it is to drain
    then. Processes have a group of their own, so that a Ctrl-C comes through the supervisor, and once.

    Args:
        command: of one process. It stops at SIGTERM, and at once at a second one. Exit code 0 means that it has done
            what it was for, unless `restart_ended`; `EXIT_REFUSED` that it was asked for the impossible, and ends all.
        processes: how many.
        environment: of them.
        drain_timeout: seconds that they take to stop; then, and ten seconds later, they are killed.
        restart_ended: start anew also what ended with 0.
        policy: when.
        monotonic: seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        environment: Mapping[str, str],
        drain_timeout: float = 30.0,
        restart_ended: bool = True,
        policy: RestartPolicy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = list(command)
        check_integer(processes, "processes", low=1, high=MOST_PROCESSES)
        self._environment = dict(environment)
        self._drain_timeout = check_number(drain_timeout, "drain_timeout", high=86_400.0)
        self._restart_ended = restart_ended
        self._policy = policy or RestartPolicy()
        self._monotonic = monotonic
        self._places = [_Place(number) for number in range(processes)]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        """By the number of its place."""
        self._stops = 0
        self._kill_at: float | None = None
        self._exit_code = 0
        # SimpleQueue is reentrant, so that a signal handler may put something into it.
        self._news: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        """The number of a place whose process has ended, or None for a call to stop."""

    def stop(self) -> None:
        """Have the processes drain; a second call has them give everything back at once."""
        self._stops += 1
        self._news.put(None)

    def run(self) -> int:
        """Supervise until `stop()`, SIGTERM or SIGINT, or until all have ended of themselves. Runs once.

        Returns:
            0; `EXIT_REFUSED` if a process said so; 1 if one had to be killed.
        """
        try:
            with stop_signals(self.stop):
                self._supervise()
        finally:
            for process in self._running.values():
                process.kill()
        return self._exit_code

    def _supervise(self) -> None:
        while True:
            now = self._monotonic()
            if self._kill_at is not None and now >= self._kill_at:
                self._kill()
            if not self._stops:
                self._start_due(now)
            moments = [] if self._stops else [place.due for place in self._places if place.due is not None]
            if not self._running and not moments:
                return
            if self._kill_at is not None:
                moments.append(self._kill_at)
            self._hear(min(moments, default=math.inf) - now)

    def _hear(self, seconds: float) -> None:
        """Wait for a process that ends, or a call to stop."""
        try:
            # Not longer, because not every signal wakes the main thread.
            number = self._news.get(timeout=min(max(0.0, seconds), LONGEST_WAIT_SECONDS))
        except queue.Empty:
            return
        if number is None:
            self._tell_to_stop()
        else:
            self._has_ended(self._places[number])

    def _start_due(self, now: float) -> None:
        for place in self._places:
            if place.due is None or place.due > now:
                continue
            process = subprocess.Popen(  # noqa: S603  # whoever makes a supervisor says what it runs
                self._command, stdin=subprocess.PIPE, env=self._environment, process_group=0
            )
            self._running[place.number] = process
            place.started, place.due = now, None
            logger.info("worker process %d started: pid %d", place.number + 1, process.pid)
            threading.Thread(target=self._watch, args=(place.number, process), daemon=True).start()

    def _watch(self, number: int, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._news.put(number)

    def _has_ended(self, place: _Place) -> None:
        process = self._running.pop(place.number)
        assert process.stdin is not None
        process.stdin.close()
        code = process.returncode
        if self._stops or (code == 0 and not self._restart_ended):
            return
        if code == EXIT_REFUSED:
            self._exit_code = EXIT_REFUSED
            self.stop()
            return
        now = self._monotonic()
        place.crashes = 1 if now - place.started >= self._policy.steady_seconds else place.crashes + 1
        delay = self._policy.delay_seconds(place.crashes)
        place.due = now + delay
        logger.warning(
            "worker process %d (pid %d) ended with %s: the next one starts in %.1f s",
            place.number + 1,
            process.pid,
            f"signal {-code}" if code < 0 else f"exit code {code}",
            delay,
        )

    def _tell_to_stop(self) -> None:
        if self._kill_at is None:
            self._kill_at = self._monotonic() + self._drain_timeout + KILL_GRACE_SECONDS
        for process in self._running.values():
            process.terminate()

    def _kill(self) -> None:
        self._kill_at = None
        self._exit_code = self._exit_code or 1
        for number, process in self._running.items():
            logger.error("worker process %d has not stopped in time and is killed: its leases run out", number + 1)
            process.kill()
