from __future__ import annotations

import itertools

import pytest

from perflab.errors import InvalidInput
from perflab.lab.noise import NoiseReading, read_noise, summarise_noise


def readings(*seconds: float, load: float | None = 0.2) -> list[NoiseReading]:
    return [NoiseReading(each, load) for each in seconds]


def test_a_steady_loop_under_little_load_is_quiet() -> None:
    noise = summarise_noise(readings(1.00e-3, 1.01e-3, 0.99e-3, 1.00e-3), cores=2)
    assert noise.quiet
    assert noise.typical_seconds == pytest.approx(1e-3)
    assert noise.variation == pytest.approx(0.00816, rel=0.01)
    assert noise.load_per_core == 0.1
    assert noise.describe().startswith("The machine was quiet: a loop of 1.00 ms varied by 0.82% over 4 readings")


@pytest.mark.parametrize(
    "busy", [readings(1e-3, 1e-3, 1.5e-3, 1e-3), readings(1e-3, 1e-3, 1e-3, load=1.0)], ids=["stalls", "load"]
)
def test_stalls_and_load_are_told(busy: list[NoiseReading]) -> None:
    noise = summarise_noise(busy, cores=2)
    assert not noise.quiet
    assert "The machine was busy" in noise.describe()


def test_a_system_without_a_load_average_is_judged_by_the_loop() -> None:
    noise = summarise_noise(readings(1e-3, 1e-3, load=None))
    assert noise.load_per_core is None
    assert noise.quiet
    assert "load" not in noise.describe()


def test_a_reading_times_the_loop_by_the_clock() -> None:
    ticks = itertools.count(0, 5)
    assert read_noise(lambda: float(next(ticks))).calibration_seconds == 5.0
    assert read_noise().calibration_seconds > 0


def test_no_reading_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no reading of the noise"):
        summarise_noise([])
