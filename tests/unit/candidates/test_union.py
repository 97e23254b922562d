"""The union of sources, and ranking helpers, by hand."""

from typing import ClassVar

import numpy as np
import pytest

from homerec.candidates.base import CandidateSource, Prepared, Query, Top
from homerec.candidates.topk import concatenate, dot_pairs, rank_pairs, top_k
from homerec.candidates.union import SourceLimit, union


class _Catalog:
    items = np.arange(100, 2_000)


class _Shard:
    catalog = _Catalog()
    n_listeners = 3


class _Said(Prepared):
    def __init__(self, cards: dict[int, list[int]]) -> None:
        self.cards = cards

    def top(self, k: int) -> Top:
        rows = [(who, what, r) for who, i in self.cards.items() for r, what in enumerate(i[:k], 1)]
        listener, item, rank = (np.array(c, np.int64) for c in zip(*rows, strict=True))
        return Top(listener, item, 10.0 - rank, rank.astype(np.float32))

    def score(self, listener: np.ndarray, item: np.ndarray) -> np.ndarray:
        return (item + 1000 * listener).astype(np.float32)


class _First(CandidateSource):
    name: ClassVar[str] = "first"

    def prepare(self, query: Query) -> Prepared:
        return _Said(self.parameters["cards"])


class _Second(_First):
    name: ClassVar[str] = "second"


def joined(by_daypart: bool = False, k: int = 5) -> object:
    query = Query(_Shard(), np.arange(3), ("show",))  # type: ignore[arg-type]
    first = _First(cards={0: [7, 3], 2: [1]})
    second = _Second(cards={0: [3, 9]})
    return union(query, [SourceLimit(first, k), SourceLimit(second, 1)], by_daypart=by_daypart)


def test_every_pair_comes_once_with_what_each_source_says() -> None:
    pairs = joined()
    assert pairs.listener.tolist() == [0, 0, 2]
    assert pairs.item.tolist() == [3, 7, 1]
    assert pairs.daypart.tolist() == [-1, -1, -1]
    np.testing.assert_array_equal(pairs.sources["first_rank"], [2, 1, 1])
    np.testing.assert_array_equal(pairs.sources["second_rank"], [1, np.nan, np.nan])
    # A source says what it thinks of the others' candidates too.
    np.testing.assert_array_equal(pairs.sources["second_score"], [3, 7, 2001])


def test_each_source_keeps_its_limit() -> None:
    assert joined(k=1).item.tolist() == [3, 7, 1]
    np.testing.assert_array_equal(joined(k=1).sources["first_rank"], [np.nan, 1, 1])


def test_lists_by_daypart_repeat_the_pairs() -> None:
    pairs = joined(by_daypart=True)
    assert pairs.daypart.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert pairs.item.tolist() == [3, 7, 1] * 4
    assert all(len(values) == 12 for values in pairs.sources.values())


def test_no_source_is_no_candidate() -> None:
    assert len(union(Query(_Shard(), np.arange(3), ("show",)), [])) == 0  # type: ignore[arg-type]


def test_pairs_are_ranked_by_score_then_item_within_a_listener() -> None:
    top = rank_pairs(
        np.array([1, 0, 1, 1, 0]), np.array([9, 2, 4, 5, 1]), np.array([1, 3, 1, 2, 3], "f4"), 2
    )
    assert list(zip(top.listener, top.item, top.rank, strict=True)) == [
        (0, 1, 1), (0, 2, 2), (1, 5, 1), (1, 4, 2),
    ]  # fmt: skip


def test_nothing_joins_to_nothing() -> None:
    assert len(concatenate([]).item) == 0


class _Open(Query):
    def allowed(self, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        return np.ones((len(rows), len(items)), dtype=np.bool_)


@pytest.mark.parametrize("n_equal", [1, 10, 17, 50, 900])
@pytest.mark.parametrize("k", [1, 10, 40])
def test_the_cut_is_exact_among_scores_that_rounding_made_equal(n_equal: int, k: int) -> None:
    # The block's scores hide the order of many items; the exact scores know it.
    rng = np.random.default_rng(n_equal)
    items = np.arange(1_000)
    truth = np.sort(rng.random((3, 1_000)), axis=1)[:, ::-1].astype(np.float32)
    middle = slice(5, 5 + n_equal)
    truth[:, middle] = truth[:, 5:6] * (1 + 1e-7 * rng.integers(-2, 3, (3, n_equal)))
    order = rng.permutation(1_000)
    truth = truth[:, order].astype(np.float32)
    noise = 1 + 3e-7 * rng.standard_normal(truth.shape)

    query = _Open(_Shard(), np.arange(3), ("show",))  # type: ignore[arg-type]
    top = top_k(
        query, items, k, lambda rows: (truth * noise).astype("f4")[rows], lambda a, b: truth[a, b]
    )
    for row in range(3):
        best = np.lexsort((items, -truth[row]))[:k]
        assert top.item[top.listener == row].tolist() == best.tolist()


def test_scores_that_are_not_finite_are_left_out() -> None:
    scores = np.full((3, 100), -np.inf, dtype=np.float32)
    scores[0, [7, 9]] = 1
    query = _Open(_Shard(), np.arange(3), ("show",))  # type: ignore[arg-type]
    top = top_k(query, np.arange(100), 5, lambda rows: scores[rows], lambda a, b: scores[a, b])
    assert top.listener.tolist() == [0, 0]
    assert top.item.tolist() == [7, 9]


def test_inner_products_do_not_depend_on_the_pairs_beside_them() -> None:
    rng = np.random.default_rng(2)
    left, right = (rng.normal(size=(50, 64)).astype(np.float32) for _ in range(2))
    at = rng.integers(0, 50, (2, 70_000))
    together = dot_pairs(left, right, *at)
    assert together.dtype == np.float32
    for n in (0, 65_535, 65_536, 69_999):
        assert dot_pairs(left, right, at[0, n : n + 1], at[1, n : n + 1])[0] == together[n]
    np.testing.assert_allclose(together[:9], (left[at[0, :9]] * right[at[1, :9]]).sum(1), rtol=1e-4)
