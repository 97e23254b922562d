"""Who is judged, by which hits, and in which segments."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from homerec.features.assembly import Pairs
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Floats, Rows, Shard, load_catalog, load_shard
from homerec.models import get_model
from homerec.models.fitted import rank
from homerec.models.spec import ModelSpec
from homerec.training.evaluation import Result, evaluate, is_hit, shard_labels
from homerec.training.labels import Labels, read_labels
from homerec.training.segments import segment
from support.lake import build_lake, event, item, listener

AS_OF = date(2026, 3, 10)
SHOWS = [item(n) for n in (1, 2, 3, 4)]


def fixed(*items: int) -> object:
    """A contender that gives everybody the same items in the same order."""

    def contender(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        item_rows = shard.catalog.rows(np.array(items))
        pairs = Pairs(
            np.repeat(rows, len(items)),
            np.tile(item_rows, len(rows)),
            np.full(len(rows) * len(items), -1, np.int8),
        )
        return pairs, np.tile(np.arange(len(items), 0, -1, dtype=np.float32), len(rows))

    return contender


def judged(
    tmp_path: Path, events: list[dict], spec_changes: dict | None = None, items: list | None = None
) -> tuple[list[Result], Labels]:
    # Somebody played something before, so that there is a snapshot.
    past = event(8, "2026-03-01T10:00", artist=9)
    who = [listener(k) for k in (1, 2, 3, 8)] + [listener(5, registered_at="2026-03-11")]
    settings = build_lake(
        tmp_path, events=[past, *events], items=items or [*SHOWS, item(9, "artist")], listeners=who
    )
    spec: ModelSpec = replace(get_model("podcasts", settings), **(spec_changes or {}))
    info = ensure_snapshot(settings, AS_OF, writer="training")
    labels = read_labels(settings, spec, info)
    contenders = {"good": fixed(1, 2), "bad": fixed(4, 3, 1)}
    return evaluate(contenders, spec, info, load_catalog(info), labels, 2), labels


def test_contenders_are_judged_by_what_was_played(tmp_path: Path) -> None:
    events = [event(1, "2026-03-11T10:00", show=1), event(2, "2026-03-12T10:00", show=3)]
    events += [event(2, "2026-03-12T11:00", show=2)]
    (good, bad), _ = judged(tmp_path, events)
    assert good.listeners.tolist() == bad.listeners.tolist() == [1, 2]
    assert good.metrics["mrr"].tolist() == [1, 1 / 2]
    assert bad.metrics["mrr"].tolist() == pytest.approx([1 / 3, 1 / 2])
    assert good.metrics["recall"].tolist() == [1, 1 / 2]
    assert good.mean("hit_rate") == 1
    # Two and three of the four shows were shown.
    assert (good.coverage, bad.coverage) == (1 / 2, 3 / 4)


def test_cards_beyond_the_cut_do_not_count(tmp_path: Path) -> None:
    events = [event(1, "2026-03-11T10:00", show=1)]
    (_, bad), _ = judged(tmp_path, events, {"metric_k": 2})
    assert bad.metrics["hit_rate"].tolist() == [0]
    assert bad.coverage == 2 / 4


def test_a_hit_on_an_item_the_snapshot_does_not_know_counts_against_everybody(
    tmp_path: Path,
) -> None:
    fresh = item(7, released_at="2026-03-11")
    events = [event(1, "2026-03-12T10:00", show=7), event(1, "2026-03-12T11:00", show=1)]
    (good, _), labels = judged(tmp_path, events, items=[*SHOWS, fresh, item(9, "artist")])
    assert labels.item.tolist() == [1, 7]
    assert good.metrics["recall"].tolist() == [1 / 2]


def test_listeners_who_are_not_eligible_are_not_judged(tmp_path: Path) -> None:
    events = [event(8, "2026-03-11T10:00", show=1), event(1, "2026-03-11T10:00", show=1)]
    events.append(event(5, "2026-03-12T10:00", show=1))
    (good, _), labels = judged(tmp_path, events, {"min_items": 1})
    assert labels.listener.tolist() == [1, 5, 8]
    assert good.listeners.tolist() == [8]


def test_without_a_hit_nobody_is_judged(tmp_path: Path) -> None:
    (good, bad), labels = judged(tmp_path, [event(5, "2026-03-12T10:00", show=1)])
    assert len(labels) == 1
    assert len(good.listeners) == len(bad.listeners) == 0
    assert good.coverage == 0
    assert all(len(v) == 0 for v in good.metrics.values())


def test_lists_by_daypart_are_averaged_by_listener(tmp_path: Path) -> None:
    events = [event(1, f"2026-03-0{d}T10:00", show=d) for d in (1, 2)]
    # In the label day: show 1 in the morning, show 2 in the evening.
    events += [event(1, "2026-03-10T08:00", show=1), event(1, "2026-03-10T20:00", show=2)]
    settings = build_lake(
        tmp_path, events=events, items=SHOWS, listeners=[listener(1, time_zone="UTC")]
    )
    spec = get_model("shortcuts", settings)
    info = ensure_snapshot(settings, AS_OF, writer="training")

    def always_show_1(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        items, dayparts = np.array([0, 0, 0, 0]), np.arange(4, dtype=np.int8)
        return Pairs(np.zeros(4, np.int64), items, dayparts), np.zeros(4, np.float32)

    labels = read_labels(settings, spec, info)
    (found,) = evaluate({"x": always_show_1}, spec, info, load_catalog(info), labels, 10)
    assert found.listeners.tolist() == [1]
    assert found.metrics["hit_rate"].tolist() == [0.5]


def test_hits_belong_to_their_listener_daypart_and_item(tmp_path: Path) -> None:
    settings = build_lake(
        tmp_path,
        events=[event(1, "2026-03-01T10:00", show=1)],
        items=SHOWS,
        listeners=[listener(1), listener(2)],
    )
    info = ensure_snapshot(settings, AS_OF, writer="training")
    catalog = load_catalog(info)
    shard = load_shard(info, catalog, 0, 10)
    spec = replace(get_model("podcasts", settings))
    labels = Labels(
        np.array([1, 2, 2, 9], np.int32), np.array([1, 2, 77, 1], np.int32),
        np.array([-1, 2, -1, -1], np.int8), AS_OF, AS_OF,
    )  # fmt: skip
    hits = shard_labels(spec, shard, labels)
    assert hits.rows.tolist() == [0, 1]
    assert hits.item.tolist() == [0, 1, -1]
    pairs = Pairs(
        np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 3]), np.array([-1, -1, 2, -1, -1], np.int8)
    )
    assert is_hit(hits, pairs, catalog).tolist() == [True, False, True, False, False]


def test_ranks_are_within_daypart_and_listener_and_ties_go_to_the_lower_item() -> None:
    pairs = Pairs(
        np.array([0, 0, 0, 1, 0, 0]),
        np.array([5, 3, 4, 9, 3, 5]),
        np.array([0, 0, 0, 0, 1, 1], np.int8),
    )
    scores = np.array([1, 1, 2, 0, 7, 8], dtype=np.float32)
    best, kept, ranks = rank(pairs, scores, 2)
    rows = zip(
        best.daypart.tolist(), best.listener.tolist(), best.item.tolist(), ranks.tolist(),
        kept.tolist(), strict=True,
    )  # fmt: skip
    assert list(rows) == [
        (0, 0, 4, 1, 2), (0, 0, 3, 2, 1), (0, 1, 9, 1, 0), (1, 0, 5, 1, 8), (1, 0, 3, 2, 7),
    ]  # fmt: skip


def test_segments_cut_by_market_tenure_and_activity(tmp_path: Path) -> None:
    events = [
        event(key, f"2026-03-01T{hour:02d}:{minute:02d}", show=1)
        for key, n in ((1, 49), (2, 50), (3, 300))
        for hour, minute in (divmod(i, 60) for i in range(n))
    ]
    who = [
        listener(1, registered_at="2026-02-08"),
        listener(2, "US", registered_at="2026-02-07T23:00"),
        listener(3, registered_at="2025-12-09T23:00"),
    ]
    settings = build_lake(tmp_path, events=events, items=SHOWS, listeners=who)
    info = ensure_snapshot(settings, AS_OF, writer="training")
    shard = load_shard(info, load_catalog(info), 0, 10)
    found = segment(shard, np.array([0, 1, 2]))
    assert found["market"].tolist() == ["DE", "US", "DE"]
    assert found["tenure"].tolist() == ["new", "settled", "old"]
    assert found["activity"].tolist() == ["light", "medium", "heavy"]
