from __future__ import annotations

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.workloads.distributions import Distribution, Empirical, parse_distribution

COUNT = 40_000


def drawn(text: str) -> np.ndarray:
    return parse_distribution(text, "--size").draw(COUNT, np.random.default_rng(13))


def test_they_have_the_moments_of_their_names() -> None:
    assert set(drawn("256")) == {256.0}
    uniform = drawn("uniform:10,30")
    assert uniform.mean() == pytest.approx(20, abs=0.1)
    assert uniform.min() >= 10
    assert uniform.max() <= 30
    exponential = drawn("exponential:5")
    assert exponential.mean() == pytest.approx(5, rel=0.03)
    assert exponential.std() == pytest.approx(5, rel=0.05)
    skewed = drawn("lognormal:200,4000")
    assert np.median(skewed) == pytest.approx(200, rel=0.03)
    assert np.quantile(skewed, 0.99) == pytest.approx(4000, rel=0.1)


def test_a_bounded_pareto_has_its_tail_and_its_bounds() -> None:
    heavy = drawn("pareto:1.1,10,1e6")
    assert heavy.min() >= 10
    assert heavy.max() <= 1e6
    # P(X > x) = ((low/x)^a - (low/high)^a) / (1 - (low/high)^a)
    expected = (0.01**1.1 - 1e-5**1.1) / (1 - 1e-5**1.1)
    assert np.mean(heavy > 1_000) == pytest.approx(expected, rel=0.15)


def test_values_of_a_trace_are_drawn_again() -> None:
    found = Empirical(np.array([1.0, 1.0, 5.0]), "sizes").draw(COUNT, np.random.default_rng(13))
    assert set(found) == {1.0, 5.0}
    assert np.mean(found == 5.0) == pytest.approx(1 / 3, abs=0.01)
    with pytest.raises(InvalidInput, match="sizes must be"):
        Empirical(np.empty(0), "sizes")


@pytest.mark.parametrize("text", ["256", "uniform:1,2", "exponential:5", "lognormal:2,4", "pareto:1.2,1,9"])
def test_a_seed_gives_the_same_again_and_words(text: str) -> None:
    distribution: Distribution = parse_distribution(text, "--size")
    first, second = (distribution.draw(5, np.random.default_rng(1)) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert str(distribution)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("many", "--size is 'many': give a number, uniform:LOW,HIGH"),
        ("gauss:1,2", "--size is 'gauss:1,2': give a number"),
        ("uniform:1", "give uniform:LOW,HIGH"),
        ("uniform:3,1", "--size: .*wrong order"),
        ("lognormal:0,1", "median above 0"),
        ("lognormal:2,1", "not below it"),
        ("pareto:0,1,2", "shape above 0"),
        ("-1", "not negative"),
        ("nan", "finite"),
        ("exponential:inf", "finite"),
    ],
)
def test_what_cannot_be_drawn_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_distribution(text, "--size")
