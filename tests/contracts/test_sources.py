"""What every candidate source promises."""

from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homerec.candidates.base import CandidateSource, Query, Seen, Top
from homerec.errors import TrainingError
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, find, load_catalog, load_shard
from homerec.models.spec import SOURCES
from support.lake import build_lake, event, item, listener
from support.taste import (
    ARTISTS,
    COLD,
    N_GROUP,
    SHOWS,
    US_COLD,
    US_ONLY,
    fit_data,
    group_of,
    make_source,
)

EVERY = pytest.mark.parametrize("name", sorted(SOURCES))
#: What a source says nothing without: the listener's own plays.
NEEDS_HISTORY = {"als", "co_listening", "ease", "familiar"}


def seen_for(name: str) -> Seen:
    return "required" if name == "familiar" else "excluded"


@pytest.fixture(scope="module")
def fitted(world: Any) -> dict[str, CandidateSource]:
    return {name: make_source(name).fit(fit_data(world.catalog, world.shard)) for name in SOURCES}


def query(shard: Shard, seen: Seen, *keys: int) -> Query:
    rows = find(shard.listeners, np.array(keys)) if keys else np.arange(shard.n_listeners)
    return Query(shard, rows, ("show",), seen)


def named(shard: Shard, top: Top) -> list[tuple[int, int, float, float]]:
    """Cards by key, so that shards can be compared."""
    keys = (shard.listeners[top.listener], shard.catalog.items[top.item], top.score, top.rank)
    return list(zip(*(column.tolist() for column in keys), strict=True))


def top_of(source: CandidateSource, shard: Shard, k: int = 5, *keys: int) -> list[Any]:
    return named(shard, source.prepare(query(shard, seen_for(source.name), *keys)).top(k))


def every_pair(shard: Shard) -> tuple[np.ndarray, np.ndarray]:
    n, m = shard.n_listeners, len(shard.catalog.items)
    return np.repeat(np.arange(n), m), np.tile(np.arange(m), n)


@EVERY
def test_the_top_is_ordered_unique_and_finite(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    cards = top_of(fitted[name], world.shard)
    assert len({who for who, *_ in cards}) >= 2 * N_GROUP
    assert len({(who, what) for who, what, *_ in cards}) == len(cards)
    assert cards == sorted(cards, key=lambda c: (c[0], -c[2], c[1]))
    assert all(np.isfinite(score) for *_, score, _ in cards)
    for who in {c[0] for c in cards}:
        ranks = [c[3] for c in cards if c[0] == who]
        assert ranks == list(range(1, len(ranks) + 1))
        assert len(ranks) <= 5


@EVERY
def test_the_top_scores_are_what_score_says(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    prepared = fitted[name].prepare(query(world.shard, seen_for(name)))
    top = prepared.top(5)
    np.testing.assert_array_equal(prepared.score(top.listener, top.item), top.score)


@EVERY
def test_the_top_is_the_best_of_all_that_is_allowed(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    few, all_of_them = (top_of(fitted[name], world.shard, k) for k in (3, 10_000))
    assert few == [card for card in all_of_them if card[3] <= 3]


@EVERY
def test_saved_and_loaded_it_says_the_same(
    world: Any, fitted: dict[str, CandidateSource], name: str, tmp_path: Path
) -> None:
    fitted[name].save(tmp_path)
    loaded = make_source(name).load(tmp_path)
    assert top_of(loaded, world.shard) == top_of(fitted[name], world.shard)
    asked = query(world.shard, seen_for(name))
    before, after = (source.prepare(asked) for source in (fitted[name], loaded))
    np.testing.assert_array_equal(
        before.score(*every_pair(world.shard)), after.score(*every_pair(world.shard))
    )


@EVERY
def test_one_listener_gets_the_same_alone_and_among_others(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    together = top_of(fitted[name], world.shard)
    asked = query(world.shard, seen_for(name))
    listeners, items = every_pair(world.shard)
    scores = fitted[name].prepare(asked).score(listeners, items)
    for row in range(0, world.shard.n_listeners, 3):
        key = int(world.shard.listeners[row])
        alone = world.alone(key)
        assert top_of(fitted[name], alone) == [c for c in together if c[0] == key]
        assert top_of(fitted[name], world.shard, 5, key) == [c for c in together if c[0] == key]
        single = fitted[name].prepare(query(alone, seen_for(name)))
        own = np.arange(len(alone.catalog.items))
        np.testing.assert_array_equal(
            single.score(np.zeros_like(own), own), scores[listeners == row]
        )


@EVERY
def test_a_cold_listener_is_no_trouble(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    shard = world.shard
    prepared = fitted[name].prepare(query(shard, seen_for(name), COLD))
    top = prepared.top(10)
    assert np.isfinite(top.score).all()
    row = find(shard.listeners, np.array([COLD]))
    items = np.arange(len(shard.catalog.items))
    scores = prepared.score(np.full(len(items), row[0]), items)
    assert not np.isinf(scores).any()
    if name in NEEDS_HISTORY:
        assert len(top.item) == 0
        assert not (scores > 0).any()
    if name in ("als", "ease", "familiar"):
        assert np.isnan(scores).all()


@pytest.mark.parametrize("name", ["als", "co_listening", "ease", "by_tags"])
def test_a_pick_at_sign_up_is_enough_to_begin_with(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    cards = top_of(fitted[name], world.shard, 5, US_COLD)
    assert len(cards) == 5
    assert {what for _, what, *_ in cards} <= {*SHOWS["a"], 26}


@EVERY
@pytest.mark.parametrize("k", [26, 27, 10_000])
def test_k_may_exceed_the_catalog(
    world: Any, fitted: dict[str, CandidateSource], name: str, k: int
) -> None:
    cards = top_of(fitted[name], world.shard, k)
    shows = set(world.catalog.items[world.catalog.of_type("show")].tolist())
    assert {what for _, what, *_ in cards} <= shows
    assert len({(who, what) for who, what, *_ in cards}) == len(cards)


@EVERY
@pytest.mark.parametrize("seen", ["excluded", "required"])
def test_seen_items_are_left_out_or_the_only_ones(
    world: Any, fitted: dict[str, CandidateSource], name: str, seen: Seen
) -> None:
    shard = world.shard
    top = fitted[name].prepare(query(shard, seen)).top(100)
    was_played = shard.pair_rows(top.listener, top.item) >= 0
    if (name, seen) == ("familiar", "excluded") or (name, seen) == ("new_items", "required"):
        assert len(top.item) == 0
    else:
        assert len(top.item) > 0
    assert (was_played == (seen == "required")).all()


@EVERY
@pytest.mark.parametrize("seen", ["excluded", "required"])
def test_items_stay_in_their_markets(
    world: Any, fitted: dict[str, CandidateSource], name: str, seen: Seen
) -> None:
    cards = named(world.shard, fitted[name].prepare(query(world.shard, seen)).top(100))
    markets = dict(zip(world.shard.listeners.tolist(), world.shard.markets.tolist(), strict=True))
    us = world.catalog.markets.index("US")
    with_it = {who for who, what, *_ in cards if what == US_ONLY}
    assert {markets[who] for who in with_it} <= {us}
    if name in ("popular", "by_tags") and seen == "excluded":
        assert with_it


@EVERY
def test_nobody_asked_is_nobody_served(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    none = Query(world.shard, np.zeros(0, np.int64), ("show",), seen_for(name))
    prepared = fitted[name].prepare(none)
    assert len(prepared.top(5).item) == 0
    empty = np.zeros(0, np.int64)
    assert prepared.score(empty, empty).shape == (0,)


@EVERY
def test_fitting_again_gives_the_same_and_forgets_the_first_fit(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    half = load_shard(world.info, world.catalog, 0, N_GROUP)
    again = make_source(name).fit(fit_data(world.catalog, half))
    again.fit(fit_data(world.catalog, world.shard))
    assert top_of(again, world.shard) == top_of(fitted[name], world.shard)


@EVERY
def test_shards_and_threads_of_the_fit_change_nothing(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    cuts = [0, 2, 9, 30, 1_000]
    parts = [load_shard(world.info, world.catalog, *cut) for cut in pairwise(cuts)]
    other = make_source(name).fit(fit_data(world.catalog, *parts, n_threads=2))
    assert top_of(other, world.shard) == top_of(fitted[name], world.shard)


def tiny(home: Path, n_items: int, **values: Any) -> Shard:
    """Three listeners who played item 1, in a catalog of some shows."""
    settings = build_lake(
        home,
        events=[event(i, "2026-03-09T10:00", show=1) for i in (1, 2, 3)],
        items=[item(1, tags=["x"])] + [item(i, **values) for i in range(2, n_items + 1)],
        listeners=[listener(i) for i in (1, 2, 3, 4)],
    )
    info = ensure_snapshot(settings, date(2026, 3, 10), writer="night")
    return load_shard(info, load_catalog(info), 0, 100)


@EVERY
def test_a_catalog_of_one_item_is_enough_or_an_error_that_says_so(
    tmp_path: Path, name: str
) -> None:
    shard = tiny(tmp_path, 1)
    source, data = make_source(name), fit_data(shard.catalog, shard)
    if name in ("als", "centroids", "ease", "starts"):
        with pytest.raises(TrainingError, match=r"needs 2 items of type.*show.*there are 1"):
            source.fit(data)
        return
    cards = top_of(source.fit(data), shard)
    assert {what for _, what, *_ in cards} <= {1}
    expected = {"familiar": [1, 2, 3], "popular": [4]}
    assert [who for who, *_ in cards] == expected.get(name, [])


@EVERY
def test_items_that_came_or_went_since_the_fit_are_no_trouble(
    world: Any, fitted: dict[str, CandidateSource], name: str, tmp_path: Path
) -> None:
    # Of the fitted items only show 1 and artist 31 are left; 200 is new.
    settings = build_lake(
        tmp_path,
        events=[event(1, "2026-03-09T10:00", artist=31), event(2, "2026-03-09T10:00", show=200)],
        items=[item(1, tags=["a"]), item(31, "artist", tags=["a"]), item(200, tags=["a"])],
        listeners=[listener(1), listener(2)],
    )
    info = ensure_snapshot(settings, date(2026, 3, 10), writer="night")
    shard = load_shard(info, load_catalog(info), 0, 100)
    cards = top_of(fitted[name], shard, 5)
    assert {what for _, what, *_ in cards} <= {1, 200}
    prepared = fitted[name].prepare(query(shard, seen_for(name)))
    rows = shard.catalog.rows(np.array([1, 200]))
    scores = prepared.score(np.array([0, 0]), rows)
    assert not np.isinf(scores).any()
    if name in ("als", "co_listening", "ease"):
        assert (1, 1) in {(who, what) for who, what, *_ in cards}
        assert np.isnan(scores[1])
        assert not np.isnan(scores[0])


@pytest.mark.parametrize("name", ["by_tags", "new_items", "popular"])
def test_ties_go_to_the_lower_key_however_many_there_are(tmp_path: Path, name: str) -> None:
    # 200 equal items: more than any cut of a partial sort holds.
    others = {"tags": ["x"], "released_at": "2026-03-01"}
    settings = build_lake(
        tmp_path,
        events=[event(i, "2026-03-09T10:00", show=1) for i in (1, 2, 3)]
        + [event(9, "2026-03-09T10:00", show=i) for i in range(2, 202)],
        items=[item(1, tags=["x"])] + [item(i, **others) for i in range(2, 202)],
        listeners=[listener(i) for i in (1, 2, 3, 4, 9)],
    )
    info = ensure_snapshot(settings, date(2026, 3, 10), writer="night")
    shard = load_shard(info, load_catalog(info), 0, 100)
    source = make_source(name).fit(fit_data(shard.catalog, shard))
    cards = top_of(source, shard, 5, 1, 2, 3)
    assert [what for who, what, *_ in cards if who == 2] == [2, 3, 4, 5, 6]
    alone = load_shard(info, shard.catalog, 2, 3)
    assert top_of(source, alone, 5) == [c for c in cards if c[0] == 2]


def recall(world: Any, source: CandidateSource, group: str) -> float:
    """Share of a listener's unplayed shows of the own group among the best four."""
    shares = []
    for key in (k for k in world.shard.listeners.tolist() if k <= 2 * N_GROUP):
        if group_of(key) == group:
            cards = top_of(source, world.shard, 4, key)
            shares.append(np.mean([what in SHOWS[group] for _, what, *_ in cards]))
    return float(np.mean(shares))


@pytest.mark.parametrize("name", ["als", "co_listening", "ease"])
def test_a_planted_taste_is_found_and_popularity_is_beaten(
    world: Any, fitted: dict[str, CandidateSource], name: str
) -> None:
    mine = [recall(world, fitted[name], group) for group in "ab"]
    popular = [recall(world, fitted["popular"], group) for group in "ab"]
    assert min(mine) > 0.9
    assert sum(mine) > sum(popular) + 0.5


def test_artists_speak_for_shows(world: Any, fitted: dict[str, CandidateSource]) -> None:
    for name in ("als", "co_listening", "ease"):
        cards = top_of(fitted[name], world.shard, 100)
        assert not {what for _, what, *_ in cards} & {*ARTISTS["a"], *ARTISTS["b"]}
