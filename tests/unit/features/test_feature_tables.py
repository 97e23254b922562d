"""The other files of sql/features: hand-computed values."""

import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from homerec.lake import connect, read_sql
from homerec.settings import Settings
from support.lake import build_lake, event, feature_rows, item, listener, only, pick

# A Tuesday.
AS_OF = date(2026, 3, 10)
UNIT = 2.0**-30


def tables(
    tmp_path: Path,
    events: list[dict],
    items: list[dict] | None = None,
    listeners: list[dict] | None = None,
    **more: Any,
) -> dict[str, list[dict]]:
    settings = build_lake(
        tmp_path,
        events=events,
        items=items or [item(1)],
        listeners=listeners or [listener(1)],
        tables=more,
    )
    return feature_rows(settings, AS_OF)


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-7)


def test_decay_halves_after_each_half_life(tmp_path: Path) -> None:
    with connect(Settings(home=tmp_path)) as connection:
        text = f"FROM ({read_sql('features/decay.sql')}) ORDER BY age_days"
        rows = connection.sql(text, params={"max_age": 80}).to_arrow_table().to_pylist()
    assert [r["age_days"] for r in rows] == list(range(1, 81))
    for column, half_life in (("fixed_3d", 3), ("fixed_14d", 14), ("fixed_60d", 60)):
        for n in (1, 2):
            if n * half_life <= 80:
                weight = only(rows, age_days=n * half_life)[column]
                assert weight * UNIT == pytest.approx(0.5**n, abs=UNIT)
    assert only(rows, age_days=1)["fixed_actr"] * UNIT == pytest.approx(math.sqrt(2), abs=UNIT)
    assert only(rows, age_days=5)["fixed_actr"] * UNIT == pytest.approx(4.5**-0.5, abs=UNIT)


def test_the_numbers_of_a_pair_are_those_computed_by_hand(tmp_path: Path) -> None:
    # Ages in whole days: 1 (twice), 7, 8, 28, 29.
    starts = [
        "2026-03-09T06:00", "2026-03-09T18:00", "2026-03-03T12:00", "2026-03-02T12:00",
        "2026-02-10T12:00", "2026-02-09T12:00",
    ]  # fmt: skip
    ages = [1, 1, 7, 8, 28, 29]
    events = [event(1, at, show=1, ms_played=90_000) for at in starts]
    row = tables(tmp_path, events)["listener_item"][0]
    assert (row["n_plays"], row["n_plays_7d"], row["n_plays_28d"]) == (6, 3, 5)
    assert (row["n_days"], row["n_days_7d"]) == (5, 2)
    assert row["minutes"] == close(9.0)
    assert row["days_since_first"] == close(28.5)
    assert row["days_since_last"] == close(0.25)
    for column, half_life in (("decay_3d", 3), ("decay_14d", 14), ("decay_60d", 60)):
        assert row[column] == close(sum(2 ** (-age / half_life) for age in ages))
    assert row["activation"] == close(math.log(sum((age - 0.5) ** -0.5 for age in ages)))
    # Tuesdays among them: 2026-03-03 and 2026-02-10.
    assert row["n_same_weekday"] == 2


@pytest.mark.parametrize(
    ("registered_at", "first_play", "is_start"),
    [
        ("2026-02-01T08:00", "2026-02-20T08:00", 1),
        ("2026-02-01T08:00", "2026-03-03T07:59:59", 1),
        ("2026-02-01T08:00", "2026-03-03T08:00:00", 0),
        ("2025-02-01T08:00", "2026-03-03T08:00:00", 0),
    ],
)
def test_a_first_play_within_30_days_of_registration_is_a_new_listeners_start(
    tmp_path: Path, registered_at: str, first_play: str, is_start: int
) -> None:
    who = [listener(1, registered_at=registered_at)]
    events = [event(1, first_play, show=1), event(1, "2026-03-08T10:00", show=1)]
    found = tables(tmp_path, events, listeners=who)
    assert found["item_market"][0]["n_new_listener_starts_28d"] == is_start


def test_a_market_counts_its_own_listeners(tmp_path: Path) -> None:
    listeners = [
        listener(1, "DE"), listener(2, "DE", registered_at="2026-02-08"),
        listener(3, "DE", registered_at="2026-02-07T23:59"), listener(4, "US"),
        listener(5, "DE", registered_at="2026-02-08T12:00"),
    ]  # fmt: skip
    events = [
        # Listener 5 started 28 days and a half before.
        event(5, "2026-02-09T12:00", show=1),
        # Listener 1 started long ago and plays still; 2 and 3 started 5 and 20 days before.
        event(1, "2026-01-05T12:00", show=1), event(1, "2026-03-08T12:00", show=1),
        event(2, "2026-03-05T12:00", show=1), event(2, "2026-03-06T12:00", show=1),
        event(3, "2026-02-18T12:00", show=1), event(4, "2026-01-01T12:00", show=1),
    ]  # fmt: skip
    rows = tables(tmp_path, events, listeners=listeners)
    de, us = only(rows["item_market"], market="DE"), only(rows["item_market"], market="US")
    assert (de["n_listeners"], de["n_listeners_7d"], de["n_listeners_28d"]) == (4, 2, 3)
    assert (de["n_starts_7d"], de["n_starts_28d"]) == (1, 2)
    assert (de["n_plays_7d"], de["n_plays_28d"]) == (3, 4)
    # Listener 2 is 30 days old on as_of, listener 3 a minute more.
    assert de["n_new_listener_plays_28d"] == 2
    assert de["n_new_listener_starts_28d"] == 2
    for column, half_life in (("decay_3d", 3), ("decay_14d", 14), ("decay_60d", 60)):
        assert de[column] == close(sum(2 ** (-age / half_life) for age in (64, 2, 5, 4, 20, 29)))
    assert (us["n_listeners"], us["n_listeners_28d"], us["n_plays_28d"]) == (1, 0, 0)

    total = rows["item"][0]
    assert (total["n_listeners"], total["n_listeners_28d"]) == (5, 3)
    assert (total["n_starts_7d"], total["n_starts_28d"]) == (1, 2)
    assert (total["n_plays_7d"], total["n_plays_28d"]) == (3, 4)
    assert total["plays_per_listener"] == close(4 / 3)
    assert total["trend"] == close((1 + 1) / (2 / 4 + 1))
    assert total["new_listener_ratio"] == close(1.0)


def test_an_item_without_plays_has_zeros_and_no_market(tmp_path: Path) -> None:
    items = [item(1), item(2, "playlist", tags=["a", "b"], language="de", released_at="2026-03-09")]
    rows = tables(tmp_path, [event(1, "2026-03-09T10:00", show=1)], items=items)
    quiet = only(rows["item"], item=2)
    assert quiet["age_days"] == close(1.0)
    assert (quiet["type"], quiet["language"], quiet["n_tags"]) == ("playlist", "de", 2)
    assert (quiet["n_listeners"], quiet["n_plays_28d"], quiet["plays_per_listener"]) == (0, 0, 0)
    assert (quiet["trend"], quiet["new_listener_ratio"]) == (1, 0)
    assert [r["item"] for r in rows["item_market"]] == [1]


def test_an_item_is_there_from_the_day_after_its_release(tmp_path: Path) -> None:
    limits = {"tags": ["x"], "markets": ["DE"]}
    items = [
        item(1),
        item(2, released_at="2026-03-09T23:59", **limits),
        item(3, released_at="2026-03-10T00:00", **limits),
    ]
    rows = tables(tmp_path, [event(1, "2026-03-09T10:00", show=1)], items=items)
    assert [r["item"] for r in rows["item"]] == [1, 2]
    assert [r["item"] for r in rows["item_tag"]] == [2]
    assert [r["item"] for r in rows["item_availability"]] == [2]


def test_availability_names_the_markets_of_limited_items_alone(tmp_path: Path) -> None:
    items = [item(1), item(2, markets=["US", "DE", "DE"])]
    rows = tables(tmp_path, [event(1, "2026-03-09T10:00", show=1)], items=items)
    found = [(r["item"], r["market"]) for r in rows["item_availability"]]
    assert found == [(2, "DE"), (2, "US")]


def test_a_listeners_activity_and_habits(tmp_path: Path) -> None:
    items = [item(1), item(2, "playlist"), item(3, "artist"), item(4, "album")]
    events = [
        event(1, "2026-03-09T05:00", show=1),  # 06:00 in Berlin
        event(1, "2026-03-07T12:00", context=2, artist=3),  # Saturday
        event(1, "2026-02-10T20:00", artist=3),
        event(1, "2026-02-09T20:00", artist=3, context=2),
    ]
    who = [listener(1, registered_at="2026-02-08T12:00"), listener(2, registered_at="2026-03-09")]
    who.append(listener(3, registered_at="2026-03-10"))
    rows = tables(tmp_path, events, items=items, listeners=who, signup_picks=[pick(1, 3)])
    me = only(rows["listener"], listener=1)
    assert me["tenure_days"] == close(29.5)
    assert (me["n_plays"], me["n_plays_7d"], me["n_plays_28d"]) == (6, 3, 4)
    assert (me["n_items"], me["n_shows"], me["n_playlists"]) == (3, 1, 1)
    assert me["n_active_days_28d"] == 3
    assert me["days_since_last"] == close(19 / 24)
    shares = [me[f"{name}_ratio"] for name in ("night", "morning", "afternoon", "evening")]
    assert shares == [close(0), close(1 / 6), close(2 / 6), close(3 / 6)]
    assert me["weekend_ratio"] == close(2 / 6)
    # The playlist was first played 29 days before as_of, the show a day before.
    assert (me["show_starts_28d"], me["playlist_starts_28d"]) == (1, 0)
    assert me["show_play_ratio"] == close(1 / 6)
    assert me["playlist_play_ratio"] == close(2 / 6)
    assert me["n_picks"] == 1


def test_a_listener_without_plays_has_zeros_and_nulls(tmp_path: Path) -> None:
    who = [listener(1), listener(2, "US", registered_at="2026-03-09"), listener(3)]
    who[2]["registered_at"] = "2026-03-10"
    rows = tables(tmp_path, [event(1, "2026-03-09T10:00", show=1)], listeners=who)["listener"]
    assert [r["listener"] for r in rows] == [1, 2]
    cold = only(rows, listener=2)
    zeros = ("n_plays", "n_plays_7d", "n_items", "n_active_days_28d", "n_shows", "n_picks")
    assert all(cold[name] == 0 for name in zeros)
    nulls = ("language", "days_since_last", "night_ratio", "weekend_ratio", "show_play_ratio")
    assert all(cold[name] is None for name in nulls)
    assert cold["tenure_days"] == close(1.0)


def test_the_language_is_the_one_played_most_lately_and_ties_go_to_the_first_name(
    tmp_path: Path,
) -> None:
    items = [item(1, language="de"), item(2, language="en"), item(3)]
    # Listener 1: two English plays long ago against one German play yesterday.
    events = [event(1, "2025-11-01T10:00", show=2), event(1, "2025-11-02T10:00", show=2)]
    events += [event(1, "2026-03-09T10:00", show=1), event(1, "2026-03-09T11:00", show=3)]
    events += [event(2, "2026-03-09T10:00", show=2), event(2, "2026-03-09T11:00", show=1)]
    events += [event(3, "2026-03-09T10:00", show=3)]
    who = [listener(i) for i in (1, 2, 3)]
    rows = tables(tmp_path, events, items=items, listeners=who)["listener"]
    assert [r["language"] for r in rows] == ["de", "de", None]


def test_tag_weights_share_an_items_plays_and_picks_count_three(tmp_path: Path) -> None:
    items = [item(1, tags=["news", "talk"]), item(2, "artist", tags=["rock"]), item(3, tags=[])]
    events = [event(1, "2026-03-09T10:00", show=1), event(1, "2026-01-09T10:00", show=1)]
    events.append(event(1, "2026-03-09T11:00", show=3))
    picks = [pick(1, 2, "2026-03-09"), pick(2, 2, "2026-03-09"), pick(3, 2, "2026-03-10")]
    who = [listener(i) for i in (1, 2, 3)]
    rows = tables(tmp_path, events, items=items, listeners=who, signup_picks=picks)
    found = {(r["listener"], r["tag"]): r["weight"] for r in rows["listener_tag"]}
    half = (2 ** (-1 / 60) + 2 ** (-60 / 60)) / 2
    assert found == {
        (1, "news"): close(half),
        (1, "talk"): close(half),
        (1, "rock"): close(3.0),
        (2, "rock"): close(3.0),
    }
    assert [(r["listener"], r["item"]) for r in rows["pick"]] == [(1, 2), (2, 2)]
    tags = [(r["item"], r["tag"]) for r in rows["item_tag"]]
    assert tags == [(1, "news"), (1, "talk"), (2, "rock")]
