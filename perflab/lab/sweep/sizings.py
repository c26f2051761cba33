"""The sizing policies that a sweep can measure, by name."""

from __future__ import annotations

from typing import Literal

from perflab.batching.sizing.aimd import AimdSizing
from perflab.batching.sizing.choice import SizingChoice
from perflab.batching.sizing.cost_model import CostModelSizing

SizingName = Literal["fixed", "adaptive", "ski rental", "AIMD"]


def sizing_named(name: SizingName, latency_target: float) -> SizingChoice:
    """What a batcher takes as its `sizing`; the target is in seconds."""
    match name:
        case "fixed":
            return "fixed"
        case "adaptive":
            return CostModelSizing(latency_target=latency_target)
        case "ski rental":
            return CostModelSizing(latency_target=latency_target, wait="ski-rental")
        case "AIMD":
            return AimdSizing(latency_target=latency_target)
