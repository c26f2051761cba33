"""A rule: which quantity, beyond which value, for how long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.monitoring.change import Window
from perflab.monitoring.signals.catalogue import SIGNALS, Signal
from perflab.monitoring.signals.readings import Values

LONGEST_SECONDS = 86_400.0
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Severity(StrEnum):
    INFO = "info"
    """To be seen when somebody looks."""
    WARNING = "warning"
    """To be done today."""
    CRITICAL = "critical"
    """To be done now."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Fires when a signal has been beyond a limit for a while, and ends when it is well within it again.

    Exactly one of `above` and `below` is the limit.

    Raises:
        InvalidInput: a value is out of its range, or two of them contradict each other.
    """

    name: str
    """Lower-case letters, digits and "_"."""
    signal: str
    """One of `SIGNALS`."""
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    """What the signal has to come back to before the alert ends (hysteresis); None: the limit itself."""
    for_seconds: float = 0.0
    """How long it has to be beyond the limit, up to a day."""
    keep_seconds: float = 0.0
    """How long it has to be back, or unknown, before the alert ends."""
    window_seconds: float = 300.0
    """What counts, shares and quantiles are taken over: 1 second to a day."""
    at_least: int | None = None
    """Batches, attempts, keys or ticks in the window without which a share or quantile says nothing; None: 1."""
    severity: Severity = Severity.WARNING
    summary: str = ""
    """What it means and what to do, in a sentence."""

    def __post_init__(self) -> None:
        where = f"the rule {self.name!r}"
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidInput(
                f"a rule is named {self.name!r}: use lower-case letters, digits and _, such as queue_old"
            )
        if self.signal not in SIGNALS:
            raise InvalidInput(f"{where} watches {self.signal!r}: choose one of {', '.join(sorted(SIGNALS))}")
        if (self.above is None) is (self.below is None):
            raise InvalidInput(f"{where} needs exactly one limit: give `above` or `below`")
        for name in ("above", "below", "clear"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), f"{name} of {where}", low=float("-inf"))
        if self.clear is not None and self._is_beyond(self.clear):
            raise InvalidInput(
                f"{where} ends at {self.clear:g}, which is still beyond its limit of {self.limit:g}: "
                f"give a `clear` {'below' if self.above is not None else 'above'} the limit"
            )
        check_number(self.for_seconds, f"`for` of {where}", high=LONGEST_SECONDS)
        check_number(self.keep_seconds, f"`keep` of {where}", high=LONGEST_SECONDS)
        check_number(self.window_seconds, f"`window` of {where}", low=1.0, high=LONGEST_SECONDS)
        if self.at_least is not None:
            check_integer(self.at_least, f"`at_least` of {where}", low=1)
            if self.watched.evidence is None:
                raise InvalidInput(f"{where} has `at_least`, but {self.signal} is no share or quantile: leave it out")
        if not isinstance(self.severity, Severity):
            raise InvalidInput(f"the severity of {where} is {self.severity!r}: choose {', '.join(Severity)}")

    @property
    def watched(self) -> Signal:
        return SIGNALS[self.signal]

    @property
    def limit(self) -> float:
        limit = self.above if self.above is not None else self.below
        assert limit is not None
        return limit

    def measure(self, window: Window) -> Values:
        """The signal by labels, where there is enough evidence."""
        signal = self.watched
        values = signal.reading.measure(window, signal.by)
        if signal.evidence is None:
            return values
        evidence = signal.evidence.measure(window, signal.by)
        return {labels: value for labels, value in values.items() if evidence.get(labels, 0.0) >= (self.at_least or 1)}

    def is_broken(self, value: float, *, has_fired: bool) -> bool:
        """Whether a value is beyond the limit; once the alert has fired, whether it has not come back to `clear`."""
        if has_fired and self.clear is not None:
            return value > self.clear if self.above is not None else value < self.clear
        return self._is_beyond(value)

    def condition(self) -> str:
        """In words: "flush_p99_seconds above 0.5 s"."""
        side = "above" if self.above is not None else "below"
        unit = f" {self.watched.unit}" if self.watched.unit else ""
        return f"{self.signal} {side} {self.limit:g}{unit}"

    def _is_beyond(self, value: float) -> bool:
        return value > self.limit if self.above is not None else value < self.limit
