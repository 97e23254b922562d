"""What a fit learns of new items, where it was planted."""

import json

import numpy as np
import pytest

from homerec.candidates.starts.novelty import Novelty

DAYS, N_OLD = 60, 1_500
BOOST, FADES, SHAPE = 3.0, 8.0, 2.0


def planted(seed: int, n_new: int, boost: float = BOOST) -> tuple[np.ndarray, np.ndarray]:
    """Starts by day, and ages: new items have gamma rates of a mean of 12 starts a day."""
    rng = np.random.default_rng(seed)
    age = np.concatenate([np.full(N_OLD, np.inf), rng.uniform(0, DAYS, n_new)])
    rate = 12 * rng.gamma(SHAPE, 1 / SHAPE, len(age))
    before = np.minimum(age, 1e6)[:, None] - np.arange(DAYS)
    times = 1 + boost * np.exp(-np.maximum(before - 0.5, 0) / FADES)
    mean = rate[:, None] * times * np.clip(before, 0, 1)
    return rng.poisson(mean).astype(float), age


def learned(daily: np.ndarray, age: np.ndarray) -> Novelty:
    """Learn where market 0 has three quarters, but of items in xx a quarter of the starts."""
    languages = ["xx" if i % 3 else "" for i in range(len(age))]
    share = np.array([[0.25 if one else 0.93 for one in languages]])
    here = np.concatenate([share, 1 - share]) * daily.sum(axis=1)
    return Novelty.learn(daily, age, here, languages, np.ones(2, bool))


@pytest.fixture(scope="module")
def found() -> Novelty:
    return learned(*planted(1, 60))


def test_how_fast_novelty_passes_is_read_from_when_starts_came(found: Novelty) -> None:
    assert found.boost == pytest.approx(BOOST, rel=0.25)
    assert found.days == pytest.approx(FADES, rel=0.25)


def test_new_items_are_told_apart_from_old_ones_and_from_each_other(found: Novelty) -> None:
    daily, age = planted(1, 60)
    share = 12 / daily.sum(axis=0).mean()
    assert found.rate == pytest.approx(share, rel=0.2)
    assert found.shape == pytest.approx(SHAPE, rel=0.5)
    weak = learned(np.where(np.isinf(age)[:, None], daily, daily / 4), age)
    assert weak.rate < 0.4 * found.rate


def test_without_new_items_nothing_is_assumed_to_pass() -> None:
    daily, age = planted(2, 0)
    none = learned(daily, age)
    assert none.boost == pytest.approx(0.0, abs=1e-3)
    assert none.rate == pytest.approx(1 / N_OLD, rel=1e-6)
    assert none.shape == pytest.approx(1.0, abs=0.01)


def test_items_that_only_are_new_get_no_boost() -> None:
    assert learned(*planted(3, 60, boost=0.0)).boost < 0.2


def test_a_type_that_nobody_starts_has_an_even_chance() -> None:
    silent = Novelty.learn(
        np.zeros((4, DAYS)), np.full(4, 3.0), np.zeros((2, 4)), [""] * 4, np.ones(2, bool)
    )
    assert silent.rate == pytest.approx(1 / 4)
    chance = silent.log_chance(
        np.zeros((2, 1)), np.array([3.0]), [""], np.zeros(2), 28, np.arange(2)
    )
    assert np.isfinite(chance).all()


def test_starts_before_a_release_are_no_novelty() -> None:
    daily, age = planted(4, 40)
    early = daily.copy()
    early[N_OLD:, -1] += 500
    odd, even = (
        Novelty.learn(one, age, daily.sum(axis=1)[None], [""] * len(age), np.ones(1, bool))
        for one in (early, daily)
    )
    assert odd.boost == pytest.approx(BOOST, rel=0.4)
    assert odd.rate == pytest.approx(even.rate, rel=0.2)
    assert odd.shape == pytest.approx(even.shape, rel=0.3)
    before = Novelty.learn(
        np.eye(1, 5, 3), np.array([0.3]), np.ones((1, 1)), [""], np.ones(1, bool)
    )
    assert before.rate == pytest.approx(1.0)


def test_an_item_that_is_not_out_yet_is_one_that_appears(found: Novelty) -> None:
    np.testing.assert_array_equal(chance(found, [0, 0], -3.0), chance(found, [0, 0], 0.0))


def test_days_before_the_history_are_no_days_without_starts(found: Novelty) -> None:
    age, week = np.array([5.0]), found.boost * found.days
    due = 1_000 * (5 + week * (1 - np.exp(-5 / found.days)))
    starts = np.array([[found.rate * due], [0.0]])

    def told(days: float) -> float:
        of_market = np.array([1_000.0 * days, 0.0])
        log = found.log_chance(starts, age, [""], of_market, days, np.arange(2))
        return float(np.exp(log[0, 0]))

    assert told(7) == pytest.approx(told(28), rel=0.05)


def chance(found: Novelty, starts: list[float], age: float, language: str = "") -> np.ndarray:
    """Chance of one item by market, where all items have 28,000 starts in 28 days."""
    seen = np.array([[one] for one in starts])
    of_market = np.array([21_000.0, 7_000.0])
    log = found.log_chance(seen, np.array([age]), [language], of_market, 28, np.arange(2))
    return np.asarray(np.exp(log[:, 0]))


def everywhere(found: Novelty, starts: list[float], age: float) -> float:
    return float(chance(found, starts, age) @ [0.75, 0.25])


def test_an_item_that_appears_is_expected_to_do_as_new_ones_did(found: Novelty) -> None:
    week = found.boost * found.days * (1 - np.exp(-7 / found.days)) / 7
    assert everywhere(found, [0, 0], 0.0) == pytest.approx(found.rate * (1 + week), rel=0.01)
    # An old item that nobody starts is not.
    assert everywhere(found, [0, 0], np.inf) < 0.15 * found.rate


def shut_at_first(daily: np.ndarray, age: np.ndarray) -> np.ndarray:
    """The same starts, but for those on the day of a release."""
    before = age[:, None] - np.arange(daily.shape[1])
    return np.where((before > 0) & (before < 1), 0.0, daily)


def test_for_how_much_the_day_of_a_release_counts_is_learned(found: Novelty) -> None:
    daily, age = planted(1, 60)
    assert found.opening == pytest.approx(1.0, abs=0.1)
    shut = learned(shut_at_first(daily, age), age)
    assert shut.opening < 0.01
    half = learned(shut_at_first(daily, age) + (daily - shut_at_first(daily, age)) // 2, age)
    assert half.opening == pytest.approx(0.5, abs=0.06)
    # What new items are started later is the same.
    assert shut.rate == pytest.approx(found.rate, rel=0.05)
    assert shut.boost == pytest.approx(found.boost, rel=0.1)


def test_no_start_on_the_day_of_the_release_says_nothing_where_there_is_none(
    found: Novelty,
) -> None:
    daily, age = planted(1, 60)
    shut = learned(shut_at_first(daily, age), age)
    new = everywhere(shut, [0.0, 0.0], 0.0)
    assert everywhere(shut, [0.0, 0.0], 0.9) > 0.85 * new
    assert everywhere(found, [0.0, 0.0], 0.9) < 0.5 * everywhere(found, [0.0, 0.0], 0.0)
    # From the next day on it does.
    assert everywhere(shut, [0.0, 0.0], 1.9) < 0.5 * new


def test_without_new_items_a_day_of_release_counts_as_a_part_of_a_day() -> None:
    assert learned(*planted(2, 0)).opening == 1.0


def test_its_own_starts_soon_decide(found: Novelty) -> None:
    """Four days, 1,000 starts a day of all items."""
    due = 1_000 * (4 + found.boost * found.days * (1 - np.exp(-4 / found.days)))
    ahead = everywhere(found, [0, 0], 4.0) / everywhere(found, [0, 0], 0.0)
    assert ahead < 0.5
    for times in (0.5, 4.0):
        count = times * found.rate * due
        told = everywhere(found, [0.75 * count, 0.25 * count], 4.0)
        aged = 1 + found.boost * found.days / 7 * (
            np.exp(-4 / found.days) - np.exp(-11 / found.days)
        )
        # It is drawn towards the mean of new items, but not far.
        assert told == pytest.approx(times * found.rate * aged, rel=0.25)


def test_a_market_is_told_by_the_language_until_starts_tell_it(found: Novelty) -> None:
    spoken, neutral = chance(found, [0, 0], 1.0, "xx"), chance(found, [0, 0], 1.0)
    assert spoken[1] > 2 * spoken[0]
    assert neutral[0] > neutral[1]
    unknown = chance(found, [0, 0], 1.0, "zz")
    assert unknown[0] == pytest.approx(unknown[1], rel=0.01)
    shown = chance(found, [400, 0], 5.0, "xx")
    assert shown[0] > 3 * shown[1]


def test_a_market_that_was_not_known_has_no_language_of_its_own(found: Novelty) -> None:
    of_market = np.array([21_000.0, 7_000.0])
    log = found.log_chance(
        np.zeros((2, 1)), np.array([1.0]), ["xx"], of_market, 28, np.array([0, -1])
    )
    assert log[1, 0] > log[0, 0]


def test_it_is_the_same_after_json(found: Novelty) -> None:
    again = Novelty.from_json(json.loads(json.dumps(found.to_json())))
    np.testing.assert_array_equal(
        chance(again, [3, 1], 2.0, "xx"), chance(found, [3, 1], 2.0, "xx")
    )


def test_what_languages_a_market_of_few_starts_is_not_kept() -> None:
    daily, age = planted(5, 20)
    languages = ["xx" if i % 3 else "" for i in range(len(age))]
    of_many = np.array([True, True, False])
    lifts = []
    for few in (0.0, 9.0):
        here = np.stack([daily.sum(axis=1), daily.sum(axis=1) / 2, few * np.ones(len(age))])
        lifts.append(Novelty.learn(daily, age, here, languages, of_many).lift)
    for language in ("xx", ""):
        np.testing.assert_array_equal(lifts[0][language], lifts[1][language])
        assert lifts[0][language][2] == 1.0
        assert lifts[0][language][0] == pytest.approx(1.0, abs=0.01)
