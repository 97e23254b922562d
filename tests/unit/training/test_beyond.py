"""Novelty, diversity, calibration and exposure, against the papers' formulas written out."""

import math

import numpy as np
import pytest

from homerec.training.beyond import (
    BEYOND,
    Cards,
    calibration,
    diversity,
    gini,
    list_character,
    novelty,
)  # fmt: skip

N_LISTS, N_ITEMS, N_TAGS = 30, 40, 7


def world(seed: int) -> tuple[Cards, np.ndarray, np.ndarray, np.ndarray]:
    """Random lists of 1 to 9 cards, listeners of the items, tags of items, taste of lists."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(N_ITEMS, int(rng.integers(1, 10)), replace=False) for _ in range(N_LISTS)]
    cards = Cards(
        np.repeat(np.arange(N_LISTS), [len(c) for c in chosen]), np.concatenate(chosen), N_LISTS
    )
    has = rng.random((N_ITEMS, N_TAGS)) < 0.35
    has[0] = False
    tags = has / np.sqrt(np.maximum(has.sum(axis=1, keepdims=True), 1))
    return cards, rng.integers(0, 90, N_ITEMS), tags, rng.random((N_LISTS, N_TAGS)) ** 2


def by_the_papers(
    items: np.ndarray, listeners: np.ndarray, n: int, tags: np.ndarray, taste: np.ndarray
) -> list[float]:
    """One list's figures by loops: Vargas and Castells 2011, Steck 2018, Lin 1991."""
    surprise = [-math.log2((listeners[i] + 1) / (n + 1)) for i in items]
    tagged = [i for i in items if tags[i].any()]
    apart = [1 - float(tags[i] @ tags[j]) for i in tagged for j in tagged if i != j]
    shown = sum((tags[i] > 0) / (tags[i] > 0).sum() for i in tagged) if tagged else None
    if shown is None:
        return [float(np.mean(surprise)), math.nan, math.nan, math.nan]
    p, q = taste / taste.sum(), shown / shown.sum()

    def kl(a: np.ndarray, b: np.ndarray) -> float:
        return sum(x * math.log2(x / y) for x, y in zip(a, b, strict=True) if x > 0)

    middle = (p + q) / 2
    return [
        float(np.mean(surprise)),
        float(np.mean(apart)) if apart else math.nan,
        (kl(p, middle) + kl(q, middle)) / 2,
        kl(p, 0.99 * q + 0.01 * p),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_lists_have_the_values_of_the_papers_formulas(seed: int) -> None:
    cards, listeners, tags, taste = world(seed)
    found = list_character(cards, listeners, 120, tags, taste)
    assert tuple(found) == BEYOND
    for number in range(N_LISTS):
        items = cards.item[cards.lists == number]
        wanted = by_the_papers(items, listeners, 120, tags, taste[number])
        assert [found[m][number] for m in BEYOND] == pytest.approx(wanted, nan_ok=True, abs=1e-12)


def test_an_item_nobody_knows_surprises_most_and_one_that_all_know_not_at_all() -> None:
    cards = Cards(np.array([0, 1]), np.array([0, 1]), 3)
    found = novelty(cards, np.array([0.0, 7.0]), 7)
    assert found[:2].tolist() == [3.0, 0.0]
    assert np.isnan(found[2])


def test_alike_cards_have_no_diversity_and_unlike_ones_all_of_it() -> None:
    cards = Cards(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 0, 2]), 4)
    tags = np.array([[1.0, 0], [0, 1], [0, 0]])
    found = diversity(cards, tags)
    assert found[:2].tolist() == [0.0, 1.0]
    # One card without tags, and no card at all: there is no pair to compare.
    assert np.isnan(found[2:]).all()


def test_a_calibrated_list_diverges_nowhere_and_an_unknown_taste_has_no_value() -> None:
    taste = np.array([[2.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    shown = np.array([[4.0, 2.0], [0.0, 3.0], [1.0, 1.0], [0.0, 0.0]])
    kl, js = calibration(taste, shown)
    assert js[:2] == pytest.approx([0, 1])
    assert kl[:2] == pytest.approx([0, -math.log2(0.01)])
    assert np.isnan(kl[2:]).all()
    assert np.isnan(js[2:]).all()


@pytest.mark.parametrize("seed", range(3))
def test_gini_is_half_the_mean_difference_over_the_mean(seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 9, 25)
    wanted = np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())
    assert gini(x) == pytest.approx(wanted)
    assert gini(x[::-1] * 3) == pytest.approx(wanted)


def test_gini_without_exposure_does_not_exist() -> None:
    assert math.isnan(gini(np.zeros(4)))
    assert math.isnan(gini(np.zeros(0)))
