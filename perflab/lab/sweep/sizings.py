"""The sizing policies that a sweep can measure, by name."""

from __future__ import annotations

from typing import Literal

from perflab.batching.sizing.aimd import AimdSizing
from perflab.batching.sizing.choice import SizingChoice
from perflab.batching.sizing.cost_model import CostModelSizing

SizingName = Literal["fixed", "adaptive", "ski rental", "AIMD"]


def sizing_named(name: SizingName, latency_target: float) -> SizingChoice:
    """What a batcher takes as its `sizing`; the target is in seconds."""
    if name == "adaptive":
        return CostModelSizing(latency_target=latency_target)
    if name == "ski rental":
        return CostModelSizing(latency_target=latency_target, wait="ski-rental")
    return AimdSizing(latency_target=latency_target) if name == "AIMD" else "fixed"
