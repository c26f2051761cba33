"""A proxy in a process of its own, so that it does not share the interpreter lock with what is being measured."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from perflab.errors import LabError, LifecycleError, PerflabError
from perflab.lab.network.address import Address, TcpAddress, UnixAddress, check_listen, check_upstream
from perflab.lab.network.link import Link
from perflab.lab.network.measured import AddedRoundTrip, Lateness
from perflab.lab.network.probe import Probe
from perflab.lab.network.proxy import ANY_PORT, Proxy

STOP_SECONDS = 20.0


class ProxyProcess:
    """A `Proxy` without faults, in a child process. A context manager.

    The child measures what it adds as `Proxy` does. It ends with this process, whatever ends that.

    Args:
        upstream: The server.
        link: What is added to each connection.
        listen: As for `Proxy`.
        probe: As for `Proxy`, except that it always measures.

    Raises:
        InvalidInput: an address or a setting was refused; nothing was started.
    """

    def __init__(
        self, upstream: Address, *, link: Link, listen: Address = ANY_PORT, probe: Probe | None = None
    ) -> None:
        self._order = {
            "upstream": _encode_address(check_upstream(upstream)),
            "listen": _encode_address(check_listen(listen)),
            "link": dataclasses.asdict(link),
            "probe": dataclasses.asdict(probe or Probe()),
        }
        self._process: subprocess.Popen[str] | None = None
        self._address: Address | None = None
        self._added: AddedRoundTrip | None = None

    def __enter__(self) -> Self:
        if self._process is not None:
            raise LifecycleError("this proxy was started before: make another one")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "perflab.lab.network"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        try:
            answer = self._ask(self._order)
        except BaseException:
            self._stop()
            raise
        self._address = _decode_address(answer["address"])
        self._added = AddedRoundTrip(**answer["added"])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    @property
    def address(self) -> Address:
        """Where clients connect."""
        if self._address is None:
            raise LifecycleError("the proxy has no address yet: use it as a context manager")
        return self._address

    @property
    def added(self) -> AddedRoundTrip:
        """What it was measured to add, at the start."""
        if self._added is None:
            raise LifecycleError("the proxy has measured nothing yet: use it as a context manager")
        return self._added

    @property
    def measured_round_trip_seconds(self) -> float:
        """The median of `added`."""
        return self.added.median_seconds

    def lateness(self) -> Lateness:
        """How late deliveries have been since the start, against their due times.

        Raises:
            LabError: the process has ended.
        """
        return Lateness(**self._ask({"report": "lateness"})["lateness"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise LifecycleError("the proxy does not run: use it as a context manager")
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):  # the pipe is broken, or closed
            line = ""
        if not line:
            raise LabError("the process of the proxy has ended: start another one")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LabError(answer["error"])
        return answer

    def _stop(self) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            process.stdin.close()  # the child reads until here
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def serve(questions: TextIO, answers: TextIO) -> None:
    """The child's side: the first line is the order, others ask for figures, and the end of the input ends it."""

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    order = json.loads(questions.readline())
    try:
        with Proxy(
            _decode_address(order["upstream"]),
            link=Link(**order["link"]),
            listen=_decode_address(order["listen"]),
            probe=Probe(**order["probe"]),
        ) as proxy:
            answer({"address": _encode_address(proxy.address), "added": dataclasses.asdict(proxy.added)})
            for _ in questions:
                answer({"lateness": dataclasses.asdict(proxy.lateness())})
    except PerflabError as error:
        answer({"error": str(error)})


def _encode_address(address: Address) -> dict[str, Any]:
    if isinstance(address, UnixAddress):
        return {"path": str(address.path.absolute())}
    return {"host": address.host, "port": address.port}


def _decode_address(encoded: dict[str, Any]) -> Address:
    return UnixAddress(Path(encoded["path"])) if "path" in encoded else TcpAddress(**encoded)
