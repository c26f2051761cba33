"""The supervisor over real processes, which are small programs of these tests."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.queue.supervisor import EXIT_REFUSED, RestartPolicy, Supervisor
from tests.processes import A_MINUTE, runs, wait_for

AT_ONCE = RestartPolicy(base_seconds=0.0)

# Each process writes down its pid, and at each SIGTERM its name; it ends at the first one, or at the second if told so.
OBEDIENT = """
import os, pathlib, signal, sys
place, signals_wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2])
got = []
def hear(number, frame):
    got.append(number)
    with open(place / "signals", "a") as file:
        file.write(f"{os.getpid()}\\n")
    if len(got) >= signals_wanted:
        os._exit(0)
signal.signal(signal.SIGTERM, hear)
(place / f"{os.getpid()}.pid").touch()
while True:
    signal.pause()
"""
UNTIL_END_OF_INPUT = """
import os, pathlib, sys
(pathlib.Path(sys.argv[1]) / f"{os.getpid()}.pid").touch()
while os.read(0, 1):
    pass
"""


def pids(place: Path) -> list[int]:
    return [int(file.stem) for file in place.glob("*.pid")]


def has_started(place: Path, processes: int) -> bool:
    return len(pids(place)) == processes


def make(program: str, *arguments: object, processes: int = 1, **options: Any) -> Supervisor:
    command = [sys.executable, "-S", "-c", program, *map(str, arguments)]
    return Supervisor(command, processes, environment=dict(os.environ), **{"policy": AT_ONCE, **options})


@contextmanager
def running(supervisor: Supervisor) -> Iterator[list[int]]:
    """In a thread; the list holds its exit code once the block has ended."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
    thread.start()
    try:
        yield codes
    finally:
        supervisor.stop()
        thread.join(A_MINUTE)
        assert codes, "the supervisor did not return"


def test_as_many_processes_run_as_asked_for_and_all_are_told_to_stop(tmp_path: Path) -> None:
    with running(make(OBEDIENT, tmp_path, 1, processes=3)) as codes:
        wait_for(lambda: len(pids(tmp_path)) == 3)
    assert codes == [0]
    assert not any(map(runs, pids(tmp_path)))
    assert len((tmp_path / "signals").read_text().split()) == 3


@pytest.mark.case("F01")
def test_a_killed_process_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(make(OBEDIENT, tmp_path, 1, processes=2)):
        wait_for(lambda: len(pids(tmp_path)) == 2)
        for killed in range(3):
            os.kill(max(filter(runs, pids(tmp_path))), signal.SIGKILL)
            wait_for(partial(has_started, tmp_path, killed + 3))
        wait_for(lambda: sum(map(runs, pids(tmp_path))) == 2)
    assert caplog.text.count("ended with signal 9") == 3


def test_a_second_stop_reaches_the_processes(tmp_path: Path) -> None:
    supervisor = make(OBEDIENT, tmp_path, 2)
    with running(supervisor) as codes:
        wait_for(lambda: len(pids(tmp_path)) == 1)
        supervisor.stop()
        wait_for((tmp_path / "signals").exists)
        assert runs(pids(tmp_path)[0])
    assert codes == [0]


def test_a_process_that_does_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("perflab.queue.supervisor.KILL_GRACE_SECONDS", 0.05)
    with running(make(OBEDIENT, tmp_path, 1_000, drain_timeout=0.0)) as codes:
        wait_for(lambda: len(pids(tmp_path)) == 1)
    assert codes == [1]
    assert not runs(pids(tmp_path)[0])
    assert "has not stopped in time" in caplog.text


def test_what_is_refused_is_not_tried_again_and_ends_the_others(tmp_path: Path) -> None:
    refused = f"""
import os, pathlib, sys, time
if list(pathlib.Path(sys.argv[1]).glob("*.pid")):
    sys.exit({EXIT_REFUSED})
{OBEDIENT}
"""
    with running(make(OBEDIENT, tmp_path, 1)):
        wait_for(lambda: len(pids(tmp_path)) == 1)
        assert make(refused, tmp_path, 1, processes=2).run() == EXIT_REFUSED


@pytest.mark.parametrize(("restart_ended", "least"), [(True, 3), (False, 2)])
def test_what_has_done_its_work_is_started_again_if_asked_for(
    tmp_path: Path, *, restart_ended: bool, least: int
) -> None:
    note = "import os, pathlib, sys; (pathlib.Path(sys.argv[1]) / f'{os.getpid()}.pid').touch()"
    supervisor = make(note, tmp_path, processes=2, restart_ended=restart_ended)
    with running(supervisor) as codes:
        wait_for(lambda: len(pids(tmp_path)) >= least)
        if not restart_ended:
            wait_for(lambda: codes)
    assert codes == [0]
    assert restart_ended or len(pids(tmp_path)) == 2


def test_when_the_supervisor_is_killed_its_processes_hear_of_it(
    tmp_path: Path, start_python: Callable[..., Any]
) -> None:
    program = """
    import os, sys
    from perflab.queue.supervisor import Supervisor
    Supervisor([sys.executable, "-S", "-c", sys.argv[1], sys.argv[2]], 2, environment=dict(os.environ)).run()
    """
    supervisor = start_python(program, UNTIL_END_OF_INPUT, tmp_path)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    supervisor.kill()
    supervisor.wait(A_MINUTE)
    wait_for(lambda: not any(map(runs, pids(tmp_path))))


def test_restarts_come_later_and_later_until_one_lasts() -> None:
    policy = RestartPolicy(base_seconds=0.5, cap_seconds=3.0)
    assert [policy.delay_seconds(crashes) for crashes in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_crashes_in_a_row_are_counted_until_a_process_has_lasted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that jumps by a minute at the third start: its crash counts as the first again."""
    starts = iter([0.0, 0.0, 0.0, 60.0])
    crashes: list[int] = []

    class Policy(RestartPolicy):
        def delay_seconds(self, crashes_in_a_row: int) -> float:
            crashes.append(crashes_in_a_row)
            if len(crashes) == 4:
                supervisor.stop()
            return 0.0

    now = [0.0]

    def clock() -> float:
        return now[0]

    supervisor = make("raise SystemExit(3)", policy=Policy(), monotonic=clock)
    has_ended = supervisor._has_ended

    def after(*arguments: Any) -> None:
        now[0] += next(starts)
        has_ended(*arguments)

    monkeypatch.setattr(supervisor, "_has_ended", after)
    assert supervisor.run() == 0
    assert crashes == [1, 2, 3, 1]
    assert caplog.text.count("exit code 3") == 4


@pytest.mark.parametrize("wrong", [{"processes": 0}, {"processes": True}, {"drain_timeout": -1}], ids=str)
def test_a_bad_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Supervisor(["x"], wrong.pop("processes", 1), environment={}, **wrong)
