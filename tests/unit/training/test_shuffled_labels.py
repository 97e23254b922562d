"""A ranker that learned from shuffled labels knows nothing: no better than a random order.

Judged by the model's own metric, NDCG@k, over the same candidates. What such a ranker has learned
is noise, and noise leans towards what is popular as often as away from it. NDCG pays the first
places most, so that leaning one way wins more than leaning the other way loses: over many shuffles
the mean lies a little above that of a random order without any knowledge. Knowledge is what makes
an order better than the same order upside down. So three things must hold: it is no better than its
own reverse; what it has over a random order is a small part of what true labels add; and in the
share of unplayed candidates that stand below a played one (the area under the ROC curve), where
both leanings cancel, it is no better than a random order at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from homerec.features.assembly import Pairs
from homerec.features.tables import Floats, Rows, Shard
from homerec.ranking.base import Ranker
from homerec.registry.bootstrap import Interval, paired_bootstrap
from homerec.training.evaluation import Contender, evaluate, is_hit, shard_labels

SHUFFLES = range(12)

Score = Callable[[Floats], np.ndarray]


class Candidates:
    """Stage 1 of the trained model, asked once; every order is over the same candidates."""

    def __init__(self, trained: Any) -> None:
        self._trained = trained
        self._kept: dict[int, tuple[Pairs, Floats]] = {}

    def of(self, shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        """Candidates of the rows, with their features."""
        key = int(shard.listeners[0])
        if key not in self._kept:
            pairs = self._trained.model.candidates(shard, rows)
            self._kept[key] = pairs, self._trained.model.features(pairs, shard)
        return self._kept[key]

    def ordered_by(self, score: Score) -> Contender:
        """Contender that orders them by a function of their features."""

        def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
            pairs, features = self.of(shard, rows)
            return pairs, np.asarray(score(features), dtype=np.float32)

        return ranked

    def ndcg(self, scores: dict[str, Score]) -> dict[str, np.ndarray]:
        """NDCG@k of each listener, float64 (n,), by the evaluation that the gate judges by."""
        trained = self._trained
        contenders = {name: self.ordered_by(score) for name, score in scores.items()}
        results = evaluate(
            contenders, trained.spec, trained.gate.info, trained.gate.catalog, trained.labels, 1_000
        )
        return {result.name: result.metrics["ndcg"] for result in results}

    def area(self, score: Score) -> np.ndarray:
        """Area under the ROC curve of each listener's candidates, float64 (n,)."""
        trained, found = self._trained, []
        for shard in trained.gate.shards():
            hits = shard_labels(trained.spec, shard, trained.labels)
            pairs, features = self.of(shard, hits.rows)
            played, values = is_hit(hits, pairs, shard.catalog), score(features)
            for row in hits.rows:
                own = pairs.listener == row
                n, n_played = int(own.sum()), int(played[own].sum())
                if not 0 < n_played < n:
                    continue
                places = rankdata(values[own])[played[own]].sum()
                above = places - n_played * (n_played + 1) / 2
                found.append(above / (n_played * (n - n_played)))
        return np.array(found)


@dataclass
class Compared:
    """Orders over the same candidates, each drawn once for every shuffle."""

    by_order: dict[str, list[np.ndarray]]

    def lift(self, better: str, worse: str) -> Interval:
        """Mean difference of the metric, resampling whole shuffles."""
        ours, others = self.by_order[better], self.by_order[worse]
        who = np.repeat(np.arange(len(ours)), [len(values) for values in ours])
        return paired_bootstrap(np.concatenate(ours), np.concatenate(others), cluster=who)


def rankers(trained: Any, labels_of: Callable[[int], np.ndarray]) -> list[Ranker]:
    learned, spec = trained.learned, trained.spec
    # The score that trees begin with was not learned from these labels: it is left out.
    own = {key: value for key, value in spec.ranker_parameters.items() if key != "base"}
    spec = replace(spec, ranker_parameters=own)
    return [
        spec.build_ranker(0).fit(learned.features, labels_of(seed), learned.groups)
        for seed in SHUFFLES
    ]


def luck(seed: int) -> Score:
    draw = np.random.default_rng([seed, 1])
    return lambda features: draw.random(len(features))


def upside_down(ranker: Ranker) -> Score:
    return lambda features: -ranker.score(features)


def compare(candidates: Candidates, fitted: list[Ranker]) -> Compared:
    """NDCG@k of each ranker, of its order upside down, and of a random order."""
    scores: dict[str, Score] = {}
    for seed, ranker in zip(SHUFFLES, fitted, strict=True):
        scores |= {
            f"learned {seed}": ranker.score,
            f"reverse {seed}": upside_down(ranker),
            f"random {seed}": luck(seed),
        }
    values = candidates.ndcg(scores)
    return Compared(
        {n: [values[f"{n} {s}"] for s in SHUFFLES] for n in ("learned", "reverse", "random")}
    )


@pytest.fixture(scope="module")
def candidates(trained: Any) -> Candidates:
    return Candidates(trained)


@pytest.fixture(scope="module")
def shuffled(trained: Any) -> list[Ranker]:
    labels = trained.learned.labels
    return rankers(trained, lambda seed: np.random.default_rng(seed).permutation(labels))


@pytest.fixture(scope="module")
def true_lift(trained: Any, candidates: Candidates) -> Interval:
    ranker = trained.spec.build_ranker(0).fit(
        trained.learned.features, trained.learned.labels, trained.learned.groups
    )
    return compare(candidates, [ranker] * len(SHUFFLES)).lift("learned", "random")


def test_shuffled_labels_teach_no_more_than_chance(
    candidates: Candidates, shuffled: list[Ranker], true_lift: Interval
) -> None:
    orders = compare(candidates, shuffled)
    knows = orders.lift("learned", "reverse")
    assert knows.low <= 0, knows
    lift = orders.lift("learned", "random")
    assert lift.mean < true_lift.mean / 5, (lift, true_lift)


def test_shuffled_labels_put_no_played_candidate_before_the_others(
    candidates: Candidates, shuffled: list[Ranker]
) -> None:
    ours = [candidates.area(ranker.score) for ranker in shuffled]
    chance = [candidates.area(luck(seed)) for seed in SHUFFLES]
    lift = Compared({"learned": ours, "random": chance}).lift("learned", "random")
    assert lift.low <= 0, lift
    assert lift.mean < 0.05, lift


def test_true_labels_teach_far_more_than_chance(true_lift: Interval) -> None:
    assert true_lift.low > 0.2, true_lift
