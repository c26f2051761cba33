"""What the looks say: how soon the alert began and ended, whether others fired, and where the level changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from perflab.lab.alert_delay.plan import AlertPlan
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.sweep.environment import Environment
from perflab.monitoring.change import Change
from perflab.monitoring.history.trend import Trend, trends
from perflab.monitoring.signals.catalogue import SIGNALS


class AlertFindings:
    """Tables made of the looks.

    Attributes:
        plan: What was done.
        environment: On what.
        looks: One row for each look: look, measured_at, seconds (since the start), is_disturbed, items_per_second,
            flush_p99_seconds (of the flushes since the look before), is_firing, others_firing (names).
    """

    def __init__(
        self, plan: AlertPlan, looks: Sequence[Mapping[str, Any]], changes: Sequence[Change], environment: Environment
    ) -> None:
        self.plan = plan
        self.environment = environment
        self.looks = pd.DataFrame(looks)
        self._changes = changes

    @property
    def visits(self) -> pd.DataFrame:
        """The looks, by the name that provenance asks for."""
        return self.looks

    @cached_property
    def delays(self) -> pd.DataFrame:
        """One row for each episode: episode, began_after_seconds and ended_after_seconds.

        From the beginning of the disturbance to the first look at which the alert fires, and from its end to the first
        at which it does not; missing where that did not come before the next change.
        """
        rows, length = [], self.plan.phase_looks
        for episode in range(self.plan.episodes):
            first = (2 * episode + 1) * length
            disturbed = self.looks["is_firing"].iloc[first : first + length].tolist()
            calm = self.looks["is_firing"].iloc[first + length : first + 2 * length].tolist()
            began = disturbed.index(True) if True in disturbed else None
            ended = calm.index(False) if began is not None and False in calm else None
            rows.append(
                {
                    "episode": episode + 1,
                    "began_after_seconds": None if began is None else (began + 1) * self.plan.look_seconds,
                    "ended_after_seconds": None if ended is None else (ended + 1) * self.plan.look_seconds,
                }
            )
        return pd.DataFrame(rows).astype(float)

    @property
    def told(self) -> int:
        """Episodes in which the alert fired."""
        return int(self.delays["began_after_seconds"].notna().sum())

    @property
    def false_looks(self) -> int:
        """Looks at which it fired before the first disturbance."""
        return int(self.looks["is_firing"].iloc[: self.plan.phase_looks].sum())

    @property
    def others(self) -> list[str]:
        """Other rules that fired at any look."""
        return sorted({name for names in self.looks["others_firing"] for name in names.split(", ") if name})

    def delay(self, column: str) -> Estimate | None:
        """The geometric mean over the episodes that have one, and its interval; None with fewer than two."""
        known = self.delays[column].dropna()
        return geometric_mean_interval(known.to_numpy(float)) if len(known) > 1 else None

    @cached_property
    def trend(self) -> Trend | None:
        """The p99 of flushes from look to look, with its change points."""
        return next(iter(trends(self._changes, [SIGNALS["flush_p99_seconds"]])), None)

    def headline(self) -> dict[str, float | int]:
        found: dict[str, float | int] = {"episodes": self.plan.episodes, "told": self.told, "others": len(self.others)}
        for name, column in (("began_after", "began_after_seconds"), ("ended_after", "ended_after_seconds")):
            if (estimate := self.delay(column)) is not None:
                found[f"{name}_seconds"] = estimate.value
        return found
