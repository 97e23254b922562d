"""What is popular at present, where recent starts alone would tell something else."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from homerec.candidates.starts_folding import Vectors
from homerec.candidates.starts_popularity import (
    Popularity,
    by_starts_alone,
    exposures,
    measure,
)

N_ITEMS, N_LISTENERS, SHOWN = 8, 4_000, np.arange(8)
ONE_TYPE = np.zeros(N_ITEMS, np.int64)
THERE_ALL_DAYS = np.ones(N_ITEMS)


def measured(known: np.ndarray, recent: np.ndarray, x: np.ndarray | None = None) -> Popularity:
    """Measure items that the long run has all alike, in two markets of half the listeners."""
    vectors = Vectors(
        np.linspace(-1, 1, N_ITEMS)[:, None],
        np.zeros((N_ITEMS, 1), np.int64),
        np.zeros((N_ITEMS, 1)),
        1,
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
    )


def started_once(known: np.ndarray, odds: np.ndarray, seed: int = 5) -> np.ndarray:
    """Let everybody start one item that they do not know, by odds."""
    luck = np.random.default_rng(seed).gumbel(size=known.shape)
    best = np.where(known, -np.inf, np.log(odds) + luck).argmax(axis=1)
    return np.eye(N_ITEMS, dtype=bool)[best]


def counts(recent: np.ndarray) -> np.ndarray:
    return np.stack([recent[market::2].sum(axis=0) for market in range(2)]).astype(float)


def present(found: Popularity, starts: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Chances at present, relative to the last item's, float (2, n_items)."""
    at = found.at_present(starts, exposure, SHOWN, ONE_TYPE, np.arange(2))
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
    starts = np.full((2, N_ITEMS), 2_800.0)
    starts[:, 2] = 200.0
    exposure = np.where(SHOWN == 2, 2 / 28, 1.0)
    assert present(found, starts, THERE_ALL_DAYS)[:, 2] == pytest.approx([1 / 14] * 2, rel=0.1)
    assert present(found, starts, exposure)[:, 2] == pytest.approx([1, 1], rel=0.1)


def test_a_trend_counts_everywhere_and_more_where_it_is() -> None:
    nobody = np.zeros((N_LISTENERS, N_ITEMS), bool)
    found = measured(nobody, started_once(nobody, np.ones((N_LISTENERS, N_ITEMS))))
    starts = np.full((2, N_ITEMS), 1_000.0)
    starts[0, 4] = 4_000.0
    trend = present(found, starts, THERE_ALL_DAYS)[:, 4]
    assert trend == pytest.approx([4.0, 1.0], rel=0.1)
    # Few starts are no trend.
    few = np.full((2, N_ITEMS), 2.0)
    few[0, 4] = 8.0
    assert 1.0 < present(found, few, THERE_ALL_DAYS)[0, 4] < 2.5


def test_a_market_that_is_not_known_or_was_silent_is_read_from_all_markets() -> None:
    nobody = np.zeros((N_LISTENERS, N_ITEMS), bool)
    recent = started_once(nobody, np.linspace(1, 4, N_ITEMS) * np.ones((N_LISTENERS, 1)))
    found = measured(nobody, recent)
    silent = Popularity(found.log_chance, found.due * np.array([[1], [0], [1]]))
    starts = np.full((1, N_ITEMS), 500.0)
    unknown = found.at_present(starts, THERE_ALL_DAYS, SHOWN, ONE_TYPE, np.array([-1]))
    quiet = silent.at_present(starts, THERE_ALL_DAYS, SHOWN, ONE_TYPE, np.array([1]))
    np.testing.assert_allclose(unknown, quiet)
    none = found.at_present(np.zeros((2, N_ITEMS)), THERE_ALL_DAYS, SHOWN, ONE_TYPE, np.arange(2))
    np.testing.assert_allclose(none, found.log_chance[:2])


def test_an_item_was_there_since_its_release_but_is_not_judged_by_hours() -> None:
    ages = np.array([0.1, 7.0, 500.0, np.nan], np.float32)
    catalog: Any = SimpleNamespace(columns={"age_days": ages})
    assert exposures(catalog, np.arange(4), 28) == pytest.approx([2 / 28, 0.25, 1, 1])


def test_without_a_fit_starts_a_day_decide_within_the_type() -> None:
    starts = np.array([[10.0, 40.0, 5.0, 5.0], [0.0, 0.0, 8.0, 8.0]])
    types = np.array([1, 1, 2, 2])
    chance = np.exp(by_starts_alone(starts, np.array([0.25, 1.0, 1.0, 1.0]), types))
    np.testing.assert_allclose([chance[:, :2].sum(axis=1), chance[:, 2:].sum(axis=1)], 1.0)
    assert chance[0, 0] == pytest.approx(chance[0, 1])
    # A market that started nothing of a type follows the others.
    assert chance[1, :2] == pytest.approx([0.5, 0.5])
