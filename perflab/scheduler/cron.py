"""The slots of a cron expression in a time zone.

Expressions have the five fields of Debian's cron, with its rules for the days on which clocks change: a job at a fixed
time of day runs once a day, at the end of the gap if its time is skipped and the first time around if its time comes
twice. A job with a wildcard minute or hour runs by elapsed time. Source: cron(8) of Debian, "Notes", as the cronsim
package implements it.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from perflab.database.values import from_microseconds, shown, to_microseconds
from perflab.errors import InvalidInput

LONGEST_EXPRESSION = 200


def find_timezone(name: str) -> tzinfo:
    """The time zone of an IANA name.

    Raises:
        InvalidInput: not the name of a zone that this machine knows.
    """
    if name == "UTC":
        return UTC  # must not depend on the machine's zone files
    if isinstance(name, str) and name:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown, not a possible name, a directory of zones
            pass
    raise InvalidInput(
        f"the time zone is {shown(name, 80)}: give an IANA name such as 'America/New_York'; "
        "on a machine without zone files, install the package tzdata"
    )


def next_slot(expression: str, zone: tzinfo, after: int) -> int:
    """The first slot after a moment; both are microseconds since 1970.

    Raises:
        InvalidInput: the expression is refused, or has no slot within 50 years.
    """
    if not isinstance(expression, str) or len(expression) > LONGEST_EXPRESSION or len(expression.split()) != 5:
        raise InvalidInput(
            f"the cron expression is {shown(expression, 220)}: give five fields (minute, hour, day of the month, "
            "month, day of the week), such as '30 2 * * *'; for a schedule in seconds use an interval"
        )
    return _search(expression, zone, after)


@lru_cache(maxsize=4096)  # many watches share an expression, and their slots come together
def _search(expression: str, zone: tzinfo, after: int) -> int:
    from cronsim import CronSim, CronSimError  # noqa: PLC0415  # needed by cron watches only

    try:
        for slot in CronSim(expression, from_microseconds(after).astimezone(zone)):
            # Where clocks are set back, a slot may come out that lies an hour before; after a gap, one comes out twice.
            if (moment := to_microseconds(slot, "a slot")) > after:
                return moment
    except CronSimError as error:
        raise InvalidInput(f"the cron expression is {expression!r}: {error}; correct that field") from None
    except OverflowError:
        pass  # beyond the year 9999
    raise InvalidInput(
        f"the cron expression {expression!r} has no slot in the 50 years after {from_microseconds(after)}: correct it"
    )
