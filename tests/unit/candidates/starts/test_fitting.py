"""The item side of the model of starts against sums that are written out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from homerec.candidates.starts.acceptance import log_acceptance, moderated_log
from homerec.candidates.starts.attributes import Attributes
from homerec.candidates.starts.evidence import Evidence
from homerec.candidates.starts.fitting import (
    _choices,
    _expected,
    _seen,
    _totals,
    _unexpected,
    fit_items,
)
from homerec.candidates.starts.popularity import chances
from homerec.candidates.starts.support import Chooser, Support
from homerec.candidates.starts.vectors import Vectors

N, M, K, N_ATTRIBUTES = 40, 12, 3, 2
WIDTH = K + N_ATTRIBUTES
TYPES = np.repeat([0, 1], M // 2)
CEILING = 1.5
NONE = np.full(M, -1)
#: Nodes and weights of a mean over a normal variable.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


class Planted:
    """Forty listeners in two markets, twelve items of two types, some of them known."""

    def __init__(self, seed: int, known: float) -> None:
        rng = np.random.default_rng(seed)
        self.factors = 0.6 * rng.standard_normal((M, K))
        self.attribute = rng.integers(0, N_ATTRIBUTES, (M, 1))
        self.x = rng.standard_normal((N, WIDTH))
        self.spread = rng.uniform(0.05, 0.3, (N, WIDTH))
        self.markets = np.sort(rng.integers(0, 2, N))
        self.log_chance = np.log(rng.dirichlet(np.ones(M), 3))
        self.amount = rng.integers(1, 6, (N, 2)).astype(float)
        own = rng.random((N, M)) < 0.2
        self.known = sparse.csr_matrix(np.where(own, rng.uniform(0, known, (N, M)), 0))

    def vectors(self, factors: np.ndarray) -> Vectors:
        return Vectors(factors, self.attribute, np.full((M, 1), 0.5), N_ATTRIBUTES, NONE, 0)

    def odds(self, factors: np.ndarray) -> np.ndarray:
        """Mean odds of every pair over what the listener may be, by quadrature."""
        wide = self.vectors(factors).dense()
        rest = self.x[:, K:] @ wide[:, K:].T + 0.5 * self.spread[:, K:] @ (wide[:, K:] ** 2).T
        around = self.tastes(factors)[:, :, None] + self.deviations(factors)[:, :, None] * NODES
        liked = np.exp(log_acceptance(around, CEILING)) @ WEIGHTS
        return np.asarray(liked * np.exp(rest + self.log_chance[self.markets]))

    def tastes(self, factors: np.ndarray) -> np.ndarray:
        return np.asarray(self.x[:, :K] @ factors.T)

    def deviations(self, factors: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(self.spread[:, :K] @ (factors**2).T))

    def choices(self, support: Support | None = None) -> tuple[Any, ...]:
        return _choices(
            self.known, self.vectors(self.factors), self.log_chance, TYPES,
            support or self.support(), self.markets, self.x, self.spread,
        )  # fmt: skip

    def support(self) -> Support:
        bounds = np.array([0, M // 2, M])
        chance, place = np.exp(self.log_chance), np.arange(M)
        return Support(self.vectors(self.factors), bounds, chance, place, CEILING)


def derivative(
    of: Callable[[np.ndarray], np.ndarray], factors: np.ndarray, k: int, step: float
) -> np.ndarray:
    """Derive a value of each item by its own factor k, by a finite difference."""
    moved = factors.copy()
    moved[:, k] += step
    return np.asarray((of(moved) - of(factors)) / step)


def test_sums_over_what_listeners_may_be_are_the_slope_of_the_expected_starts() -> None:
    planted = Planted(1, known=0.5)
    log_scale = np.log(np.random.default_rng(2).uniform(0.5, 2.0, (N, 2))).astype(np.float32)
    left = 1 - planted.known.toarray()

    def starts(factors: np.ndarray) -> np.ndarray:
        share = np.exp(log_scale.astype(float))[:, TYPES]
        return np.asarray((planted.odds(factors) * share * left).sum(axis=0))

    gone, _, own, _ = planted.choices()
    whole = _expected(
        planted.vectors(planted.factors), planted.log_chance, TYPES, planted.x, planted.spread,
        log_scale, planted.markets, CEILING,
    )  # fmt: skip
    sums = whole.less(_unexpected(gone, own, TYPES, planted.x, planted.spread, log_scale, K))
    curvature = sums.curvature(planted.factors)
    np.testing.assert_allclose(curvature[:, 0, 0], starts(planted.factors), rtol=0.02)
    for k in range(K):
        slope = derivative(starts, planted.factors, k, step=1e-4)
        np.testing.assert_allclose(
            curvature[:, 0, 1 + k], slope, rtol=0.03, atol=0.03 * np.abs(slope).max()
        )
    np.testing.assert_allclose(curvature, curvature.transpose(0, 2, 1), rtol=1e-12, atol=1e-12)
    assert (np.linalg.eigvalsh(curvature) > 0).all()


def test_of_what_was_known_all_along_no_start_is_expected() -> None:
    planted = Planted(8, known=0.5)
    planted.known = sparse.csr_matrix(np.ones((N, M)))
    log_scale = np.log(np.random.default_rng(2).uniform(0.5, 2.0, (N, 2))).astype(np.float32)
    gone, _, own, _ = planted.choices()
    whole = _expected(
        planted.vectors(planted.factors), planted.log_chance, TYPES, planted.x, planted.spread,
        log_scale, planted.markets, CEILING,
    )  # fmt: skip
    known = _unexpected(gone, own, TYPES, planted.x, planted.spread, log_scale, K)
    for name, values in vars(whole).items():
        np.testing.assert_allclose(getattr(known, name), values, rtol=1e-3, atol=1e-3)


def test_what_was_started_pulls_by_the_slope_of_its_mean_log_odds() -> None:
    planted = Planted(6, known=0.5)
    started = planted.known
    row, column = started.nonzero()

    def told(factors: np.ndarray) -> np.ndarray:
        around = (
            planted.tastes(factors)[:, :, None] + planted.deviations(factors)[:, :, None] * NODES
        )
        return np.asarray(
            (started.toarray() * (log_acceptance(around, CEILING) @ WEIGHTS)).sum(axis=0)
        )

    own = moderated_log(
        planted.tastes(planted.factors)[row, column],
        planted.deviations(planted.factors)[row, column] ** 2,
        CEILING,
    )
    found = _seen(started, own, planted.x, planted.spread, planted.factors)
    np.testing.assert_allclose(found[:, 0], started.toarray().sum(axis=0))
    for k in range(K):
        slope = derivative(told, planted.factors, k, step=1e-5)
        np.testing.assert_allclose(
            found[:, 1 + k], slope, rtol=0.02, atol=0.02 * np.abs(slope).max()
        )


def test_a_types_odds_are_summed_over_what_listeners_may_be() -> None:
    planted = Planted(3, known=0.5)
    found = _totals(planted.support(), planted.markets, planted.x, planted.spread)
    odds = planted.odds(planted.factors)
    expected = np.column_stack([odds[:, kind == TYPES].sum(axis=1) for kind in (0, 1)])
    np.testing.assert_allclose(found, expected, rtol=0.02)


@pytest.mark.parametrize("known", [0.05, 1.0])
def test_listeners_choose_among_what_is_left_of_all_items(known: float) -> None:
    planted = Planted(4, known)
    gone, totals, _, _ = planted.choices()
    odds, q = planted.odds(planted.factors), planted.known.toarray()
    left = odds * (1 - q)
    expected = np.column_stack([left[:, kind == TYPES].sum(axis=1) for kind in (0, 1)])
    np.testing.assert_allclose(totals, expected, rtol=0.03)
    np.testing.assert_allclose(gone.toarray(), odds * q, rtol=0.03)


def test_own_items_outside_the_sample_are_counted_and_taken_from_nothing() -> None:
    planted = Planted(5, known=0.9)
    chosen = np.array([0, 1, 2, 6, 7, 8])
    place = np.full(M, -1)
    place[chosen] = np.arange(6)
    weight = np.exp(planted.log_chance[:, chosen]) / 0.5
    sample = Support(
        planted.vectors(planted.factors).take(chosen), np.array([0, 3, 6]), weight, place, CEILING
    )
    _, totals, _, _ = planted.choices(sample)
    odds, q = planted.odds(planted.factors), planted.known.toarray()
    others = np.where((q > 0) | (place < 0), 0, odds / 0.5)
    own = np.where(q > 0, odds * (1 - q), 0)
    expected = np.column_stack([(others + own)[:, kind == TYPES].sum(axis=1) for kind in (0, 1)])
    np.testing.assert_allclose(totals, expected, rtol=0.03)
    assert (totals > 0).all()


def test_popular_items_that_soon_are_known_to_most_keep_their_popularity() -> None:
    rng = np.random.default_rng(7)
    n, m, n_starts = 3_000, 20, 10
    popular = np.sort(rng.normal(0, 1, m))
    keys = popular + rng.gumbel(size=(n, m))
    # Without replacement, by Gumbel's trick: the largest keys came first.
    best = np.argsort(-keys, axis=1)[:, :n_starts]
    row = np.repeat(np.arange(n), n_starts)
    order = np.lexsort((best.ravel(), row))
    started = sparse.csr_matrix((np.ones(len(row)), (row, best.ravel())), shape=(n, m))
    days = np.tile(np.arange(n_starts)[::-1], n)[order].astype(float)
    types, markets = np.zeros(m, np.int64), np.zeros(n, np.int64)
    chance = chances(started, types, markets, 1)
    chooser = Chooser.draw(chance[0], types, 100, rng, 2.0)

    def error(known: np.ndarray) -> float:
        found = fit_items(
            started, types, markets, chance, np.zeros((m, 0)), np.full(m, -1),
            Attributes((), (), 0.5), k=1, precision=1e6, iterations=15,
            rng=np.random.default_rng(1), support=chooser, known=known, foreign=0.25,
        )  # fmt: skip
        log_chance = np.log(chance[0]) + found.bias
        off = (log_chance - log_chance.mean()) - (popular - popular.mean())
        return float(np.abs(off).max())

    whole = Evidence(started, days).known(types)
    # One sum stands for all starts of a listener, so it is not found exactly.
    assert error(whole) < 0.3
    assert error(np.zeros_like(whole)) > 0.8


def test_the_mean_listener_stays_at_the_place_of_one_without_starts() -> None:
    rng = np.random.default_rng(9)
    n, m = 2_000, 30
    # Nine of ten like the first ten items.
    fans = rng.random(n) < 0.9
    log_odds = np.where(np.arange(m) < 10, np.where(fans, 1.5, -1.5)[:, None], 0.0)
    best = np.argsort(-(log_odds + rng.gumbel(size=(n, m))), axis=1)[:, :6]
    started = np.zeros((n, m))
    np.put_along_axis(started, best, 1.0, axis=1)
    types, markets = np.zeros(m, np.int64), np.zeros(n, np.int64)
    started = sparse.csr_matrix(started)
    chance = chances(started, types, markets, 1)

    def gap(iterations: int) -> float:
        """How far the first items lead at the place 0, and check that it is the mean."""
        found = fit_items(
            started, types, markets, chance, np.zeros((m, 0)), np.full(m, -1),
            Attributes((), (), 0.5), k=2, precision=1.0, iterations=iterations,
            rng=np.random.default_rng(1), known=np.zeros(started.nnz), foreign=0.25,
            support=Chooser.draw(chance[0], types, 100, rng, 2.0),
        )  # fmt: skip
        np.testing.assert_allclose(found.x.mean(axis=0), 0, atol=1e-9)
        log_chance = np.log(chance[0]) + found.bias
        return float(log_chance[:10].mean() - log_chance[10:].mean())

    assert gap(60) == pytest.approx(gap(20), abs=0.15)
    assert gap(60) > 0.5
