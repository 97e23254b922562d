"""Odds that are bounded, and their means over a normal taste, against quadrature."""

import numpy as np
import pytest

from homerec.candidates.starts.acceptance import (
    MOST_VARIANCE,
    log_acceptance,
    moderated,
    moderated_log,
)

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
MEANS = np.linspace(-6, 6, 49)


def mean_over(variance: float, ceiling: float, power: bool, shift: float = 0.0) -> np.ndarray:
    """Mean of the odds (or of their log) over normal tastes with means MEANS + shift."""
    taste = (MEANS + shift)[:, None] + np.sqrt(variance) * NODES
    log = taste - np.log1p(np.exp(taste - ceiling))
    return np.asarray((np.exp(log) if power else log) @ WEIGHTS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_odds_are_exponential_and_large_ones_bounded_in_either_precision(
    dtype: type[np.floating],
) -> None:
    taste = np.array([-90, -8, 0, 3, 500], dtype)
    found = log_acceptance(taste, 2.0)
    assert found.dtype == dtype
    exact = taste.astype(float) - np.logaddexp(0, taste.astype(float) - 2)
    np.testing.assert_allclose(found[:4], exact[:4], rtol=1e-5)
    assert (np.diff(found[1:4]) > 0).all()
    assert found[3] < 2
    assert found[4] == 2
    # Without a ceiling to speak of, taste is all.
    np.testing.assert_allclose(log_acceptance(taste[:4], 70.0), taste[:4], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("variance", [0.1, 0.5, 1.0, MOST_VARIANCE])
@pytest.mark.parametrize("ceiling", [1.5, 2.0, 3.0])
def test_the_mean_odds_are_those_of_quadrature(variance: float, ceiling: float) -> None:
    found = moderated(MEANS, np.full(len(MEANS), variance), ceiling)
    odds = np.exp(MEANS + variance / 2) * found.bound
    np.testing.assert_allclose(odds, mean_over(variance, ceiling, power=True), rtol=0.05)


@pytest.mark.parametrize("power", [True, False])
def test_slopes_and_bends_are_derivatives(power: bool) -> None:
    variance, ceiling, step = 0.5, 2.0, 1e-3
    low, at, high = (mean_over(variance, ceiling, power, shift) for shift in (-step, 0, step))
    slope, bend = (high - low) / (2 * step), (high - 2 * at + low) / step**2
    if power:
        found = moderated(MEANS, np.full(len(MEANS), variance), ceiling)
        np.testing.assert_allclose(found.slope, slope / at, atol=0.02)
        np.testing.assert_allclose(found.bend, bend / at, atol=0.03)
    else:
        log = moderated_log(MEANS, np.full(len(MEANS), variance), ceiling)
        np.testing.assert_allclose(log.slope, slope, atol=0.01)
        np.testing.assert_allclose(log.bend, bend, atol=0.01)


def test_without_a_ceiling_the_mean_is_the_exact_one_of_a_lognormal() -> None:
    variance = np.full(len(MEANS), 2.0)
    found = moderated(MEANS, variance, 1e6)
    np.testing.assert_allclose([found.bound, found.slope, found.bend], 1.0)


def test_no_variance_is_no_average() -> None:
    found = moderated(MEANS, np.zeros(len(MEANS)), 2.0)
    odds = np.exp(MEANS) * found.bound
    np.testing.assert_allclose(np.log(odds), log_acceptance(MEANS, 2.0), atol=1e-12)
