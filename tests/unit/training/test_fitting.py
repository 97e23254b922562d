"""The windows of a training run, what the ranker learns from, and what is too little."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homerec.candidates.als import AlsSource
from homerec.candidates.base import FitData
from homerec.errors import SnapshotError, TrainingError
from homerec.features.snapshot import ensure_snapshot
from homerec.lake import Lake, write_json
from homerec.models import get_model
from homerec.settings import Settings
from homerec.training.challenge import challenge_folder, make_challenger, read_challenge
from homerec.training.fitting import Plan, SnapshotView, fit_model, has_items, training_set
from homerec.training.labels import lists_with_hits, read_labels
from homerec.training.run import decide, train
from support.lake import build_lake, event, item, listener
from support.weeks import END, spec_of, week_lake

T = date(2026, 3, 31)


@pytest.mark.parametrize(
    ("days", "windows", "gate", "ranker", "sources"),
    [
        (7, 1, "2026-03-24", ["2026-03-17"], "2026-03-17"),
        (7, 2, "2026-03-24", ["2026-03-17", "2026-03-10"], "2026-03-10"),
        (1, 3, "2026-03-30", ["2026-03-29", "2026-03-28", "2026-03-27"], "2026-03-27"),
    ],
)
def test_windows_lie_one_before_the_other(
    days: int, windows: int, gate: str, ranker: list[str], sources: str
) -> None:
    spec = replace(
        get_model("podcasts", Settings()), label_window_days=days, ranker_windows=windows
    )
    plan = Plan.of(spec, T)
    assert plan.gate_date.isoformat() == gate
    assert [d.isoformat() for d in plan.ranker_dates] == ranker
    assert plan.sources_date.isoformat() == sources
    # No label reaches into the gate's window, no event of stage 1 into a label.
    assert plan.labels_end == plan.gate_date < plan.as_of
    assert plan.sources_date <= min(plan.ranker_dates)
    assert max(plan.ranker_dates).toordinal() + days == plan.gate_date.toordinal()


def test_every_list_keeps_its_hits_and_some_of_the_rest(trained: Any) -> None:
    view = SnapshotView(
        trained.settings,
        ensure_snapshot(trained.settings, trained.plan.ranker_dates[0], writer="training"),
    )
    labels = read_labels(trained.settings, trained.spec, view.info)
    few = replace(trained.model, spec=replace(trained.spec, negatives=3))
    many = replace(trained.model, spec=replace(trained.spec, negatives=10_000))
    small = training_set(trained.settings, few, view, labels)
    whole = training_set(trained.settings, many, view, labels)
    assert small.labels.sum() == whole.labels.sum() > 0
    assert (np.diff(small.groups) >= 0).all()
    per_list = np.bincount(small.groups, weights=1 - small.labels)
    assert per_list.max() == 3
    assert (np.bincount(small.groups, weights=small.labels) > 0).all()
    assert len(whole.labels) > 5 * len(small.labels)
    # The few are among the many.
    rows = {row.tobytes() for row in whole.features}
    assert all(row.tobytes() in rows for row in small.features)


def test_which_unplayed_candidates_are_kept_is_drawn_by_the_seed(trained: Any) -> None:
    few = replace(trained.model, spec=replace(trained.spec, negatives=3))
    drawn = [
        training_set(replace(trained.settings, seed=seed), few, trained.gate, trained.labels)
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(drawn[0].features, drawn[1].features)
    np.testing.assert_array_equal(drawn[0].groups, drawn[2].groups)
    assert not np.array_equal(drawn[0].features, drawn[2].features, equal_nan=True)


def first_view(trained: Any) -> SnapshotView:
    day = trained.plan.ranker_dates[0]
    return SnapshotView(trained.settings, ensure_snapshot(trained.settings, day, writer="training"))


def test_too_many_lists_are_thinned_by_listener(trained: Any) -> None:
    view = first_view(trained)
    labels = read_labels(trained.settings, trained.spec, view.info)
    n_lists = lists_with_hits(labels, view.eligible(trained.spec))
    half = replace(trained.model, spec=replace(trained.spec, max_lists=n_lists // 2))
    thinned = training_set(trained.settings, half, view, labels)
    n_whole = len(np.unique(training_set(trained.settings, trained.model, view, labels).groups))
    assert 0.3 * n_whole < len(np.unique(thinned.groups)) < 0.7 * n_whole


def test_lists_of_listeners_without_the_shelf_leave_room_for_nobody_less(trained: Any) -> None:
    view = first_view(trained)
    labels = read_labels(trained.settings, trained.spec, view.info)
    # Listener 1 registered long ago, as most have in a real app: the shelf is for the new ones.
    spec = replace(trained.spec, max_tenure_days=60)
    eligible = view.eligible(spec)
    n_lists = lists_with_hits(labels, eligible)
    assert 0 < n_lists < lists_with_hits(labels, labels.listener)
    drawn = [
        training_set(
            trained.settings,
            replace(trained.model, spec=replace(spec, max_lists=most)),
            view,
            labels,
        )
        for most in (n_lists, 60_000)
    ]
    np.testing.assert_array_equal(drawn[0].features, drawn[1].features)
    assert len(drawn[0].labels) > 0


def test_who_is_eligible_is_known_without_reading_what_was_played(trained: Any) -> None:
    spec = replace(trained.spec, max_tenure_days=60, min_items=3)
    by_shard = [shard.listeners[spec.eligible(shard)] for shard in trained.gate.shards()]
    np.testing.assert_array_equal(trained.gate.eligible(spec), np.concatenate(by_shard))
    assert 0 < len(trained.gate.eligible(spec)) < len(trained.gate.eligible(trained.spec))


def test_no_labels_make_an_empty_training_set(trained: Any) -> None:
    view = trained.gate
    labels = replace(
        trained.labels,
        listener=trained.labels.listener[:0],
        item=trained.labels.item[:0],
        daypart=trained.labels.daypart[:0],
    )
    nothing = training_set(trained.settings, trained.model, view, labels)
    assert nothing.features.shape == (0, len(trained.spec.features))


def test_refitted_sources_have_seen_the_ranker_windows_and_nothing_later(trained: Any) -> None:
    settings = trained.settings
    once = replace(trained.spec, ranker_windows=1, refit_sources=False)
    plan = Plan.of(once, END)
    frozen, learned_once = fit_model(settings, once, plan, lambda line: None)
    spec = replace(once, refit_sources=True)
    model, learned = fit_model(settings, spec, plan, lambda line: None)
    # With one window the ranker learns over the same stage 1, and is the same ranker.
    np.testing.assert_array_equal(learned.features, learned_once.features)
    gate = SnapshotView(settings, ensure_snapshot(settings, plan.gate_date, writer="training"))
    data = FitData(gate.catalog, gate.shards, spec.item_types, settings.seed)
    alone = spec.build_sources()[0].fit(data)
    assert spec.sources[0].name == "als"
    refitted, before = model.sources[0], frozen.sources[0]
    assert isinstance(alone, AlsSource)
    assert isinstance(refitted, AlsSource)
    assert isinstance(before, AlsSource)
    np.testing.assert_array_equal(refitted.item_factors_, alone.item_factors_)
    same = np.array_equal(refitted.item_factors_, before.item_factors_)
    assert not same


def test_too_few_hits_are_an_error_that_says_how_many(tmp_path: Path) -> None:
    settings = week_lake(tmp_path, n_listeners=6)
    spec = spec_of("podcasts", settings)
    with pytest.raises(TrainingError, match=r"podcasts: \d+ candidates .* the ranker needs 20"):
        fit_model(settings, spec, Plan.of(spec, END))


def test_a_failed_snapshot_is_not_learned_from(tmp_path: Path) -> None:
    settings = week_lake(tmp_path, n_listeners=6)
    spec = spec_of("podcasts", settings)
    plan = Plan.of(spec, END)
    info = ensure_snapshot(settings, plan.ranker_dates[0], writer="night")
    write_json({"passed": False}, info.folder / "drift.json")
    with pytest.raises(SnapshotError, match="failed its drift check"):
        fit_model(settings, spec, plan)


def skipped(home: Path, name: str, events: list[dict], items: list[dict], **more: Any) -> str:
    settings = build_lake(home, events=events, items=items, listeners=[listener(1)], **more)
    challenge = make_challenger(settings, name, END)
    assert challenge.version is None
    assert not (settings.home / "artifacts").exists()
    # What is kept says the same to whoever decides later.
    again, evaluations = read_challenge(settings, name, END)
    assert (again, evaluations) == (challenge, [])
    report = decide(settings, name, END)
    assert (report.outcome, report.version, report.verdict) == ("skipped", None, None)
    assert report.render() == f"{name}: SKIPPED, {challenge.skipped}"
    return challenge.skipped


DAYS = [event(1, f"2026-02-{d:02d}T10:00", artist=1) for d in range(1, 28)]


def test_a_model_without_items_of_its_type_is_skipped(tmp_path: Path) -> None:
    reason = skipped(tmp_path, "playlists", DAYS, [item(1, "artist")])
    assert reason == "the catalog has no playlist"


def test_a_model_whose_items_are_all_new_is_skipped(tmp_path: Path) -> None:
    items = [item(1, "artist"), item(2, released_at="2026-03-05")]
    events = [*DAYS, event(1, "2026-03-12T10:00", show=2)]
    reason = skipped(tmp_path, "podcasts", events, items)
    assert reason == "the catalog had no show on 2026-02-22"


def test_a_model_without_labels_is_skipped(tmp_path: Path) -> None:
    reason = skipped(tmp_path, "podcasts", DAYS, [item(1, "artist"), item(2)])
    assert reason == (
        "nothing of its kind was played from 2026-03-08 to 2026-03-15; the last events of the lake "
        "are of 2026-02-27"
    )


def test_a_model_without_a_past_is_skipped(tmp_path: Path) -> None:
    events = [event(1, "2026-03-12T10:00", show=2)]
    reason = skipped(tmp_path, "podcasts", events, [item(2)])
    assert "no event before 2026-03-08" in reason


def test_a_model_that_is_switched_off_is_skipped(tmp_path: Path) -> None:
    reason = skipped(tmp_path, "podcasts", DAYS, [item(2)], models={"podcasts": {"enabled": False}})
    assert reason == "it is switched off in the settings"


def test_train_says_what_was_skipped(tmp_path: Path) -> None:
    settings = build_lake(tmp_path, events=DAYS, items=[item(1, "artist")], listeners=[listener(1)])
    assert train(settings, "podcasts", END).outcome == "skipped"


def test_what_was_never_challenged_cannot_be_decided(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(TrainingError, match=r"No challenger of podcasts .*homerec train podcasts"):
        decide(settings, "podcasts", END)
    folder = challenge_folder(settings, "podcasts", END)
    assert folder == Lake(tmp_path).training("podcasts", END)


def test_a_catalog_has_items_of_a_model_or_not(trained: Any) -> None:
    assert has_items(trained.gate, trained.spec)
    assert not has_items(trained.gate, replace(trained.spec, item_types=("album",)))
