"""Places of listeners, and the items that stand for all, against their definitions."""

import numpy as np
import pytest
from scipy import optimize, sparse

from homerec.candidates.starts.folding import _shared_out, fold
from homerec.candidates.starts.languages import Languages
from homerec.candidates.starts.support import Chooser, Support
from homerec.candidates.starts.vectors import Vectors

N_ITEMS, WIDTH = 30, 5
#: Low enough to change what is found.
CEILING = 0.5
NO_LANGUAGES = Languages.begin(1, 0, 0.25)


def planted(seed: int) -> tuple[Vectors, Support, np.ndarray]:
    """Thirty items of two types with two factors and three attributes, in one market."""
    rng = np.random.default_rng(seed)
    vectors = Vectors(
        rng.standard_normal((N_ITEMS, 2)),
        rng.integers(0, 3, (N_ITEMS, 1)),
        np.full((N_ITEMS, 1), 0.5),
        3,
        np.full(N_ITEMS, -1),
        0,
    )
    types = np.repeat([0, 1], N_ITEMS // 2)
    weight = rng.random((2, N_ITEMS))
    place = np.arange(N_ITEMS)
    return vectors, Support(vectors, np.array([0, 15, 30]), weight, place, CEILING), types


def log_posterior(
    x: np.ndarray,
    mine: np.ndarray,
    known: np.ndarray,
    wide: np.ndarray,
    weight: np.ndarray,
    types: np.ndarray,
) -> float:
    """Log of the prior and of every start, written out."""
    total = -0.5 * float(x @ x)
    liked = np.exp(wide[:, :2] @ x[:2])
    for i in np.flatnonzero(mine):
        same = types == types[i]
        odds = weight * liked / (1 + liked / np.exp(CEILING)) * np.exp(wide[:, 2:] @ x[2:])
        left = (1 - known) * odds
        total += float(mine[i]) * float(np.log(odds[i] / left[same].sum()))
    return total


def test_folding_finds_the_maximum_of_the_posterior() -> None:
    vectors, support, types = planted(3)
    started = (np.random.default_rng(4).random((6, N_ITEMS)) < 0.3).astype(float)
    started[1] *= 0.2
    started[5] = 0
    known = np.where(started > 0, started * np.random.default_rng(5).random(started.shape), 0)
    found = fold(
        sparse.csr_matrix(started),
        types,
        vectors,
        support,
        np.zeros(6, np.int64),
        known=known[started > 0],
        log_chance=np.log(support.weight),
        languages=NO_LANGUAGES,
        steps=200,
    )
    for line in range(6):
        best = optimize.minimize(
            lambda x, mine=started[line], known=known[line]: (
                -log_posterior(x, mine, known, vectors.dense(), support.weight[0], types)
            ),
            np.zeros(WIDTH),
            tol=1e-10,
        )
        np.testing.assert_allclose(found[line], best.x, atol=2e-4)


def test_starts_are_shared_out_as_numpys_exponential_says() -> None:
    exponent = np.concatenate([np.linspace(-60, 5, 1_001), [-1e4, -np.inf]])
    expected = np.exp(exponent - 5)
    expected *= 3 / expected.sum()
    found, free, nothing = exponent.copy(), np.ones(len(exponent)), np.zeros(0)
    _shared_out(found, free, 3.0, nothing, nothing, nothing)
    assert found.sum() == pytest.approx(3)
    near = exponent > -30
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-8)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-20)


def test_own_items_share_in_the_starts_by_what_is_left_of_them() -> None:
    exponent, mine = np.log([1.0, 2.0]), np.log([7.0, 4.0])
    bound, my_bound, left = np.array([1.0, 0.5]), np.array([0.4, 1.0]), np.array([0.5, 0.0])
    _shared_out(exponent, bound, 3.0, mine, my_bound, left)
    # 1 + 2 / 2 of others, a fifth of 7; of the second nothing is left.
    np.testing.assert_allclose(exponent, 3 / 3.4 * np.array([1, 1]))
    np.testing.assert_allclose(mine, 3 / 3.4 * np.array([1.4, 0]))


def test_a_sample_of_the_items_finds_nearly_the_place_that_all_of_them_find() -> None:
    rng = np.random.default_rng(8)
    m, n, k, n_starts = 3_000, 150, 4, 40
    factors = 0.6 * rng.standard_normal((m, k))
    vectors = Vectors(factors, np.zeros((m, 1), np.int64), np.zeros((m, 1)), 1, np.full(m, -1), 0)
    types, chance = np.zeros(m, np.int64), rng.dirichlet(np.ones(m))
    x = rng.standard_normal((n, k))
    # Drawn without replacement, by Gumbel's trick; the best keys came first.
    keys = np.log(chance) + x @ factors.T + rng.gumbel(size=(n, m))
    best = np.argsort(-keys, axis=1)[:, :n_starts]
    row, later = np.repeat(np.arange(n), n_starts), np.tile(np.arange(n_starts)[::-1], n)
    order = np.lexsort((best.ravel(), row))
    started = sparse.csr_matrix((np.ones(len(row)), (row, best.ravel())), shape=(n, m))
    known = (later / n_starts)[order]
    every = np.stack([chance, chance])

    def error(most: int, known: np.ndarray) -> float:
        chooser = Chooser.draw(chance, types, most, np.random.default_rng(1), 100.0)
        support = chooser.of(vectors, every, np.zeros(m))
        found = fold(
            started,
            types,
            vectors,
            support,
            np.zeros(n, np.int64),
            known=known,
            log_chance=np.log(every),
            languages=NO_LANGUAGES,
            steps=40,
        )
        return float(np.square(found[:, :k] - x).mean())

    whole, sampled = error(m, known), error(400, known)
    assert sampled < 1.5 * whole < 0.3
    assert whole < error(m, np.zeros(len(known)))


def test_a_market_that_is_not_known_is_read_from_the_last_row() -> None:
    vectors, support, types = planted(3)
    started = sparse.csr_matrix((np.random.default_rng(4).random((1, N_ITEMS)) < 0.3).astype(float))
    unknown, last, first = (
        fold(
            started,
            types,
            vectors,
            support,
            np.array([market]),
            known=np.full(started.nnz, 0.3),
            log_chance=np.log(support.weight),
            languages=NO_LANGUAGES,
            steps=8,
        )
        for market in (-1, 1, 0)
    )
    np.testing.assert_array_equal(unknown, last)
    assert not np.allclose(unknown, first)


def test_what_is_drawn_stands_for_all_items() -> None:
    rng = np.random.default_rng(1)
    chance = rng.lognormal(0, 2, 5_000)
    types = np.zeros(5_000, np.int64)
    value = rng.random(5_000)
    draws = [Chooser.draw(chance, types, 200, np.random.default_rng(s), 2.0) for s in range(60)]
    assert all(190 <= len(one.items) <= 201 for one in draws)
    sums = [float((value * chance)[one.items] @ (1 / one.inclusion)) for one in draws]
    assert np.mean(sums) == pytest.approx(float(value @ chance), rel=0.02)
    surely = np.argsort(-chance)[:2]
    assert all(np.isin(surely, one.items).all() for one in draws)
    few = Chooser.draw(chance[:50], types[:50], 200, rng, 2.0)
    assert few.items.tolist() == list(range(50))
    assert (few.inclusion == 1).all()
