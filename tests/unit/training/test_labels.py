"""sql/labels: hand-made windows, and who was right in them."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from homerec.features.snapshot import ensure_snapshot
from homerec.models import get_model
from homerec.models.spec import ModelSpec
from homerec.training.labels import (
    Labels,
    lists_with_hits,
    read_labels,
    sample_to_judge,
    window_files,
)
from support.lake import build_lake, event, item, listener

START = date(2026, 3, 10)
ITEMS = [item(1), item(2), item(3, "playlist"), item(4, "artist"), item(5, "album")]


def labels_of(tmp_path: Path, name: str, events: list[dict], zone: str = "UTC") -> Labels:
    who = [listener(i, time_zone=zone) for i in (1, 2)]
    settings = build_lake(tmp_path, events=events, items=ITEMS, listeners=who)
    spec: ModelSpec = get_model(name, settings)
    info = ensure_snapshot(settings, START, writer="training")
    return read_labels(settings, spec, info)


def triples(labels: Labels) -> list[tuple[int, int, int]]:
    columns = (labels.listener, labels.daypart, labels.item)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_new_plays_are_first_plays_of_the_type_within_the_window(tmp_path: Path) -> None:
    found = labels_of(
        tmp_path,
        "podcasts",
        [
            event(1, "2026-03-01T10:00", show=1),
            event(1, "2026-03-10T00:00", show=1),  # played before
            event(1, "2026-03-10T00:00", show=2),  # first instant of the window
            event(1, "2026-03-11T10:00", show=2),  # the same pair again
            event(1, "2026-03-11T10:00", context=3),  # another type
            event(2, "2026-03-16T23:59:59", show=1),  # last instant of the window
            event(2, "2026-03-17T00:00", show=2),  # after it
            event(2, "2026-03-12T00:00", show=2, ms_played=29_999),  # too short
        ],
    )
    assert triples(found) == [(1, -1, 2), (2, -1, 1)]
    assert (found.start, found.end) == (START, date(2026, 3, 17))


def test_plays_that_arrive_after_the_windows_grace_are_no_labels(tmp_path: Path) -> None:
    found = labels_of(
        tmp_path,
        "podcasts",
        [
            event(1, "2026-03-01T10:00", show=1),
            event(1, "2026-03-16T10:00", show=2, arrived_at="2026-03-17T03:00"),
            event(2, "2026-03-16T10:00", show=2, arrived_at="2026-03-17T02:59"),
        ],
    )
    assert triples(found) == [(2, -1, 2)]


def test_next_familiar_is_the_first_known_item_of_each_local_daypart(tmp_path: Path) -> None:
    found = labels_of(
        tmp_path,
        "shortcuts",
        [
            event(1, "2026-03-01T10:00", show=1),
            event(1, "2026-03-02T10:00", artist=4, album=5),
            event(1, "2026-03-10T07:00", show=2),  # not familiar
            event(1, "2026-03-10T08:00", show=1),  # the morning's first familiar play
            event(1, "2026-03-10T09:00", artist=4),  # second
            event(1, "2026-03-10T18:00", artist=4, album=5),  # counts for both items
            event(1, "2026-03-10T19:00", show=1),
            event(1, "2026-03-11T01:00", show=1),  # the day after the window
            event(2, "2026-03-10T08:00", show=1),  # familiar to the other listener only
        ],
    )
    assert triples(found) == [(1, 1, 1), (1, 3, 4), (1, 3, 5)]
    assert (found.start, found.end) == (START, date(2026, 3, 11))
    assert lists_with_hits(found, [1, 2]) == 2
    assert lists_with_hits(found, [2]) == 0


def test_dayparts_of_labels_are_local(tmp_path: Path) -> None:
    events = [event(1, "2026-03-01T10:00", show=1), event(1, "2026-03-10T08:00", show=1)]
    assert triples(labels_of(tmp_path, "shortcuts", events, "Asia/Tokyo")) == [(1, 2, 1)]


def test_two_familiar_plays_at_the_same_instant_both_count(tmp_path: Path) -> None:
    events = [event(1, "2026-03-01T10:00", show=1), event(1, "2026-03-01T11:00", show=2)]
    events += [event(1, "2026-03-10T08:00", show=2), event(1, "2026-03-10T08:00", show=1)]
    assert triples(labels_of(tmp_path, "shortcuts", events)) == [(1, 1, 1), (1, 1, 2)]


def test_a_window_without_events_has_no_labels(tmp_path: Path) -> None:
    found = labels_of(tmp_path, "podcasts", [event(1, "2026-03-01T10:00", show=1)])
    assert len(found) == 0
    assert lists_with_hits(found, [1]) == 0


@pytest.mark.parametrize("days", [1, 3])
def test_the_window_is_as_long_as_the_model_says(tmp_path: Path, days: int) -> None:
    events = [event(1, f"2026-03-{9 + d:02d}T10:00", show=1 + d % 2) for d in (0, 1, 2, 3, 4)]
    settings = build_lake(tmp_path, events=events, items=ITEMS, listeners=[listener(1)])
    spec = replace(get_model("podcasts", settings), label_window_days=days)
    info = ensure_snapshot(settings, START, writer="training")
    assert read_labels(settings, spec, info).end == date(2026, 3, 10 + days)
    names = [Path(p).parent.name for p in window_files(settings, START, date(2026, 3, 10 + days))]
    assert names == [f"date=2026-03-{10 + d}" for d in range(days)]


def many(n: int, start: date = START) -> Labels:
    """Listeners 1 to n with two hits each."""
    keys = np.repeat(np.arange(1, n + 1, dtype=np.int32), 2)
    items = np.tile(np.array([1, 2], dtype=np.int32), n)
    return Labels(keys, items, np.full(2 * n, -1, dtype=np.int8), start, date(2026, 3, 17))


def test_so_many_listeners_as_the_limit_allows_are_judged_with_all_their_hits() -> None:
    labels, everybody = many(4_000), np.arange(1, 4_001, dtype=np.int32)
    drawn = sample_to_judge(labels, everybody, 1_000, seed=1)
    keys, n_hits = np.unique(drawn.listener, return_counts=True)
    assert 900 < len(keys) < 1_100
    assert (n_hits == 2).all()
    # Early and late listeners alike.
    assert 400 < (keys <= 2_000).sum() < 600


def test_few_enough_listeners_are_all_judged() -> None:
    labels, everybody = many(1_000), np.arange(1, 1_001, dtype=np.int32)
    assert sample_to_judge(labels, everybody, 1_000, seed=1) is labels


def test_listeners_without_the_shelf_take_no_place_among_the_judged() -> None:
    labels = many(4_000)
    few = np.arange(1, 501, dtype=np.int32)
    assert np.isin(few, sample_to_judge(labels, few, 1_000, seed=1).listener).all()


def test_a_window_and_a_seed_draw_the_same_listeners_again_and_another_one_draws_others() -> None:
    everybody = np.arange(1, 4_001, dtype=np.int32)

    def drawn(start: date, seed: int) -> set[int]:
        return set(sample_to_judge(many(4_000, start), everybody, 1_000, seed).listener.tolist())

    assert drawn(START, 1) == drawn(START, 1)
    assert len(drawn(START, 1) & drawn(date(2026, 3, 9), 1)) < 400
    assert len(drawn(START, 1) & drawn(START, 2)) < 400
