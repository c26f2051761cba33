"""Noticing that flushes cost something else than they did."""

from __future__ import annotations

CLIP = 3.0
"""Standard deviations at which one residual is cut, so that no single flush raises the alarm."""
SLACK = 0.5
"""Standard deviations by which the mean may be off without adding up: half of the shift that is to be found fastest."""
LIMIT = 10.0
"""Sum, in standard deviations, that raises the alarm."""


class RegimeTest:
    """Cumulative sums of standardised residuals in both directions.

    Source: E. S. Page, "Continuous Inspection Schemes", Biometrika 41, 1954. With S the sum of z - 0.5 over residuals z
    of one sign, never below zero, an alarm is raised when S exceeds 10. Where z is standard normal, because nothing
    changes, Siegmund's approximation (*Sequential Analysis*, 1985, section 2.6) puts a false alarm at one in 70,000
    flushes. A change by three standard deviations or more is found by the fifth flush, and by none before.
    """

    def __init__(self) -> None:
        self._above = 0.0
        self._below = 0.0

    def add(self, residual: float) -> bool:
        """Add one residual, in standard deviations. True raises the alarm, and begins anew."""
        cut = max(-CLIP, min(CLIP, residual))
        self._above = max(0.0, self._above + cut - SLACK)
        self._below = max(0.0, self._below - cut - SLACK)
        changed = max(self._above, self._below) > LIMIT
        if changed:
            self._above = self._below = 0.0
        return changed
