"""A ranker that learned from shuffled labels knows nothing: no better than a random order.

What such a ranker has learned is noise, and noise leans towards what is popular as often as away
from it. That cancels in the share of unplayed candidates that stand below a played one (the area
under the ROC curve, 1/2 for a random order), which every place counts alike in; NDCG pays the first
places most, so leaning both ways beats leaning neither way a little even without any knowledge.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import rankdata

from homerec.models.fitted import FittedModel
from homerec.registry.bootstrap import Interval, paired_bootstrap
from homerec.training.evaluation import is_hit, shard_labels

SHUFFLES = range(12)

Scores = Callable[[Any, Any], np.ndarray]


def areas(trained: Any, scores: Scores) -> np.ndarray:
    """Area under the ROC curve of each listener's candidates, float64 (n,)."""
    found = []
    for shard in trained.gate.shards():
        hits = shard_labels(trained.spec, shard, trained.labels)
        pairs = trained.model.candidates(shard, hits.rows)
        played, score = is_hit(hits, pairs, shard.catalog), scores(pairs, shard)
        for row in hits.rows:
            own = pairs.listener == row
            n, n_played = int(own.sum()), int(played[own].sum())
            if not 0 < n_played < n:
                continue
            places = rankdata(score[own])[played[own]].sum()
            above = places - n_played * (n_played + 1) / 2
            found.append(above / (n_played * (n - n_played)))
    return np.array(found)


def against_chance(
    trained: Any, labels_of: Callable[[int], np.ndarray], shuffles: range = SHUFFLES
) -> Interval:
    """Lift of rankers over a random order of the same candidates, resampling whole shuffles."""
    learned, ours, chance, who = trained.learned, [], [], []
    for seed in shuffles:
        ranker = trained.spec.build_ranker(0)
        ranker.fit(learned.features, labels_of(seed), learned.groups)
        model = FittedModel(trained.spec, trained.model.sources, ranker)
        luck = np.random.default_rng([seed, 1])
        ours.append(areas(trained, model.score))
        chance.append(areas(trained, lambda pairs, shard, luck=luck: luck.random(len(pairs))))
        who.append(np.full(len(ours[-1]), seed))
    return paired_bootstrap(
        np.concatenate(ours), np.concatenate(chance), cluster=np.concatenate(who)
    )


def test_shuffled_labels_teach_no_more_than_chance(trained: Any) -> None:
    labels = trained.learned.labels
    lift = against_chance(trained, lambda seed: np.random.default_rng(seed).permutation(labels))
    assert lift.low <= 0, lift
    assert lift.mean < 0.05, lift


def test_true_labels_teach_far_more_than_chance(trained: Any) -> None:
    lift = against_chance(trained, lambda seed: trained.learned.labels, range(2))
    assert lift.low > 0.1, lift
