"""Shelves by rule, by hand."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from homerec.candidates.base import NO_REASON, PICKED, PLAYED, TAG, Reasons
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, load_catalog, load_shard
from homerec.home.cards import Cards
from homerec.home.rules import (
    RULES,
    RuleContext,
    jump_back_in,
    new_episodes,
    popular_in_market,
    popular_lists,
    read_blocked,
)
from homerec.home.sources import NUMBERS, SOURCES, numbers_with_reasons, source_rows
from homerec.settings import Settings
from support.lake import build_lake, event, item, listener

AS_OF = date(2026, 3, 10)


def content(key: int, show: int | None, released_at: str) -> dict:
    row = {"content": key, "content_id": f"c{key}", "type": "episode", "title": "", "show": show}
    return row | {"artist": None, "album": None, "duration_ms": 1, "released_at": released_at}


def blocked(key: int, market: str | None, blocked_at: str = "2026-03-01") -> dict:
    return {"item": key, "market": market, "reason": "rights", "blocked_at": blocked_at}


@pytest.fixture
def place(tmp_path: Path) -> tuple[Settings, Shard, RuleContext]:
    settings = build_lake(
        tmp_path,
        events=[
            event(1, "2026-02-08T00:00", show=1),  # 30 days before
            event(1, "2026-02-07T23:59", show=2),  # a minute more
            event(1, "2026-03-09T10:00", show=3),
            event(1, "2026-03-05T10:00", artist=8, context=4),
            event(2, "2026-03-09T10:00", show=3),
            event(3, "2026-03-08T10:00", context=5),
            event(3, "2026-03-09T10:00", show=1),
        ],
        items=[
            item(1), item(2), item(3), item(4, "playlist", markets=["US"]), item(5, "playlist"),
            item(6, "album"), item(8, "artist"),
        ],
        listeners=[listener(1), listener(2), listener(3, "US"), listener(4, "FR")],
        tables={
            "contents": [
                content(1, 3, "2026-03-03T00:00"), content(2, 1, "2026-03-02T23:59"),
                content(3, 2, "2026-03-09T23:59"), content(4, 1, "2026-03-10T00:00"),
                content(5, None, "2026-03-09T00:00"),
            ],
            "blocked": [blocked(5, "US"), blocked(8, None), blocked(3, None, "2026-03-10T01:00")],
        },
    )  # fmt: skip
    info = ensure_snapshot(settings, AS_OF, writer="night")
    catalog = load_catalog(info)
    shard = load_shard(info, catalog, 0, 100)
    return settings, shard, RuleContext.read(settings, catalog, AS_OF, info.known_at)


def lists(cards: Cards) -> dict[int, list[int]]:
    out: dict[int, list[int]] = {}
    for who, what, rank in zip(
        cards.listener.tolist(), cards.item.tolist(), cards.rank.tolist(), strict=True
    ):
        out.setdefault(who, []).append(what)
        assert rank == len(out[who])
    return out


Place = tuple[Settings, Shard, RuleContext]


def test_jump_back_in_holds_the_last_30_days_latest_first(place: Place) -> None:
    _, shard, context = place
    cards = jump_back_in(shard, context, 10)
    # Playlist 4 is not for DE, artist 8 is blocked, playlist 5 is blocked in US.
    assert lists(cards) == {1: [3, 1], 2: [3], 3: [1]}
    assert set(cards.source.tolist()) == {NUMBERS["recent"]}
    assert lists(jump_back_in(shard, context, 1)) == {1: [3], 2: [3], 3: [1]}


def test_new_episodes_are_of_shows_played_lately(place: Place) -> None:
    _, shard, context = place
    fresh = shard.catalog.items[context.fresh_shows].tolist()
    assert fresh == [2, 3]
    # Show 2 has a new episode, but listener 1 has not played it for 30 days.
    assert lists(new_episodes(shard, context, 10)) == {1: [3], 2: [3]}


def test_popular_is_the_markets_first_and_the_worlds_next(place: Place) -> None:
    _, shard, context = place
    by_market = {
        context.catalog.markets[code]: items.tolist()
        for code, items in popular_lists(context, 9, ("show", "playlist", "album")).items()
    }
    # In DE show 3 has two listeners, show 1 none in 28 days; in US show 1 was played.
    assert by_market == {"DE": [3, 1, 5], "FR": [3, 1, 5], "US": [1, 3, 4]}
    cards = popular_in_market(shard, context, 2)
    assert lists(cards) == {1: [3, 1], 2: [3, 1], 3: [1, 3], 4: [3, 1]}


def test_blocks_hold_from_their_date_and_in_their_market(place: Place) -> None:
    settings, _, context = place
    assert context.blocked == {(5, "US"), (8, None)}
    rows = context.catalog.rows(np.array([1, 3, 4, 5, 8]))
    allowed = {
        name: context.allowed(rows, code).tolist()
        for code, name in enumerate(context.catalog.markets)
    }
    assert allowed == {
        "DE": [True, True, False, True, False],
        "FR": [True, True, False, True, False],
        "US": [True, True, True, False, False],
    }
    assert read_blocked(settings, date(2026, 3, 1)) == frozenset()


def test_a_lake_without_blocks_and_contents_has_rules_all_the_same(tmp_path: Path) -> None:
    settings = build_lake(
        tmp_path,
        events=[event(1, "2026-03-09T10:00", show=1)],
        items=[item(1)],
        listeners=[listener(1), listener(2)],
    )
    info = ensure_snapshot(settings, AS_OF, writer="night")
    catalog = load_catalog(info)
    shard, context = (
        load_shard(info, catalog, 0, 9),
        RuleContext.read(settings, catalog, AS_OF, info.known_at),
    )
    found = {rule.name: lists(rule.rule(shard, context, 5)) for rule in RULES}
    assert found == {"jump_back_in": {1: [1]}, "new_episodes": {}, "popular": {1: [1], 2: [1]}}


def test_numbers_of_sources_are_never_used_twice() -> None:
    numbers = [number for number, _, _ in SOURCES]
    assert len(set(numbers)) == len(numbers) == len(NUMBERS)
    told = [row["source"] for row in source_rows(["news", "{item}"])]
    assert told[: len(numbers)] == numbers
    assert len(set(told)) == len(told) == len(numbers) + 6 + 2


def test_a_number_says_the_source_and_how_the_reason_is_worded() -> None:
    rows = {int(str(row["source"])): row for row in source_rows(["news", "{item}"])}
    reasons = Reasons(
        np.array([NO_REASON, PLAYED, PICKED, TAG, NO_REASON], dtype=np.int8),
        np.array([-1, 3, 4, -1, -1]),
        np.array([-1, -1, -1, 1, -1]),
    )
    names = ["als", "als", "co_listening", "new_items", "popular"]
    found = numbers_with_reasons(names, reasons)
    assert found.dtype == np.int16
    assert [rows[n]["label"] for n in found.tolist()] == [
        "Because of what you listen to",
        "Because you listened to {item}",
        "Because you picked {item}",
        # A tag cannot smuggle in what is filled in later.
        "Because you like (item)",
        "Popular in {market}",
    ]
    assert [rows[n]["name"] for n in found.tolist()[:3]] == ["als", "als", "co_listening"]
    # What is said without the item stands a hundred or two below.
    assert [n % 100 for n in found.tolist()[:3]] == [1, 1, 2]


def test_more_tags_than_numbers_go_unnamed() -> None:
    many = [f"tag{n}" for n in range(40_000)]
    assert max(int(str(row["source"])) for row in source_rows(many)) == 32_767
    reasons = Reasons(np.full(2, TAG, dtype=np.int8), np.full(2, -1), np.array([31_767, 31_768]))
    assert numbers_with_reasons(["by_tags"] * 2, reasons).tolist() == [32_767, NUMBERS["by_tags"]]


def test_cards_survive_parquet(place: Place, tmp_path: Path) -> None:
    _, shard, context = place
    cards = jump_back_in(shard, context, 10)
    cards.write(tmp_path / "cards.parquet")
    again = Cards.read(tmp_path / "cards.parquet")
    for name in ("listener", "item", "daypart", "rank", "source", "reason_item", "proposers"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cards, name))
        assert getattr(again, name).dtype == getattr(cards, name).dtype
    assert len(Cards.join([cards, again])) == 2 * len(cards)
    assert len(Cards.join([])) == 0
