"""Numbers as people read them at a glance: three digits and a unit."""

from __future__ import annotations

import math

NOTHING = "\N{EN DASH}"
"""In place of a figure that is not known."""
_THIN = "\N{NARROW NO-BREAK SPACE}"
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def number(value: float | None) -> str:
    """`1,234`, `98.8 k`, `0.25`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) < 10_000:
        return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"
    step, name = next(step for step in _STEPS if abs(value) >= step[0])
    return f"{value / step:.4g}{_THIN}{name}" if abs(value) < 1e12 else f"{value:.2e}"


def seconds(value: float | None) -> str:
    """`4.2 ms`, `3.5 s`, `2.1 h`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value <= 0:
        return f"0{_THIN}s"
    step, name = next((step for step in _TIMES if value >= step[0]), _TIMES[-1])
    return f"{value / step:.3g}{_THIN}{name}"


def share(value: float | None) -> str:
    """`97.2 %`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value * 100:.1f}{_THIN}%"
