"""A process with one `Worker`, which drains a queue when it is told to.

It is spoken to in lines of JSON: an order, which it answers when its database is open, and then a word to begin, which
it answers when the queue is empty. The end of the input ends it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TextIO

from perflab.database.database import Database
from perflab.database.pools import Durability
from perflab.errors import LabError, PerflabError
from perflab.queue.job import Job
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker


class WorkerProcess:
    """The side that measures. A context manager; the process ends with it.

    Args:
        url: of the database. It goes through a pipe, and not into the list of processes.
        queue: to drain.
        handler_seconds: that the handler sleeps; 0: it does nothing.
        durability: of commits.
    """

    def __init__(self, url: str, queue: str, handler_seconds: float, durability: Durability) -> None:
        self._order = {"url": url, "queue": queue, "handler_seconds": handler_seconds, "durability": durability}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603  # a module of ours
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._tell(self._order)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate()

    def wait_until_ready(self) -> None:
        """Until its database is open."""
        self._answer()

    def begin(self) -> None:
        """Have it drain the queue."""
        self._tell("begin")

    def wait_until_empty(self) -> dict[str, int]:
        """Until it finds no job any more.

        Returns:
            The fields of its `WorkerReport`, with `seen`, how often its handler ran, and `checksum`, the sum of the
            numbers that it saw.
        """
        report: dict[str, int] = self._answer()
        return report

    def _tell(self, what: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LabError("a worker process has ended before it was told what to do") from error

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LabError(f"a worker process has ended without an answer, with exit code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"a worker process could not go on: {answer['error']}")
        return answer


class _Handler:
    """Sees each job's number. The threads of a worker share it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._numbers: list[int] = []  # appending is atomic

    def __call__(self, job: Job) -> None:
        if self._seconds:
            time.sleep(self._seconds)
        self._numbers.append(job.payload["number"])

    def seen(self) -> dict[str, int]:
        return {"seen": len(self._numbers), "checksum": sum(self._numbers)}


def serve(questions: TextIO, answers: TextIO) -> None:
    """The side of the process."""

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    order = json.loads(questions.readline())
    try:
        with Database.open(order["url"], durability=order["durability"]) as database:
            handler = _Handler(order["handler_seconds"])
            worker = Worker(PriorityQueue(database, order["queue"]), handler)
            answer({"ready": True})
            if questions.readline():
                answer({**asdict(worker.run(until_empty=True)), **handler.seen()})
    except PerflabError as error:
        answer({"error": str(error)})


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    serve(sys.stdin, sys.stdout)
