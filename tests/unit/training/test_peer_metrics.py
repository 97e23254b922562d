"""Metrics against ranx, on the same lists."""

import numpy as np
import pytest
from ranx import Qrels, Run, evaluate

from homerec.training.metrics import METRICS, Ranked, list_metrics

N_LISTS, N_ITEMS = 60, 80


def random_lists(seed: int) -> tuple[Ranked, dict, dict]:
    """Lists of 0 to 25 cards with 1 to 12 relevant items, for us and for ranx."""
    rng = np.random.default_rng(seed)
    lists, ranks, hits, n_relevant = [], [], [], []
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for number in range(N_LISTS):
        relevant = rng.choice(N_ITEMS, int(rng.integers(1, 13)), replace=False)
        # ranx refuses a list without cards, ours counts 0: see the test by hand.
        cards = rng.choice(N_ITEMS, int(rng.integers(1, 26)), replace=False)
        lists.append(np.full(len(cards), number))
        ranks.append(np.arange(1, len(cards) + 1))
        hits.append(np.isin(cards, relevant))
        n_relevant.append(len(relevant))
        qrels[f"q{number:03d}"] = {f"i{item}": 1 for item in relevant}
        run[f"q{number:03d}"] = {f"i{item}": float(-at) for at, item in enumerate(cards)}
    ranked = Ranked(
        np.concatenate(lists).astype(np.int64),
        np.concatenate(ranks).astype(np.float32),
        np.concatenate(hits),
        np.array(n_relevant),
    )
    return ranked, qrels, run


@pytest.mark.parametrize("k", [1, 5, 10, 20])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_list_has_the_values_that_ranx_gives(seed: int, k: int) -> None:
    ranked, qrels, run = random_lists(seed)
    ours = list_metrics(ranked, k)
    names = [f"{metric}@{k}" for metric in METRICS]
    theirs = evaluate(Qrels(qrels), Run(run), names, return_mean=False)
    for metric, name in zip(METRICS, names, strict=True):
        values = np.asarray(theirs[name])
        assert 0 < values.mean() < 1
        np.testing.assert_allclose(ours[metric], values, atol=1e-12, err_msg=name)
