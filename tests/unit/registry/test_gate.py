from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from homerec.errors import GateError
from homerec.registry.gate import Evaluation, Thresholds, judge
from homerec.registry.verdict import Verdict

WINDOW = date(2026, 3, 8)
N = 2_000
RNG = np.random.default_rng(1)
BASE = RNG.uniform(0, 0.4, N)
THRESHOLDS = Thresholds(
    metric_floor=0.05, segment_floor=0.02, coverage_floor=0.1, tolerance=0.01, min_listeners=100
)


def evaluation(lift: float = 0.0, noise: float = 0.02, **changes: Any) -> Evaluation:
    rng = np.random.default_rng(abs(hash((lift, noise))) % 2**32)
    n = len(changes.get("listener", np.arange(N)))
    made = Evaluation(
        name="podcasts",
        version=8,
        metric="ndcg_at_10",
        listener=np.arange(N),
        value=BASE[:n] + lift + rng.normal(0, noise, n),
        segments={"market": np.where(np.arange(n) % 2 == 0, "DE", "SE")},
        coverage=0.3,
        labels_end=WINDOW,
    )
    return replace(made, **changes)


BASELINE = replace(evaluation(), name="popular", version=None, value=BASE, labels_end=None)
CHAMPION = evaluation(0.045, version=7, labels_end=date(2026, 3, 1))


def decide(challenger: Evaluation, *comparators: Evaluation, **changes: Any) -> Verdict:
    settings: dict[str, Any] = {
        "round_trip_equal": True,
        "evaluation_as_of": WINDOW,
        "seed": 4,
        "n_boot": 400,
    } | changes
    baseline = settings.pop("baseline", BASELINE)
    thresholds = settings.pop("thresholds", THRESHOLDS)
    return judge(challenger, baseline, comparators, thresholds, **settings)


def says(verdict: Verdict, name: str) -> str:
    return next(c.outcome for c in verdict.checks if c.name == name)


def test_a_better_challenger_is_promoted() -> None:
    verdict = decide(evaluation(0.05), CHAMPION, replace(CHAMPION, version=5))
    assert verdict.outcome == "promote"
    assert verdict.promoted
    assert not verdict.failures
    names = [c.name for c in verdict.checks]
    assert names[:5] == ["listeners", "floor", "baseline", "champion", "past champion v5"]
    assert names[-2:] == ["coverage", "round_trip"]
    assert "not worse than podcasts v7" in verdict.summary


def test_a_first_model_is_said_to_be_one() -> None:
    verdict = decide(evaluation(0.05))
    assert verdict.outcome == "promote"
    assert verdict.champion_value is None
    assert "has no champion yet: judged by its floors and its baseline alone" in verdict.summary
    assert "no champion yet" in verdict.render()
    assert "champion" not in {c.name for c in verdict.checks}


def test_a_first_model_still_has_to_beat_its_baseline() -> None:
    verdict = decide(evaluation(-0.05))
    assert verdict.outcome == "reject"
    assert says(verdict, "baseline") == "reject"
    assert verdict.summary.startswith("podcasts has no champion yet")


def test_equal_to_the_floor_is_a_hold() -> None:
    value = np.full(N, 0.25)
    challenger = evaluation(value=value)
    weak = replace(BASELINE, value=value - 0.1)
    verdict = decide(challenger, baseline=weak, thresholds=replace(THRESHOLDS, metric_floor=0.25))
    assert (verdict.outcome, says(verdict, "floor")) == ("hold", "hold")
    verdict = decide(challenger, baseline=weak, thresholds=replace(THRESHOLDS, metric_floor=0.26))
    assert (verdict.outcome, says(verdict, "floor")) == ("reject", "reject")
    verdict = decide(challenger, baseline=weak, thresholds=replace(THRESHOLDS, metric_floor=0.24))
    assert (verdict.outcome, says(verdict, "floor")) == ("promote", "promote")


def test_equal_to_the_baseline_is_a_hold() -> None:
    verdict = decide(evaluation(value=BASE))
    assert (verdict.outcome, says(verdict, "baseline")) == ("hold", "hold")


def test_above_the_baseline_but_not_surely_is_a_hold() -> None:
    value = BASE.copy()
    value[:3] += 0.1
    verdict = decide(evaluation(value=value))
    assert (verdict.outcome, says(verdict, "baseline")) == ("hold", "hold")
    assert "not surely above" in verdict.summary


def test_shuffled_scores_are_rejected() -> None:
    value = np.random.default_rng(2).permutation(BASE) * 0.3
    assert decide(evaluation(value=value), CHAMPION).outcome == "reject"


def test_worse_than_the_champion_by_more_than_the_tolerance_is_rejected() -> None:
    verdict = decide(evaluation(0.02), CHAMPION)
    assert (verdict.outcome, says(verdict, "champion")) == ("reject", "reject")
    assert says(verdict, "baseline") == "promote"


def test_worse_within_the_tolerance_passes_and_without_tolerance_does_not() -> None:
    champion = replace(CHAMPION, value=BASE + 0.05)
    challenger = evaluation(value=BASE + 0.045, segments={})
    assert decide(challenger, champion).outcome == "promote"
    strict = replace(THRESHOLDS, tolerance=0.0)
    assert decide(challenger, champion, thresholds=strict).outcome == "reject"
    same = evaluation(value=BASE + 0.05, segments={})
    assert decide(same, champion, thresholds=strict).outcome == "hold"


def test_quality_cannot_ratchet_down_below_the_best_past_champion() -> None:
    champion = replace(CHAMPION, value=BASE + 0.02)
    best = replace(CHAMPION, value=BASE + 0.05, version=3)
    challenger = evaluation(value=BASE + 0.02)
    assert decide(challenger, champion).outcome == "promote"
    verdict = decide(challenger, champion, best)
    assert (verdict.outcome, says(verdict, "past champion v3")) == ("reject", "reject")


def test_a_segment_significantly_worse_than_the_champion_rejects() -> None:
    value = BASE + 0.06
    value[::2] = BASE[::2] + 0.04
    champion = replace(CHAMPION, value=BASE + 0.045)
    verdict = decide(evaluation(value=value), champion)
    assert says(verdict, "champion") == "promote"
    assert (verdict.outcome, says(verdict, "segment market=DE champion")) == ("reject", "reject")
    assert says(verdict, "segment market=SE champion") == "promote"


def test_a_segment_below_its_floor_rejects_also_a_first_model() -> None:
    value = BASE + 0.05
    value[::2] = 0.01
    verdict = decide(evaluation(value=value), baseline=replace(BASELINE, value=value - 0.005))
    assert (verdict.outcome, says(verdict, "segment market=DE floor")) == ("reject", "reject")


def test_small_segments_are_not_judged() -> None:
    labels = np.where(np.arange(N) < 199, "tiny", np.where(np.arange(N) < 399, "enough", "rest"))
    verdict = decide(evaluation(0.05, segments={"tenure": labels}), CHAMPION)
    judged = {c.name for c in verdict.checks if c.name.startswith("segment")}
    assert {"segment tenure=enough floor", "segment tenure=rest champion"} <= judged
    assert not any("tiny" in name for name in judged)


def test_noise_in_many_segments_rejects_nobody() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(10):
        labels = rng.permutation(np.arange(N) % 10).astype(str)
        champion = replace(CHAMPION, value=BASE + 0.05 + rng.normal(0, 0.05, N))
        challenger = evaluation(
            value=BASE + 0.05 + rng.normal(0, 0.05, N), segments={"market": labels}
        )
        rejected += decide(challenger, champion, n_boot=200).outcome == "reject"
    assert rejected <= 2


def test_a_missing_segment_label_is_a_segment_of_its_own() -> None:
    labels = np.array([None if i % 2 else "DE" for i in range(N)], dtype=object)
    verdict = decide(evaluation(0.05, segments={"market": labels}))
    assert says(verdict, "segment market=unknown floor") == "promote"


@pytest.mark.parametrize(("coverage", "outcome"), [(0.1, "hold"), (0.09, "reject")])
def test_coverage_must_lie_above_its_floor(coverage: float, outcome: str) -> None:
    verdict = decide(evaluation(0.05, coverage=coverage))
    assert (verdict.outcome, says(verdict, "coverage")) == (outcome, outcome)


def test_an_artifact_that_scores_otherwise_is_rejected() -> None:
    verdict = decide(evaluation(0.05), round_trip_equal=False)
    assert (verdict.outcome, says(verdict, "round_trip")) == ("reject", "reject")


def test_too_few_listeners_hold_with_n_and_the_detectable_lift() -> None:
    few = np.arange(40)
    challenger = evaluation(0.0, value=BASE[:40] - 0.3, listener=few, segments={})
    baseline = replace(
        BASELINE, listener=few, value=BASE[:40] + RNG.normal(0, 0.1, 40), segments={}
    )
    verdict = decide(challenger, baseline=baseline)
    assert verdict.outcome == "hold"
    assert "Underpowered: 40 listeners, 100 are needed" in verdict.summary
    assert verdict.minimal_detectable_lift == pytest.approx(2.8016 * 0.1 / 40**0.5, rel=0.4)
    broken = decide(challenger, baseline=baseline, round_trip_equal=False)
    assert broken.outcome == "reject"


def test_one_listener_holds_without_a_detectable_lift() -> None:
    one = np.arange(1)
    challenger = evaluation(listener=one, value=np.array([0.5]), segments={})
    baseline = replace(BASELINE, listener=one, value=np.array([0.1]), segments={})
    verdict = decide(challenger, baseline=baseline)
    assert (verdict.outcome, verdict.minimal_detectable_lift) == ("hold", None)
    assert "a lift below unknown" in verdict.summary


def test_the_order_of_listeners_changes_nothing() -> None:
    challenger = evaluation(0.05)
    order = RNG.permutation(N)
    shuffled = replace(
        challenger,
        listener=challenger.listener[order],
        value=challenger.value[order],
        segments={"market": challenger.segments["market"][order]},
    )
    assert decide(shuffled, CHAMPION) == decide(challenger, CHAMPION)


def test_the_detectable_lift_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(8)
    noise = 0.2
    lift = 2.8016 * noise / np.sqrt(N)
    found = 0
    for _ in range(60):
        challenger = evaluation(value=BASE + lift + rng.normal(0, noise, N), segments={})
        found += says(decide(challenger, n_boot=200), "baseline") == "promote"
    assert 36 <= found <= 58


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": np.where(np.arange(N) == 3, np.nan, BASE)}, "NaN or infinity in 1 of 2000"),
        ({"coverage": float("nan")}, "coverage nan"),
        ({"value": BASE[:-1]}, "2000 listeners but {'value': 1999}"),
        ({"segments": {"market": np.array(["DE"])}}, "{'market': 1}"),
        ({"listener": np.zeros(N, dtype=int)}, "listeners twice"),
        ({"listener": np.arange(N) + 1}, "1 only in the first, 1 only in the second"),
        ({"metric": "recall"}, "only one metric can be compared"),
        ({"labels_end": date(2026, 3, 9)}, "labels until 2026-03-09.*starts 2026-03-08"),
        ({"labels_end": None}, "does not say when"),
        (
            {"listener": np.zeros(0, dtype=int), "value": np.zeros(0), "segments": {}},
            "an empty set cannot be judged",
        ),
    ],
)
def test_what_cannot_be_judged_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GateError, match=message):
        decide(evaluation(0.05, **{"listener": np.arange(N), **changes}))


def test_a_champion_that_has_seen_the_window_is_an_error() -> None:
    seen = replace(CHAMPION, labels_end=date(2026, 3, 15))
    with pytest.raises(GateError, match=r"podcasts v7 was trained on labels until 2026-03-15"):
        decide(evaluation(0.05), seen)


def test_labels_may_end_on_the_first_day_of_the_window() -> None:
    assert decide(evaluation(0.05, labels_end=WINDOW)).outcome == "promote"


@pytest.mark.parametrize("name", ["metric_floor", "segment_floor", "coverage_floor", "tolerance"])
def test_a_missing_or_nan_threshold_is_an_error(name: str) -> None:
    given: dict[str, Any] = {
        "metric_floor": 0.1,
        "segment_floor": 0.0,
        "coverage_floor": 0.0,
        "tolerance": 0.0,
        "min_listeners": 100,
    }
    assert Thresholds.read(given).min_segment == 200
    with pytest.raises(GateError, match=f"{name} is missing"):
        Thresholds.read({k: v for k, v in given.items() if k != name})
    with pytest.raises(GateError, match=f"{name} is nan"):
        Thresholds.read({**given, name: float("nan")})
    with pytest.raises(GateError, match=f"{name} is 'x'"):
        Thresholds.read({**given, name: "x"})


def test_thresholds_read_a_models_limits() -> None:
    assert Thresholds.read(THRESHOLDS) == THRESHOLDS
    with pytest.raises(GateError, match="tolerance is -1, at least 0"):
        replace(THRESHOLDS, tolerance=-1)
    with pytest.raises(GateError, match="min_listeners is 0"):
        replace(THRESHOLDS, min_listeners=0)


def test_a_verdict_round_trips_and_renders_every_check() -> None:
    verdict = decide(evaluation(0.02), CHAMPION)
    assert Verdict.from_json(verdict.to_json()) == verdict
    table = verdict.render()
    assert table.startswith("podcasts v8: REJECT")
    assert all(check.name in table for check in verdict.checks)
    with pytest.raises(GateError, match="cannot be read"):
        Verdict.from_json("{}")
