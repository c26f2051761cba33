"""What fails again and again is said once, and once more when it is over."""

from __future__ import annotations

from logging import Logger


class Outage:
    """Whether something that is tried now and then fails.

    Args:
        logger: is told when that changes.
        over: what is said when it works again.
    """

    def __init__(self, logger: Logger, over: str) -> None:
        self._logger = logger
        self._over = over
        self._lasts = False

    def goes_on(self, message: str, *arguments: object) -> None:
        """It failed; the message is logged if it is the first time."""
        if not self._lasts:
            self._logger.warning(message, *arguments)
        self._lasts = True

    def is_over(self) -> None:
        """It worked."""
        if self._lasts:
            self._logger.warning(self._over)
        self._lasts = False
