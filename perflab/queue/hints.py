"""What a handler raises to say what shall become of its job."""

from __future__ import annotations

from perflab.database.values import check_number

LONGEST_RETRY_SECONDS = 366 * 86_400.0


class Retry(Exception):
    """The job comes again in `after` seconds, instead of after the queue's back-off; dead after its last attempt.

    Args:
        reason: kept as the job's error.
        after: seconds, up to a year.

    Raises:
        InvalidInput: `after` is out of its range.
    """

    def __init__(self, reason: str = "", *, after: float) -> None:
        super().__init__(reason)
        self.after_seconds = check_number(after, "after", high=LONGEST_RETRY_SECONDS)


class Discard(Exception):
    """The job is dead at once, whatever attempts it has left: trying again would not help. Its text is kept as the
    job's error.
    """
