"""Which fault is in force on which connection, and the record of those that took effect. Moves no bytes itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from perflab.errors import InvalidInput
from perflab.lab.network.postgres_framing import Message
from perflab.lab.network.side import Side
from perflab.lab.network.triggers import Trigger, Watch


class Mode(StrEnum):
    """What a proxy does to bytes as they arrive at it. Those it has let onto a delayed line still arrive."""

    PASS = "pass"  # noqa: S105  # not a password
    """Forwards."""
    STALL = "stall"
    """Forwards nothing, and closes nothing: the network has gone silent. What was withheld passes when it is over."""
    RESET = "reset"
    """Breaks the connection towards both sides (RST on TCP); bytes on their way are lost."""
    CUT = "cut"
    """Closes the connection in good order towards both sides, behind all that was forwarded."""
    DROP_REPLY = "drop reply"
    """Forwards what the client sends and swallows what the server sends: the client waits for ever."""
    LOSE_REPLY = "lose reply"
    """Does so until the answer is complete, and then closes: the server has done it, the client cannot know. Complete
    is when a meter for PostgreSQL sees the last ReadyForQuery, or a CopyInResponse, behind which it is the client's
    turn; without a meter, at the first bytes."""
    REFUSE = "refuse"
    """Refuses new connections; those that exist go on."""


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """A mode that was switched on, or came in force by a trigger."""

    mode: Mode
    trigger: Trigger | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """The first effect of a fault on a connection.

    Attributes:
        mode: What was done.
        connection: Its number, from 1 in the order of acceptance; 0 for `REFUSE`, which lets none come about.
        trigger: What started it, or None when it was switched on.
    """

    mode: Mode
    connection: int
    trigger: Trigger | None


class _Armed:
    """A trigger that waits, with its progress on each connection."""

    def __init__(self, fault: Fault, trigger: Trigger) -> None:
        self.fault = fault
        self.trigger = trigger
        self._watches: dict[int, Watch] = {}

    def position(self, connection: int, by: Side, data: bytes, messages: Sequence[Message]) -> int | None:
        if by is not self.trigger.by:
            return None
        if connection not in self._watches:
            self._watches[connection] = self.trigger.watch()
        return self._watches[connection].position(data, messages)


class Faults:
    """The switch of a proxy. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._everywhere = Fault(Mode.PASS)
        self._triggered: dict[int, Fault] = {}
        self._armed: list[_Armed] = []
        self._firings: list[Firing] = []
        self._recorded: set[tuple[Fault, int]] = set()

    # -- for the one who injects ---------------------------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        return self._everywhere.mode

    @property
    def armed(self) -> tuple[Trigger, ...]:
        """Triggers that have not been met."""
        with self._changed:
            return tuple(armed.trigger for armed in self._armed)

    @property
    def fired(self) -> tuple[Firing, ...]:
        with self._changed:
            return tuple(self._firings)

    def switch(self, mode: Mode) -> None:
        """Put a mode in force on all connections. Ends faults that triggers started; armed triggers stay."""
        check_mode(mode)
        with self._changed:
            self._everywhere = Fault(mode)
            self._triggered.clear()
            self._changed.notify_all()

    def arm(self, mode: Mode, when: Trigger) -> None:
        """Put a mode in force, once, on the first connection on which `when` comes true."""
        if check_mode(mode) in (Mode.PASS, Mode.REFUSE):
            raise InvalidInput(f"mode is {str(mode)!r}: it cannot begin inside a connection; switch to it instead")
        with self._changed:
            self._armed.append(_Armed(Fault(mode, when), when))

    def wait_fired(self, timeout_seconds: float, count: int) -> bool:
        """Whether `count` faults have taken effect, or do within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._firings) >= count, timeout_seconds)

    # -- for a connection ----------------------------------------------------------------------------------------------

    def meet(self, connection: int, by: Side, data: bytes, messages: Sequence[Message]) -> tuple[Fault, int] | None:
        """The armed fault that begins first in the next bytes of one side, and where. It is armed no more.

        While a connection is under a triggered fault, no other trigger is watched on it.
        """
        if not self._armed:  # nearly always; one that is armed at this very moment meets the next bytes
            return None
        with self._changed:
            if connection in self._triggered:
                return None
            met = [
                (position, armed)
                for armed in self._armed
                if (position := armed.position(connection, by, data, messages)) is not None
            ]
            if not met:
                return None
            position, first = min(met, key=lambda found: found[0])
            self._armed.remove(first)
            return first.fault, position

    def impose(self, connection: int, fault: Fault) -> None:
        """Put a fault in force on one connection."""
        with self._changed:
            self._triggered[connection] = fault
            self._changed.notify_all()

    def in_force(self, connection: int) -> Fault:
        with self._changed:
            return self._triggered.get(connection, self._everywhere)

    def wait_while_stalled(self, connection: int, is_over: Callable[[], bool]) -> Fault:
        """Return what is in force, but not before it is something else than `STALL`, or the connection is over."""
        with self._changed:
            while (fault := self._triggered.get(connection, self._everywhere)).mode is Mode.STALL and not is_over():
                self._record(fault, connection)
                self._changed.wait()
            return fault

    def record(self, fault: Fault, connection: int) -> None:
        """Note that a fault takes effect on a connection; only the first time counts."""
        with self._changed:
            self._record(fault, connection)

    def wake(self) -> None:
        """Let `wait_while_stalled` ask its `is_over` again."""
        with self._changed:
            self._changed.notify_all()

    def _record(self, fault: Fault, connection: int) -> None:
        if (fault, connection) not in self._recorded:
            self._recorded.add((fault, connection))
            self._firings.append(Firing(fault.mode, connection, fault.trigger))
            self._changed.notify_all()


def check_mode(mode: Mode) -> Mode:
    """Refuse what is no mode; an untyped caller may give any text."""
    if not isinstance(mode, Mode):
        raise InvalidInput(f"mode is {mode!r}: use one of Mode, {', '.join(Mode.__members__)}")
    return mode
