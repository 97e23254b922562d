"""What is popular at present, where recent starts alone would tell something else."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from homerec.candidates.starts.popularity import (
    Choosing,
    Popularity,
    Window,
    chances,
    measure,
    trends,
    window,
)
from homerec.candidates.starts.vectors import Vectors

N_ITEMS, N_LISTENERS, SHOWN = 8, 4_000, np.arange(8)
ONE_TYPE = np.zeros(N_ITEMS, np.int64)
THERE_ALL_DAYS = np.ones(N_ITEMS)
#: So high that taste is not bounded.
CEILING = 60.0


def measured(known: np.ndarray, recent: np.ndarray, x: np.ndarray | None = None) -> Popularity:
    """Measure items that the long run has all alike, in two markets of half the listeners."""
    vectors = Vectors(
        np.linspace(-1, 1, N_ITEMS)[:, None],
        np.zeros((N_ITEMS, 1), np.int64),
        np.zeros((N_ITEMS, 1)),
        1,
        np.full(N_ITEMS, -1),
        0,
    )
    return measure(
        sparse.csr_matrix((known | recent).astype(float)),
        sparse.csr_matrix(recent.astype(float)),
        ONE_TYPE,
        np.arange(N_LISTENERS) % 2,
        np.zeros((N_LISTENERS, 2)) if x is None else x,
        vectors,
        np.full((3, N_ITEMS), 1 / N_ITEMS),
        np.zeros(N_ITEMS),
        CEILING,
    )


def started_once(known: np.ndarray, odds: np.ndarray, seed: int = 5) -> np.ndarray:
    """Let everybody start one item that they do not know, by odds."""
    luck = np.random.default_rng(seed).gumbel(size=known.shape)
    best = np.where(known, -np.inf, np.log(odds) + luck).argmax(axis=1)
    return np.eye(N_ITEMS, dtype=bool)[best]


def counts(recent: np.ndarray) -> np.ndarray:
    return np.stack([recent[market::2].sum(axis=0) for market in range(2)]).astype(float)


def at_present(
    found: Popularity, starts: np.ndarray, exposure: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """Logs of chances; the days of the last week are as those before."""
    latest = Window(starts * np.minimum(0.25 / exposure, 1.0), np.minimum(4 * exposure, 1.0))
    return found.at_present(Window(starts, exposure), latest, SHOWN, ONE_TYPE, row)


def present(found: Popularity, starts: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Chances at present, relative to the last item's, float (2, n_items)."""
    at = at_present(found, starts, exposure, np.arange(2))
    return np.asarray(np.exp(at - at[:, -1:]))


def test_an_item_that_most_have_played_is_as_popular_as_those_who_have_not_find_it() -> None:
    known = np.zeros((N_LISTENERS, N_ITEMS), bool)
    known[:, 0] = np.arange(N_LISTENERS) % 20 < 18
    recent = started_once(known, np.ones((N_LISTENERS, N_ITEMS)))
    starts = counts(recent)
    assert (starts[:, 0] < 0.2 * starts[:, -1]).all()
    found = present(measured(known, recent), starts, THERE_ALL_DAYS)
    assert found[:, 0] == pytest.approx(np.ones(2), abs=0.2)


def test_what_the_taste_of_those_who_can_start_it_explains_is_not_popularity() -> None:
    # Only those who do not like the last items are left to start them.
    rng = np.random.default_rng(2)
    x = np.zeros((N_LISTENERS, 2))
    x[:, 0] = rng.standard_normal(N_LISTENERS) * 2
    known = np.zeros((N_LISTENERS, N_ITEMS), bool)
    known[:, -1] = x[:, 0] > -1
    odds = np.exp(x[:, :1] * np.linspace(-1, 1, N_ITEMS))
    recent = started_once(known, odds)
    found = present(measured(known, recent, x), counts(recent), THERE_ALL_DAYS)
    blind = present(measured(known, recent), counts(recent), THERE_ALL_DAYS)
    # Item 3 has no taste of its own, nor has its popularity changed.
    assert found[:, 3] == pytest.approx(np.ones(2), abs=0.35)
    assert (blind[:, 3] > 1.5).all()


def test_an_item_that_came_two_days_ago_is_judged_by_two_days() -> None:
    nobody = np.zeros((N_LISTENERS, N_ITEMS), bool)
    found = measured(nobody, started_once(nobody, np.ones((N_LISTENERS, N_ITEMS))))
    starts = np.full((2, N_ITEMS), 28_000.0)
    starts[:, 2] = 2_000.0
    exposure = np.where(SHOWN == 2, 2 / 28, 1.0)
    assert present(found, starts, THERE_ALL_DAYS)[:, 2] == pytest.approx([1 / 14] * 2, rel=0.1)
    assert present(found, starts, exposure)[:, 2] == pytest.approx([1, 1], rel=0.1)


def test_a_trend_counts_everywhere_and_more_where_it_is() -> None:
    nobody = np.zeros((N_LISTENERS, N_ITEMS), bool)
    found = measured(nobody, started_once(nobody, np.ones((N_LISTENERS, N_ITEMS))))
    starts = np.full((2, N_ITEMS), 1_000.0)
    starts[0, 4] = 4_000.0
    trend = present(found, starts, THERE_ALL_DAYS)[:, 4]
    assert trend == pytest.approx([4.0, 1.0], rel=0.15)
    # Few starts are no trend.
    few = np.full((2, N_ITEMS), 2.0)
    few[0, 4] = 8.0
    assert 1.0 < present(found, few, THERE_ALL_DAYS)[0, 4] < 2.5


def test_a_market_that_is_not_known_or_was_silent_is_read_from_all_markets() -> None:
    nobody = np.zeros((N_LISTENERS, N_ITEMS), bool)
    recent = started_once(nobody, np.linspace(1, 4, N_ITEMS) * np.ones((N_LISTENERS, 1)))
    found = measured(nobody, recent)
    silent = replace(found, due=found.due * np.array([[1], [0], [1]]))
    starts = np.full((1, N_ITEMS), 500.0)
    unknown = at_present(found, starts, THERE_ALL_DAYS, np.array([-1]))
    quiet = at_present(silent, starts, THERE_ALL_DAYS, np.array([1]))
    np.testing.assert_allclose(unknown, quiet)
    none = at_present(found, np.zeros((2, N_ITEMS)), THERE_ALL_DAYS, np.arange(2))
    np.testing.assert_allclose(none, found.log_chance[:2])


def test_an_item_was_there_since_its_release_but_is_not_judged_by_hours() -> None:
    ages = np.array([0.1, 7.0, 500.0, np.nan], np.float32)
    catalog: Any = SimpleNamespace(
        columns={"age_days": ages},
        markets=["DE"],
        market_column=lambda column, items, market: items + market + len(column),
    )
    found = window(catalog, np.arange(4), 28)
    assert found.exposure == pytest.approx([2 / 28, 0.25, 1, 1])
    np.testing.assert_array_equal(found.starts, [[12, 13, 14, 15]])


def test_a_week_beyond_luck_is_a_trend_and_what_scatters_is_none() -> None:
    due = np.full(4, 100.0)
    steady, scattered, risen, fallen = trends(np.array([100.0, 125.0, 280.0, 35.0]), due)
    assert steady == pytest.approx(1.0, abs=0.02)
    assert scattered == pytest.approx(1.0, abs=0.05)
    assert risen == pytest.approx(2.7, abs=0.3)
    assert fallen < 0.6
    # Where hardly anything is due nothing can be seen.
    assert trends(np.array([3.0]), np.array([0.5])) == pytest.approx([1.0], abs=0.3)
    assert trends(np.zeros(1), np.zeros(1)) == pytest.approx([1.0], abs=0.05)
    assert trends(np.array([50.0]), np.zeros(1)) == pytest.approx([1.0])


def test_a_trend_of_the_last_week_counts_for_that_item_alone() -> None:
    nobody = np.zeros((N_LISTENERS, N_ITEMS), bool)
    found = measured(nobody, started_once(nobody, np.ones((N_LISTENERS, N_ITEMS))))
    starts, latest = np.full((2, N_ITEMS), 400.0), np.full((2, N_ITEMS), 100.0)
    latest[:, 4] = 300.0
    recent = Window(starts, THERE_ALL_DAYS)
    steady, risen = (
        found.at_present(recent, Window(one, THERE_ALL_DAYS), SHOWN, ONE_TYPE, np.arange(2))
        for one in (starts / 4, latest)
    )
    moved = np.exp(risen - steady)
    assert (moved[:, 4] > 2.0).all()
    assert np.delete(moved, 4, axis=1) == pytest.approx(np.ones((2, N_ITEMS - 1)), abs=0.3)


def test_starts_where_none_were_due_leave_a_chance() -> None:
    # Whoever starts anything knew item 1; or the type had no recent start in the fit at all.
    known = np.zeros((N_LISTENERS, N_ITEMS), bool)
    known[:, 1] = True
    recent = started_once(known, np.ones((N_LISTENERS, N_ITEMS)))
    starts = np.full((2, N_ITEMS), 300.0)
    for found in (measured(known, recent), measured(known, np.zeros_like(known))):
        assert (found.due[:, 1] == 0).all()
        assert np.isfinite(at_present(found, starts, THERE_ALL_DAYS, np.arange(2))).all()
    nothing_due = present(measured(known, np.zeros_like(known)), starts, THERE_ALL_DAYS)
    assert nothing_due == pytest.approx(np.ones((2, N_ITEMS)), rel=0.1)


def test_who_chooses_is_never_told_by_a_few() -> None:
    x = np.tile([0.7, -1.2], (N_LISTENERS, 1))
    recent = np.zeros((N_LISTENERS, N_ITEMS), bool)
    recent[:19, 3] = True
    few = measured(recent, recent, x).choosing
    np.testing.assert_array_equal(few.mean, 0)
    np.testing.assert_array_equal(few.covariance[0], np.eye(2))
    recent[:200, 3] = True
    many = measured(recent, recent, x).choosing
    assert many.mean[0] == pytest.approx([0.56, -0.96], abs=0.01)


def kept(started: sparse.csr_matrix, markets: np.ndarray, n_markets: int) -> tuple[Any, Any]:
    """Chances and what was due, of listeners who all started lately and have no taste."""
    chance = chances(started, ONE_TYPE, markets, n_markets)
    vectors = Vectors(
        np.zeros((N_ITEMS, 1)), np.zeros((N_ITEMS, 1), np.int64), np.zeros((N_ITEMS, 1)), 1,
        np.full(N_ITEMS, -1), 0,
    )  # fmt: skip
    found = measure(
        started, started, ONE_TYPE, markets, np.zeros((len(markets), 2)), vectors, chance,
        np.zeros(N_ITEMS), CEILING,
    )  # fmt: skip
    return chance, found.due


def crowd(n: int, item: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Market 0 has 100 listeners of the items 0 and 1, market 1 has n of one item."""
    starts = np.zeros((100 + n, N_ITEMS))
    starts[np.arange(100), np.arange(100) % 2] = 1.0
    starts[100:, item] = 1.0
    return sparse.csr_matrix(starts), np.repeat([0, 1], [100, n])


@pytest.mark.parametrize("n", [1, 19])
def test_what_few_listeners_of_a_market_started_changes_nothing_that_is_kept(n: int) -> None:
    chance, due = kept(*crowd(n, 3), 2)
    other_chance, other_due = kept(*crowd(n, 5), 2)
    np.testing.assert_array_equal(chance, other_chance)
    np.testing.assert_array_equal(due, other_due)
    np.testing.assert_array_equal(chance[1], chance[-1])
    # So nor does the difference of two rows.
    np.testing.assert_array_equal(due[-1], due[0])
    assert due[0].sum() == pytest.approx(100)
    assert chance[0, 0] > 0.4


def test_enough_listeners_of_a_market_are_told_of() -> None:
    chance, due = kept(*crowd(20, 3), 2)
    assert chance[1, 3] > 0.5
    assert due[1].sum() == pytest.approx(20)
    assert due[-1].sum() == pytest.approx(120)


def test_small_markets_count_together_if_they_are_enough() -> None:
    started, markets = crowd(20, 3)
    chance, due = kept(started, markets + (np.arange(120) >= 110), 3)
    for small in (1, 2):
        np.testing.assert_array_equal(chance[small], chance[-1])
        assert not due[small].any()
    assert chance[-1, 3] == pytest.approx(20.5 / 124)
    assert due[-1].sum() == pytest.approx(120)


def test_a_type_that_few_start_anywhere_is_even() -> None:
    starts = np.zeros((40, N_ITEMS))
    starts[:19, 2] = 1.0
    chance, due = kept(sparse.csr_matrix(starts), np.arange(40) % 2, 2)
    np.testing.assert_allclose(chance, 1 / N_ITEMS)
    assert not due.any()


def test_few_of_one_type_are_few_whatever_else_they_started() -> None:
    # Everybody starts items of type 0; of type 1, three listeners of market 1 do.
    types = np.repeat([0, 1], 4)
    starts = np.zeros((60, N_ITEMS))
    starts[np.arange(60), np.arange(60) % 4] = 1.0
    starts[:30, 4], starts[30:33, 7] = 1.0, 1.0
    chance = chances(sparse.csr_matrix(starts), types, np.repeat([0, 1], 30), 2)
    assert not np.array_equal(chance[1, :4], chance[-1, :4])
    np.testing.assert_array_equal(chance[1, 4:], chance[-1, 4:])
    assert chance[0, 4] > 0.5


def test_a_market_with_few_recent_starts_is_not_corrected_for_what_it_always_starts() -> None:
    # Item 7 is half of what market 1 starts and a tenth elsewhere; its fit had 19 or 20 lately.
    usual = np.array([np.full(N_ITEMS, 0.9 / 7), np.full(N_ITEMS, 0.5 / 7), np.full(N_ITEMS, 0.1)])
    usual[:, 7] = 0.1, 0.5, 0.3
    due = usual * np.array([[500.0], [20.0], [520.0]])
    known = Popularity(
        np.log(usual), due, Choosing(np.zeros(1), np.zeros((1, 2)), np.zeros((1, 2, 2)))
    )
    few = replace(known, due=due * np.array([[1.0], [0.0], [1.0]]))
    starts = usual[:2] * 2_000
    one, other = (at_present(f, starts, THERE_ALL_DAYS, np.arange(2)) for f in (known, few))
    np.testing.assert_allclose(one, other, atol=0.05)


def test_what_an_item_that_nobody_knows_would_get_is_told_by_who_chooses() -> None:
    rng = np.random.default_rng(11)
    n = 200_000
    mean, spread = np.array([0.3, -0.2, 0.1]), rng.standard_normal((3, 3)) * 0.4
    x = mean + rng.standard_normal((n, 3)) @ spread.T
    vectors = Vectors(
        np.array([[0.8, -0.5], [0.0, 1.1], [0.0, 0.0]]),
        np.zeros((3, 1), np.int64),
        np.array([[0.5], [0.0], [-0.7]]),
        1,
        np.full(3, -1),
        0,
    )
    ceiling, log_mass = 1.5, 0.4
    choosing = Choosing(np.array([log_mass]), mean[None], (spread @ spread.T)[None])
    liked = np.exp(x[:, :2] @ vectors.factors.T)
    odds = liked / (1 + liked / np.exp(ceiling)) * np.exp(x[:, 2:] @ vectors.strength.T)
    expected = log_mass + np.log(odds.mean(axis=0))
    np.testing.assert_allclose(choosing.log_share(vectors, 0, ceiling), expected, atol=0.02)


def test_who_chooses_is_measured_so_that_a_chance_gives_the_starts_it_had() -> None:
    rng = np.random.default_rng(3)
    x = np.zeros((N_LISTENERS, 2))
    x[:, 0] = rng.standard_normal(N_LISTENERS)
    known = np.zeros((N_LISTENERS, N_ITEMS), bool)
    known[:, 2] = np.arange(N_LISTENERS) % 2 < 1
    recent = started_once(known, np.exp(x[:, :1] * np.linspace(-1, 1, N_ITEMS)))
    found = measured(known, recent, x)
    vectors = Vectors(
        np.linspace(-1, 1, N_ITEMS)[:, None],
        np.zeros((N_ITEMS, 1), np.int64),
        np.zeros((N_ITEMS, 1)),
        1,
        np.full(N_ITEMS, -1),
        0,
    )
    share = recent.sum(axis=0) / recent.sum()
    chance = share / np.exp(found.choosing.log_share(vectors, 0, CEILING))
    fresh = np.arange(N_ITEMS) != 2
    # All have the same chance in truth, but the one that half of them knew.
    np.testing.assert_allclose(chance[fresh], 1 / N_ITEMS, rtol=0.2)
    assert chance[2] < 0.75 / N_ITEMS


def test_what_languages_do_has_no_part_in_the_prior_of_who_chooses() -> None:
    vectors = Vectors(
        np.zeros((N_ITEMS, 1)), np.zeros((N_ITEMS, 1), np.int64), np.zeros((N_ITEMS, 1)), 1,
        np.zeros(N_ITEMS, np.int64), 1,
    )  # fmt: skip
    started = sparse.csr_matrix(np.eye(N_ITEMS))
    found = measure(
        started, started, ONE_TYPE, np.zeros(N_ITEMS, np.int64), np.zeros((N_ITEMS, 3)), vectors,
        np.full((2, N_ITEMS), 1 / N_ITEMS), np.zeros(N_ITEMS), CEILING,
    )  # fmt: skip
    np.testing.assert_array_equal(found.choosing.covariance[0], np.diag([1.0, 1.0, 0.0]))
