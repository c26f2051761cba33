"""What is declared before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perflab.database.pools import Durability
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.lab.sweep.plan import Engine
from perflab.lab.sweep.profiles import Profile
from perflab.monitoring.alerts.rule import AlertRule
from perflab.monitoring.alerts.rule_files import default_rules

WATCHED = "flushes_slow"
"""The rule that is to tell of the disturbance."""
WINDOW_LOOKS, FOR_LOOKS = 4, 2


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """One service that is disturbed again and again: calm, then for each episode as long disturbed and calm again.

    Raises:
        InvalidInput: a value is out of its range.
    """

    engine: Engine
    episodes: int
    look_seconds: float
    """From one look at the metrics to the next."""
    phase_looks: int
    """Looks in each calm and each disturbed time: more than what the alert needs to begin and to end."""
    items_per_second: int = 500
    hold_seconds: float = 0.08
    """For so long a transaction of somebody else holds the table, again and again, while it is disturbed."""
    durability: Durability = "normal"

    def __post_init__(self) -> None:
        if self.engine not in ("sqlite", "postgresql"):
            raise InvalidInput(f"engine is {self.engine!r}: use one of 'sqlite', 'postgresql'")
        check_integer(self.episodes, "episodes", low=2, high=1_000)
        check_integer(self.phase_looks, "phase_looks", low=WINDOW_LOOKS + FOR_LOOKS + 2, high=10_000)
        check_integer(self.items_per_second, "items_per_second", low=10, high=100_000)
        check_number(self.look_seconds, "look_seconds", low=0.25, high=60.0)
        check_number(self.hold_seconds, "hold_seconds", low=0.01, high=2.0)

    @property
    def looks(self) -> int:
        return self.phase_looks * (2 * self.episodes + 1)

    @property
    def items(self) -> int:
        return round(self.looks * self.look_seconds * self.items_per_second)

    @property
    def limit_seconds(self) -> float:
        """Of the p99 of flushes."""
        return self.hold_seconds / 2

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        """The default ones; the one that is watched has the limit and the times of the plan."""
        return tuple(
            replace(
                rule,
                above=self.limit_seconds,
                clear=self.limit_seconds * 0.8,
                window_seconds=WINDOW_LOOKS * self.look_seconds,
                for_seconds=FOR_LOOKS * self.look_seconds,
                at_least=1,
            )
            if rule.name == WATCHED
            else rule
            for rule in default_rules()
        )

    def is_disturbed(self, look: int) -> bool:
        return look // self.phase_looks % 2 == 1


def alert_plan(profile: Profile, *, engine: Engine, durability: Durability = "normal") -> AlertPlan:
    """The plan of a profile: 10 seconds as smoke, a minute and a half as quick, ten minutes as full."""
    episodes, look_seconds, phase_looks = {"smoke": (2, 0.25, 8), "quick": (6, 0.5, 14), "full": (15, 1.0, 20)}[profile]
    return AlertPlan(engine, episodes, look_seconds, phase_looks, durability=durability)
