"""The figures that are kept with a version, and the segments they are cut by."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from homerec.features.tables import find
from homerec.models.fitted import baseline_pairs
from homerec.training.beyond import BEYOND
from homerec.training.challenge import contender
from homerec.training.evaluation import Result, evaluate
from homerec.training.figures import MIN_SEGMENT, figures
from homerec.training.metrics import METRICS
from homerec.training.segments import segment


def judged(trained: Any, *, beyond: bool) -> list[Result]:
    who = {
        "challenger": contender(trained.model),
        "baseline": lambda shard, rows: baseline_pairs(trained.spec, shard, rows),
    }
    gate = trained.gate
    return evaluate(who, trained.spec, gate.info, gate.catalog, trained.labels, 60, beyond=beyond)


def test_what_is_beyond_accuracy_is_measured_where_asked_for(trained: Any) -> None:
    plain, full = judged(trained, beyond=False)[0], judged(trained, beyond=True)[0]
    assert tuple(plain.metrics) == METRICS
    assert tuple(full.metrics) == (*METRICS, *BEYOND)
    for metric in METRICS:
        np.testing.assert_array_equal(plain.metrics[metric], full.metrics[metric])
    assert all(len(values) == len(full.listeners) for values in full.metrics.values())
    assert (full.metrics["novelty"] > 0).all()
    assert ((full.metrics["calibration_js"] >= 0) & (full.metrics["calibration_js"] <= 1)).all()


def test_exposure_counts_every_card_and_says_what_coverage_says(trained: Any) -> None:
    model = judged(trained, beyond=False)[0]
    assert model.exposure.sum() == trained.spec.metric_k * len(model.listeners)
    assert model.coverage == (model.exposure > 0).mean()
    assert 0 < model.exposure_gini < 1


def test_a_model_is_nearer_to_the_taste_than_what_is_popular(trained: Any) -> None:
    model, baseline = judged(trained, beyond=True)
    # The world has two tastes with one tag each, and each listener plays one of them.
    assert model.mean("calibration_js") < baseline.mean("calibration_js") - 0.1


def test_figures_have_both_sides_overall_and_by_segment(trained: Any) -> None:
    model, baseline = judged(trained, beyond=True)
    found = figures(model, baseline)
    for metric in (*METRICS, *BEYOND, "coverage", "exposure_gini"):
        assert {metric, f"baseline_{metric}"} <= found.keys(), metric
    assert found["ndcg"] == model.mean("ndcg")
    assert found["baseline_ndcg"] == baseline.mean("ndcg")
    assert found["n_listeners"] == len(model.listeners)
    for kind, labels in model.segments.items():
        for name, size in zip(*np.unique(labels, return_counts=True), strict=True):
            place = f"segments/{kind}/{name}"
            assert (f"{place}/ndcg" in found) == (size >= MIN_SEGMENT)
            if size >= MIN_SEGMENT:
                assert found[f"{place}/n"] == size
                chosen = model.metrics["ndcg"][labels == name]
                assert found[f"{place}/ndcg"] == pytest.approx(chosen.mean())


def test_a_segments_name_is_one_that_mlflow_takes(trained: Any) -> None:
    model, baseline = judged(trained, beyond=False)
    odd = replace(model, segments={"market": np.full(len(model.listeners), "D=E/?")})
    assert "segments/market/D_E__/ndcg" in figures(odd, baseline)


def test_figures_of_nobody_say_so(trained: Any) -> None:
    none = Result("x", np.zeros(0, np.int32), {}, 0.0, {}, np.zeros(3, np.int64))
    assert figures(none, none) == {"n_listeners": 0.0}


def test_history_counts_items_of_the_shelfs_types_alone(trained: Any) -> None:
    shard = next(iter(trained.gate.shards()))
    rows = np.arange(shard.n_listeners)
    found = segment(shard, rows, trained.spec)["history"]
    shows = trained.gate.catalog.of_type("show")
    n = [int((find(shows, shard.pair_item[shard.pair_listener == row]) >= 0).sum()) for row in rows]
    wanted = ["cold" if i == 0 else "warm" if i < 5 else "hot" for i in n]
    assert found.tolist() == wanted
    assert set(wanted) >= {"cold", "warm"}


def test_plays_so_far_are_asked_of_new_listeners_only(trained: Any) -> None:
    shard = next(iter(trained.gate.shards()))
    rows = np.arange(shard.n_listeners)
    assert "plays" not in segment(shard, rows, trained.spec)
    found = segment(shard, rows, replace(trained.spec, max_tenure_days=30))["plays"]
    plays = shard.columns["n_plays"]
    assert found.tolist() == ["0" if n == 0 else "1-4" if n < 5 else "5+" for n in plays]
