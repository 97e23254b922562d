import math

import numpy as np
import pytest

from homerec.training.metrics import METRICS, Ranked, list_metrics, mean_by


def ranked(*lists: tuple[list[bool], int]) -> Ranked:
    """Lists of hits in rank order, with the number of relevant items."""
    return Ranked(
        np.concatenate([np.full(len(hits), n) for n, (hits, _) in enumerate(lists)]).astype(
            np.int64
        ),
        np.concatenate([np.arange(1, len(hits) + 1) for hits, _ in lists]).astype(np.float32),
        np.concatenate([np.array(hits, dtype=bool) for hits, _ in lists]),
        np.array([n for _, n in lists]),
    )


IDEAL3 = 1 + 1 / math.log2(3) + 1 / 2


@pytest.mark.parametrize(
    ("hits", "n_relevant", "ndcg", "recall", "hit_rate", "mrr"),
    [
        ([True, False, False], 1, 1, 1, 1, 1),
        ([False, True, False], 1, 1 / math.log2(3), 1, 1, 1 / 2),
        ([False, False, True], 1, 1 / 2, 1, 1, 1 / 3),
        ([False, False, False, True], 1, 0, 0, 0, 0),
        ([True, False, True], 2, 1.5 / (1 + 1 / math.log2(3)), 1, 1, 1),
        ([True, False, True], 3, 1.5 / IDEAL3, 2 / 3, 1, 1),
        # More relevant items than cards: the best possible list is full of hits.
        ([True, True, True], 9, 1, 1 / 3, 1, 1),
        ([], 2, 0, 0, 0, 0),
    ],
)
def test_metrics_at_3_are_those_computed_by_hand(
    hits: list[bool], n_relevant: int, ndcg: float, recall: float, hit_rate: float, mrr: float
) -> None:
    found = list_metrics(ranked((hits, n_relevant)), k=3)
    assert tuple(found) == METRICS
    values = [float(found[name][0]) for name in METRICS]
    assert values == pytest.approx([ndcg, recall, hit_rate, mrr])


def test_lists_do_not_mix_and_an_empty_one_counts_zero() -> None:
    found = list_metrics(ranked(([False, True], 1), ([], 1), ([True], 2)), k=10)
    assert found["mrr"].tolist() == [0.5, 0, 1]
    assert found["recall"].tolist() == [1, 0, 0.5]
    assert found["ndcg"].tolist() == pytest.approx(
        [1 / math.log2(3), 0, 1 / (1 + 1 / math.log2(3))]
    )


def test_the_order_of_the_cards_does_not_matter() -> None:
    one = ranked(([False, True, True], 2), ([True, False], 1))
    back = Ranked(one.lists[::-1], one.rank[::-1], one.hit[::-1], one.n_relevant)
    for metric, values in list_metrics(one, 5).items():
        np.testing.assert_allclose(list_metrics(back, 5)[metric], values)


def test_means_are_by_group() -> None:
    groups, means = mean_by(np.array([1.0, 0, 0.5, 1]), np.array([7, 3, 3, 7]))
    assert groups.tolist() == [3, 7]
    assert means.tolist() == [0.25, 1]
