"""Who follows a language, against Bayes' rule written out, and as a fit learns it."""

import numpy as np
import pytest
from scipy import sparse

from homerec.candidates.starts.acceptance import log_acceptance
from homerec.candidates.starts.attributes import Attributes
from homerec.candidates.starts.fitting import _centred, fit_items
from homerec.candidates.starts.folding import fold
from homerec.candidates.starts.languages import Languages, heed
from homerec.candidates.starts.popularity import chances
from homerec.candidates.starts.support import Chooser, Support
from homerec.candidates.starts.vectors import Vectors

FOREIGN = 0.2


def place(
    odds: np.ndarray, share: list[float], started: list[int], amount: list[int]
) -> np.ndarray:
    """Logs of what languages multiply a listener's odds by, found by turns until they stay.

    Parameters
    ----------
    odds : (n_types, n_languages + 1)
        Sums of the odds at which every listener starts, with those of no language last.
    share, started, amount : lists
        By language, by language and none, and by type.
    """
    times = np.zeros(len(share))
    for _ in range(60):
        expected = odds.copy()
        expected[:, :-1] *= np.exp(times)
        expected *= np.array(amount)[:, None] / expected.sum(axis=1, keepdims=True)
        heed(
            times, expected, np.array(amount, float), np.array(started, float), np.array(share),
            FOREIGN,
        )  # fmt: skip
    return times


def test_whether_a_language_is_followed_is_told_by_bayes_rule() -> None:
    share, follow = 0.6, 1 / (0.6 + 0.4 * FOREIGN)
    # Two types; in the first a quarter of the odds is in the language, in the second half.
    odds = np.array([[1.0, 3.0], [2.0, 2.0]])
    for n_first, n_second in ((0, 0), (1, 0), (2, 3)):
        likelihood = []
        for times in (follow, follow * FOREIGN):
            chance = np.array([times / (times + 3), times / (times + 1)])
            likelihood.append(
                chance[0] ** n_first
                * (1 - chance[0]) ** (4 - n_first)
                * chance[1] ** n_second
                * (1 - chance[1]) ** (3 - n_second)
            )
        yes, no = share * likelihood[0], (1 - share) * likelihood[1]
        expected = follow * (yes + no * FOREIGN) / (yes + no)
        found = place(odds, [share], [n_first + n_second, 7 - n_first - n_second], [4, 3])
        assert np.exp(found[0]) == pytest.approx(expected)
        told = Languages(np.array([[share]]), FOREIGN).followed(found[None], np.zeros(1, np.int64))
        assert told[0, 0] == pytest.approx(yes / (yes + no))


def test_without_a_start_languages_change_nothing() -> None:
    found = place(np.array([[1.0, 2.0, 3.0]]), [0.3, 0.9], [0, 0, 0], [0])
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_items_without_a_language_tell_what_is_not_followed_by_being_started_instead() -> None:
    odds = np.array([[5.0, 5.0]])
    few, many = (place(odds, [0.5], [0, n], [n])[0] for n in (1, 10))
    assert many < few < 0
    assert np.exp(many) == pytest.approx(FOREIGN / (0.5 + 0.5 * FOREIGN), rel=0.02)


def test_a_language_that_everything_is_in_tells_nothing() -> None:
    np.testing.assert_allclose(place(np.array([[4.0, 0.0]]), [0.5], [6, 0], [6]), 0, atol=1e-9)


def test_many_starts_end_in_no_overflow() -> None:
    odds = np.array([[1.0, 1.0, 1.0]])
    found = place(odds, [0.5, 0.5], [5_000, 0, 0], [5_000])
    assert np.isfinite(found).all()
    assert np.exp(found) == pytest.approx(np.array([1, FOREIGN]) / (0.5 + 0.5 * FOREIGN))


#: Language of each of 120 items: of the market, foreign, none.
SPOKEN = np.repeat([0, 1, -1], [20, 20, 80])


def world(
    n: int, n_starts: int, seed: int
) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray, np.ndarray]:
    """Starts of listeners without taste; 60% of the first market and 20% of the other follow 1.

    Returns
    -------
    started, for how much of the choosing each was known, who follows language 1, markets
    """
    rng = np.random.default_rng(seed)
    markets = np.sort(rng.integers(0, 2, n))
    follows = rng.random(n) < np.array([0.6, 0.2])[markets]
    log_odds = np.where((SPOKEN == 1) & ~follows[:, None], np.log(FOREIGN), 0.0)
    keys = log_odds + rng.gumbel(size=log_odds.shape)
    # Without replacement, by Gumbel's trick: the largest keys came first.
    best = np.argsort(-keys, axis=1)[:, :n_starts]
    row = np.repeat(np.arange(n), n_starts)
    order = np.lexsort((best.ravel(), row))
    started = sparse.csr_matrix((np.ones(len(row)), (row, best.ravel())), shape=(n, len(SPOKEN)))
    known = np.tile((np.arange(n_starts)[::-1]) / n_starts, n)[order]
    return started, known, follows, markets


def test_a_fit_learns_how_many_follow_a_language_and_who() -> None:
    started, known, follows, markets = world(3_000, 24, 1)
    types = np.zeros(len(SPOKEN), np.int64)
    chance = chances(started, types, markets, 2)
    attributes = Attributes((), ("xx", "yy"), 0.5)
    found = fit_items(
        started, types, markets, chance, np.zeros((len(SPOKEN), 0)), SPOKEN, attributes, k=2,
        precision=1e6, iterations=25,
        rng=np.random.default_rng(2), known=known,
        foreign=FOREIGN,
        support=Chooser.draw(chance[0], types, 100, np.random.default_rng(3), 2.0),
    )  # fmt: skip
    assert found.languages.share[:2, 1] == pytest.approx([0.6, 0.2], abs=0.08)
    assert (found.languages.share[:, 0] > 0.9).all()
    told = found.languages.followed(found.x[:, -2:], markets)[:, 1]
    # Who would start four of 24 in it and starts one tells nearly all.
    assert told[follows].mean() > told[~follows].mean() + 0.5
    for market in (0, 1):
        own = markets == market
        assert told[own].mean() == pytest.approx(follows[own].mean(), abs=0.08)


def test_what_few_listeners_of_a_market_follow_is_not_kept() -> None:
    begun = Languages.begin(2, 1, FOREIGN)
    usual = float(np.log(0.8 + 0.2 * FOREIGN))
    # 60 listeners of the first market follow the language, 19 of the second do not.
    markets = np.repeat([0, 1], [60, 19])
    times = np.where(markets == 0, 0.0, np.log(FOREIGN))[:, None] - usual
    learned = begun.learn(times, markets)
    assert learned.share[0, 0] > 0.95
    # Nor for all markets together, whose difference to the first would tell.
    assert learned.share[1, 0] == learned.share[2, 0] == learned.share[0, 0]
    one_more = np.append(markets, 1)
    learned = begun.learn(np.vstack([times, times[-1:]]), one_more)
    assert learned.share[1, 0] == pytest.approx(1 / 22, abs=1e-6)
    few = begun.learn(times[-19:], markets[-19:])
    np.testing.assert_array_equal(few.share, begun.share)


def test_a_place_does_not_depend_on_who_else_is_folded() -> None:
    started, _, _, markets = world(50, 8, 4)
    m = len(SPOKEN)
    types, weight = np.zeros(m, np.int64), np.full((3, m), 1 / m)
    vectors = Vectors(
        0.5 * np.random.default_rng(5).standard_normal((m, 2)), np.zeros((m, 1), np.int64),
        np.zeros((m, 1)), 1, SPOKEN, 2,
    )  # fmt: skip
    support = Support(vectors, np.array([0, m]), weight, np.arange(m), 2.0)
    languages = Languages(np.array([[0.9, 0.6], [0.9, 0.2], [0.9, 0.4]]), FOREIGN)

    def found(rows: np.ndarray) -> np.ndarray:
        some = started[rows]
        return fold(
            some, types, vectors, support, markets[rows], known=np.zeros(some.nnz),
            log_chance=np.log(weight), languages=languages, steps=4,
        )  # fmt: skip

    together = found(np.arange(50))
    np.testing.assert_array_equal(together[7:9], found(np.array([7, 8])))
    assert (together[:, 4] != 0).all()


def test_places_hold_what_bayes_rule_says_of_weighed_and_known_starts_in_every_market() -> None:
    rng = np.random.default_rng(6)
    n, m, n_starts = 40, 40, 6
    types, spoken = np.repeat([0, 1], m // 2), rng.integers(-1, 1, m)
    weight = rng.dirichlet(np.ones(m), 4)
    vectors = Vectors(np.zeros((m, 2)), np.zeros((m, 1), np.int64), np.zeros((m, 1)), 1, spoken, 1)
    support = Support(vectors, np.array([0, m // 2, m]), weight, np.arange(m), 2.0)
    items = np.stack([np.sort(rng.choice(m, n_starts, replace=False)) for _ in range(n)])
    amounts, known = rng.choice([0.1, 1.0], items.shape), rng.random(items.shape)
    started = sparse.csr_matrix(
        (amounts.ravel(), items.ravel(), np.arange(0, n * n_starts + 1, n_starts)), shape=(n, m)
    )
    markets = rng.integers(-1, 3, n)
    languages = Languages(rng.uniform(0.1, 0.9, (4, 1)), FOREIGN)
    found = fold(
        started, types, vectors, support, markets, known=known.ravel(), log_chance=np.log(weight),
        languages=languages, steps=30,
    )[:, -1]  # fmt: skip
    for i in range(n):
        share, left = languages.share[markets[i], 0], np.ones(m)
        left[items[i]] -= known[i]
        usual, told = share + (1 - share) * FOREIGN, []
        for times in (1 / usual, FOREIGN / usual):
            odds = weight[markets[i]] * np.where(spoken == 0, times, 1.0)
            total = np.array([(odds * left)[types == kind].sum() for kind in (0, 1)])
            told.append(float(amounts[i] @ np.log(odds[items[i]] / total[types[items[i]]])))
        yes, no = share * np.exp(told[0]), (1 - share) * np.exp(told[1])
        assert np.exp(found[i]) == pytest.approx((yes + no * FOREIGN) / (yes + no) / usual)


def test_what_languages_do_takes_no_step_and_has_no_spread() -> None:
    m = len(SPOKEN)
    vectors = Vectors(
        np.ones((m, 2)), np.zeros((m, 1), np.int64), np.full((m, 1), 0.5), 1, SPOKEN, 2
    )
    weight = np.random.default_rng(1).random((2, m))
    support = Support(vectors, np.array([0, m]), weight, np.arange(m), 2.0)
    assert (support.curvature[:, :, 3:] == 0).all()
    assert (support.curvature[:, :, :, 3:] == 0).all()
    assert (vectors.dense()[:, 3:].sum(axis=0) == [20, 20]).all()


def test_moving_the_places_moves_no_odds_near_the_middle() -> None:
    rng = np.random.default_rng(2)
    m, ceiling = len(SPOKEN), 0.7
    vectors = Vectors(
        rng.standard_normal((m, 2)), rng.integers(0, 3, (m, 1)), np.full((m, 1), 0.5), 3,
        np.full(m, -1), 0,
    )  # fmt: skip
    x = 0.005 * rng.standard_normal((50, 5)) + 0.01 * rng.standard_normal(5)

    def log_odds(x: np.ndarray) -> np.ndarray:
        wide = vectors.dense()
        taste = log_acceptance(x[:, :2] @ wide[:, :2].T, ceiling)
        return np.asarray(taste + x[:, 2:] @ wide[:, 2:].T)

    before = log_odds(x)
    moved = x.copy()
    more = _centred(moved, vectors.flat(ceiling))
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-12)
    assert np.abs(more).max() > 0.003
    np.testing.assert_allclose(log_odds(moved) + more, before, atol=3e-4)
