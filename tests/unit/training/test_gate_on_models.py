"""Fitted models before the gate: a true one passes, one of shuffled labels does not."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from homerec.errors import ArtifactError, OutdatedArtifactError
from homerec.models.fitted import FittedModel, baseline_pairs
from homerec.registry.gate import Evaluation, Thresholds, judge
from homerec.registry.verdict import Verdict
from homerec.training import challenge
from homerec.training.challenge import contender
from homerec.training.evaluation import Result, evaluate
from homerec.training.fitting import SnapshotView

LIMITS = Thresholds(0.02, 0.0, 0.02, tolerance=0.01, min_listeners=50)


def rank_on_gate(trained: Any, model: FittedModel, shard_size: int = 1_000) -> list[Result]:
    contenders = {
        "challenger": contender(model),
        "baseline": lambda shard, rows: baseline_pairs(trained.spec, shard, rows),
    }
    gate = trained.gate
    return evaluate(contenders, trained.spec, gate.info, gate.catalog, trained.labels, shard_size)


def verdict_on(trained: Any, model: FittedModel) -> Verdict:
    ends: list[date | None] = [trained.plan.labels_end, None]
    evaluations = [
        Evaluation(
            r.name, 1 if end else None, "ndcg_at_10", r.listeners, r.metrics["ndcg"],
            r.segments, r.coverage, end,
        )
        for r, end in zip(rank_on_gate(trained, model), ends, strict=True)
    ]  # fmt: skip
    return judge(
        evaluations[0],
        evaluations[1],
        [],
        LIMITS,
        round_trip_equal=True,
        evaluation_as_of=trained.plan.gate_date,
        seed=1,
    )


def test_a_model_of_true_labels_is_promoted(trained: Any) -> None:
    verdict = verdict_on(trained, trained.model)
    assert verdict.outcome == "promote", verdict.render()
    assert verdict.value > verdict.baseline_value * 1.1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_model_of_shuffled_labels_is_rejected(trained: Any, seed: int) -> None:
    learned = trained.learned
    labels = np.random.default_rng(seed).permutation(learned.labels)
    # A score that a ranker begins with is not learned from labels.
    own = {key: one for key, one in trained.spec.ranker_parameters.items() if key != "base"}
    spec = replace(trained.spec, ranker_parameters=own)
    ranker = spec.build_ranker(0).fit(learned.features, labels, learned.groups)
    verdict = verdict_on(trained, FittedModel(trained.spec, trained.model.sources, ranker))
    assert verdict.outcome == "reject", verdict.render()
    failed = {check.name for check in verdict.checks if check.outcome == "reject"}
    assert "baseline" in failed


def test_everyone_is_judged_on_the_same_listeners(trained: Any) -> None:
    challenger, baseline = rank_on_gate(trained, trained.model)
    np.testing.assert_array_equal(challenger.listeners, baseline.listeners)
    np.testing.assert_array_equal(challenger.listeners, np.unique(trained.labels.listener))
    for result in (challenger, baseline):
        assert {len(v) for v in result.metrics.values()} == {len(result.listeners)}
        assert {len(v) for v in result.segments.values()} == {len(result.listeners)}
        assert all(((v >= 0) & (v <= 1)).all() for v in result.metrics.values())
        assert 0 < result.coverage <= 1


def test_shards_change_no_result(trained: Any) -> None:
    for whole, part in zip(
        rank_on_gate(trained, trained.model), rank_on_gate(trained, trained.model, 7), strict=True
    ):
        np.testing.assert_array_equal(whole.listeners, part.listeners)
        for metric, values in whole.metrics.items():
            np.testing.assert_array_equal(values, part.metrics[metric])
        for kind, values in whole.segments.items():
            np.testing.assert_array_equal(values, part.segments[kind])
        assert whole.coverage == part.coverage


def test_the_saved_artifact_is_tried_on_the_first_shard_that_has_somebody(
    trained: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Listener 1 registered long ago: with one listener a shard, the first one has nobody.
    spec = replace(trained.spec, max_tenure_days=60)
    model = replace(trained.model, spec=spec)
    flipped = spec.build_ranker(0).fit(
        trained.learned.features, 1 - trained.learned.labels, trained.learned.groups
    )
    view = SnapshotView(replace(trained.settings, shard_listeners=1), trained.gate.info)
    assert len(spec.eligible(next(iter(view.shards())))) == 0
    monkeypatch.setattr(challenge, "read_artifact", lambda folder: SimpleNamespace(values={}))
    for saved, equal in ((model, True), (replace(model, ranker=flipped), False)):
        monkeypatch.setattr(challenge, "load_folder", lambda folder, values, s=saved: s)
        assert challenge._round_trip_equal(tmp_path, model, view) is equal


def rivals_of(
    monkeypatch: pytest.MonkeyPatch, faults: dict[str, Exception]
) -> tuple[list[str], list[str]]:
    """Names of those who are compared, and what was said, where versions fail to load."""

    def load(manifest: str) -> str:
        if manifest in faults:
            raise faults[manifest]
        return f"fitted {manifest}"

    def version(name: str) -> Any:
        return SimpleNamespace(name=name, manifest=lambda: name)

    store: Any = SimpleNamespace(
        champion=lambda _: version("podcasts v3"),
        best_of_last=lambda _, days: version("podcasts v2"),
    )
    monkeypatch.setattr(challenge, "load_fitted", load)
    said: list[str] = []
    found = challenge._rivals(store, "podcasts", said.append)
    assert [fitted for _, fitted in found] == [f"fitted {one.name}" for one, _ in found]
    return [one.name for one, _ in found], said


def test_versions_of_an_older_homerec_are_not_compared_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = OutdatedArtifactError("Train the model again.")
    assert rivals_of(monkeypatch, {}) == (["podcasts v3", "podcasts v2"], [])
    compared, said = rivals_of(monkeypatch, {"podcasts v2": old})
    assert compared == ["podcasts v3"]
    assert said == ["train podcasts: podcasts v2 is not compared. Train the model again."]
    # Nobody stands in for a champion.
    compared, said = rivals_of(monkeypatch, {"podcasts v3": old})
    assert compared == []
    assert "podcasts v3 is not compared" in said[0]


def test_a_damaged_champion_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match="altered"):
        rivals_of(monkeypatch, {"podcasts v3": ArtifactError("altered")})
