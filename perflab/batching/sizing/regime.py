"""Noticing that flushes cost something else than they did."""

from __future__ import annotations

CLIP = 3.0
"""Standard deviations at which one residual is cut, so that no single flush raises the alarm."""
SLACK = 1.0
"""Standard deviations by which the mean may be off without adding up: half of the shift that is to be found fastest.
Smaller shifts are left to forgetting; a fit is easily off by a fraction of one."""
LIMIT = 8.0
"""Sum, in standard deviations, that raises the alarm."""


class RegimeTest:
    """Cumulative sums of standardised residuals in both directions.

    Source: E. S. Page, "Continuous Inspection Schemes", Biometrika 41, 1954. With S the sum of z - 1, never below
    zero, for residuals z and another one for -z, an alarm is raised when S exceeds 8. Where z is standard normal as
    nothing changes, Siegmund's approximation (*Sequential Analysis*, 1985, section 2.6) puts a false alarm at one in
    20 million flushes, and at one in 19,000 where the fit is off by half a standard deviation. A change by three
    standard deviations or more is found by the fifth flush at the latest.
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
