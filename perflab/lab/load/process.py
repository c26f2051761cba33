"""A process of the load's own, which does what it is told and says what came of it.

Orders and answers go through a pipe, the URL with its password among them, so that it stands in no list of processes.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from perflab.errors import LabError, PerflabError

JOIN_SECONDS = 30.0


class LoadProcess:
    """The side that orders. A context manager; the process ends with it.

    Args:
        name: For messages.
        make: Makes, in the process, what takes the orders. A function of a module, as all that goes through pipes.
        arguments: Of it.
    """

    def __init__(self, name: str, make: Callable[..., Any], *arguments: Any) -> None:
        self._name = name
        self._target = (make, arguments)

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")  # a fork would share the parent's threads and connections
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._target), daemon=True, name=self._name)
        self._process.start()
        theirs.close()  # so that its end is noticed
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pipe.close()
        if error is not None:
            self._process.terminate()
        self._process.join(JOIN_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def order(self, method: str, *arguments: Any) -> None:
        """Have it call a method of what it made.

        Raises:
            LabError: the process has ended.
        """
        try:
            self.pipe.send((method, arguments))
        except OSError as error:
            raise self._gone() from error

    def receive(self) -> tuple[str, Any]:
        """What it says next: the kind of it, and what."""
        try:
            received: tuple[str, Any] = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        return received

    def _gone(self) -> LabError:
        self._process.join(JOIN_SECONDS)
        return LabError(
            f"{self._name} has ended in the middle of the load, with exit code {self._process.exitcode}: "
            "there are no figures; run it again"
        )


def answers(processes: Sequence[LoadProcess], heard: Callable[[int, Any], None] | None = None) -> list[Any]:
    """Wait for the answers of several, and hear what they tell meanwhile: their position, and what.

    Raises:
        PerflabError: the first error of them; a LabError if a process has ended.
    """
    results: list[Any] = [None] * len(processes)
    waiting = {process.pipe: position for position, process in enumerate(processes)}
    while waiting:
        for pipe in wait(list(waiting)):
            position = waiting[pipe]  # type: ignore[index]  # these are connections
            kind, value = processes[position].receive()
            if kind == "error":
                raise value
            if kind == "answer":
                results[position] = value
                del waiting[pipe]  # type: ignore[arg-type]  # the same
            elif heard is not None:
                heard(position, value)
    return results


def _serve(pipe: Connection, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """The side of the process: orders until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's

    def tell(news: Any) -> None:
        pipe.send(("news", news))

    try:
        served = make(*arguments)
        while True:
            method, values = pipe.recv()
            pipe.send(("answer", getattr(served, method)(*values, tell)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody asks any more
    except PerflabError as error:
        pipe.send(("error", LabError(f"{multiprocessing.current_process().name}: {error}")))
    except BaseException as error:
        pipe.send(("error", LabError(f"{multiprocessing.current_process().name}: {type(error).__name__}: {error}")))
        raise
