"""Policies to test, and what a test tells them."""

from __future__ import annotations

from random import Random

from perflab.batching.limits import Limits
from perflab.batching.sizing.aimd import AimdSizing
from perflab.batching.sizing.choice import SizingChoice, start_sizing
from perflab.batching.sizing.cost_model import CostModelSizing
from perflab.batching.sizing.fixed import FixedSizing
from perflab.batching.sizing.policy import Lesson, Observation, SizingPolicy

ALL: tuple[SizingChoice, ...] = (
    FixedSizing(),
    "adaptive",
    CostModelSizing(wait="ski-rental"),
    CostModelSizing(latency_target=0.002, wait="interval"),
    AimdSizing(),
    AimdSizing(latency_target=0.001, wait="ski-rental", increase=7, decrease=0.5),
)


def start(choice: SizingChoice, *, batch_size: int = 500, flush_interval: float = 0.010, seed: int = 1) -> SizingPolicy:
    limits = Limits(batch_size, flush_interval, None, 1_000_000)
    return start_sizing(choice, limits, Random(seed).random)


def cost(items: int, seconds: float) -> Observation:
    return Observation(items, 0, seconds, Lesson.COST)


def too_much(items: int) -> Observation:
    return Observation(items, 0, 1.0, Lesson.TOO_MUCH)


def nothing(items: int, seconds: float) -> Observation:
    return Observation(items, 0, seconds, Lesson.NOTHING)
