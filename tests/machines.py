"""State machines of hypothesis: the real thing and a model of it go through the same steps, and must stay the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

EmptyDatabase = Callable[[], str]
"""The URL of a database with perflab's tables and nothing in them."""


def run_machine(machine: Callable[[EmptyDatabase], RuleBasedStateMachine], empty_database: EmptyDatabase) -> None:
    """50 runs of up to 40 steps, the same everywhere; `make soak-models` has thousands, and others each time."""
    make: Any = partial(machine, empty_database)
    runs = settings.default.max_examples // 2 if settings.default else 50
    run_state_machine_as_test(make, settings=settings(max_examples=runs, stateful_step_count=40))
