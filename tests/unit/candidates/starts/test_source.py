"""The model of starts on a planted taste: new items, new listeners, and what a fit keeps."""

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homerec.candidates.base import NO_REASON, Query
from homerec.candidates.starts import prepared
from homerec.candidates.starts.attributes import Attributes
from homerec.candidates.starts.learned import Learned
from homerec.candidates.starts.popularity import window
from homerec.candidates.starts.recalled import Left
from homerec.candidates.starts.source import StartsSource
from homerec.columns import ITEM_TYPES
from homerec.errors import OutdatedArtifactError, TrainingError
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, find, load_catalog, load_shard
from homerec.settings import Settings
from support.lake import build_lake
from support.taste import (
    ARTISTS,
    COLD,
    SHOWS,
    US_COLD,
    fit_data,
    group_of,
    make_source,
    taste_lake,
    taste_rows,
    with_skips,
)

DAY = date(2026, 3, 10)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    settings = taste_lake(tmp_path_factory.mktemp("taste"))
    return shard_of(settings)


def shard_of(settings: Settings) -> Shard:
    info = ensure_snapshot(settings, DAY, writer="night")
    return load_shard(info, load_catalog(info), 0, 1_000)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    """The same, and each group's shows and artists are in a language of their own."""
    rows = taste_rows()
    for row in rows["items"]:
        if row["item"] in SHOWS["a"] + ARTISTS["a"]:
            row["language"] = "de"
        elif row["item"] in SHOWS["b"] + ARTISTS["b"]:
            row["language"] = "en"
    settings = build_lake(
        tmp_path_factory.mktemp("spoken"), events=rows["events"], items=rows["items"],
        listeners=rows["listeners"], tables={"signup_picks": rows["picks"]},
    )  # fmt: skip
    return shard_of(settings)


def spoken_source(foreign: float, language_only: bool = False) -> Any:
    source: Any = make_source("starts")
    source.parameters["foreign"] = foreign
    if language_only:
        source.parameters.update(tag_strength=0.0, precision=1e6, max_tags=1)
    return source


def test_what_is_saved_knows_who_follows_which_language(spoken: Shard, tmp_path: Path) -> None:
    source = spoken_source(0.1).fit(fit_data(spoken.catalog, spoken))
    share = source.learned_.members[0].languages.share
    assert ((share > 0.4) & (share < 0.75)).all()
    source.save(tmp_path)
    again = spoken_source(0.1).load(tmp_path)
    for key in (1, 2, COLD):
        assert scores(again, spoken, key) == scores(source, spoken, key)


def test_who_follows_a_language_gets_the_more_of_it_the_less_others_start(spoken: Shard) -> None:
    much, little = (
        spoken_source(foreign, language_only=True).fit(fit_data(spoken.catalog, spoken))
        for foreign in (0.05, 0.9)
    )
    for key in (1, 2):
        found = lean(scores(much, spoken, key), group_of(key))
        assert found > lean(scores(little, spoken, key), group_of(key)) + 1.0


def test_languages_are_looked_up_by_name_and_explain_no_card(spoken: Shard) -> None:
    catalog = spoken.catalog
    items = catalog.rows(np.array([1, 13, 26]))
    attributes = Attributes((), ("en", "xx", "de"), 0.5)
    assert attributes.spoken(catalog, items).tolist() == [2, 0, -1]
    source = spoken_source(0.25)
    source.parameters["members"] = 1
    source.fit(fit_data(catalog, spoken))
    assert (source.learned_.apart()[:, -2:] == 0).all()


def scores(source: Any, shard: Shard, key: int, as_new: bool = False) -> dict[int, float]:
    """Score of every show for one listener, by the show's key."""
    row = find(shard.listeners, np.array([key]))
    ready = source.prepare(Query(shard, row, ("show",)))
    if as_new:
        n = len(shard.skip_listener)
        ready._left = Left(np.zeros(n), np.full(n, -np.inf))
    shows = shard.catalog.of_type("show")
    found = ready.score(np.repeat(row, len(shows)), shows)
    return dict(zip(shard.catalog.items[shows].tolist(), found.tolist(), strict=True))


def lean(found: dict[int, float], group: str) -> float:
    """Mean score of a group's shows, less that of the other's."""
    other = {"a": "b", "b": "a"}[group]
    return float(
        np.mean([found[s] for s in SHOWS[group]]) - np.mean([found[s] for s in SHOWS[other]])
    )


def test_taste_is_found_against_popularity(shard: Shard) -> None:
    source = make_source("starts").fit(fit_data(shard.catalog, shard))
    nobody = lean(scores(source, shard, COLD), "a")
    # Group b is the larger one: without taste its shows lead.
    assert nobody < 0
    for key in (1, 2, 3, 4):
        group = group_of(key)
        own = lean(scores(source, shard, key), group)
        assert own > 1.0
        assert own > (nobody if group == "a" else -nobody) + 1.0
    nothing = np.zeros(0, np.int64)
    without = replace(shard, pick_listener=nothing, pick_item=nothing)
    picked, unpicked = (lean(scores(source, s, US_COLD), "a") for s in (shard, without))
    assert picked > unpicked + 0.3


def test_an_item_newer_than_the_fit_has_the_taste_of_its_tags(shard: Shard) -> None:
    source = make_source("starts").fit(fit_data(shard.catalog, shard))
    assert 26 not in source.item_keys_  # type: ignore[attr-defined]
    fan, other = scores(source, shard, 1), scores(source, shard, 2)
    # Show 26 has tag a; nobody has started it.
    assert fan[26] > other[26] + 0.5


def test_what_taste_can_do_is_bounded_and_what_tags_do_is_not(shard: Shard) -> None:
    def most(ceiling: float, tag_strength: float) -> float:
        """Largest log of the odds of any show for any listener."""
        source: Any = make_source("starts")
        source.parameters.update(
            ceiling=ceiling, tag_strength=tag_strength, foreign=0.99, precision=1.0
        )
        source.fit(fit_data(shard.catalog, shard))
        rows = np.arange(shard.n_listeners)
        query = Query(shard, rows, ("show",))
        listener, show = (part.ravel() for part in np.meshgrid(rows, query.items))
        column = np.searchsorted(query.items, show)
        present = source.learned_.present(shard.catalog, query.items)
        taste = source.prepare(query).score(listener, show)
        taste -= present[shard.markets[listener], column]
        return float(taste.max())

    assert most(60.0, 0.0) > 0.6
    assert 0 < most(0.5, 0.0) < 0.5
    assert most(0.5, 3.0) > 0.6


@pytest.fixture(scope="module")
def learned(shard: Shard) -> Learned:
    source: Any = make_source("starts").fit(fit_data(shard.catalog, shard))
    return source.learned_


def fresh_at_present(learned: Learned, shard: Shard) -> np.ndarray:
    """Log of the chance of the new show in each market."""
    shows = shard.catalog.of_type("show")
    at = int(np.flatnonzero(shard.catalog.items[shows] == 26)[0])
    return learned.present(shard.catalog, shows)[:, at]


def test_an_item_of_tonight_is_as_likely_as_new_ones_were_not_as_its_lack_of_starts(
    learned: Learned, shard: Shard
) -> None:
    own = learned.novelty["show"]
    before = fresh_at_present(learned, shard)
    twice = replace(learned, novelty={"show": replace(own, rate=2 * own.rate)})
    after = fresh_at_present(twice, shard)
    # What new items do decides, for it has had a few days and no start: less than twice as much.
    assert (after > before + 0.02).all()
    assert (after < before + np.log(2)).all()


def test_an_item_without_a_fit_is_put_on_the_scale_of_those_with_one(
    learned: Learned, shard: Shard
) -> None:
    def liked(by: float) -> Learned:
        members = []
        for member in learned.members:
            choosing = replace(
                member.popularity.choosing, log_mass=member.popularity.choosing.log_mass + by
            )
            members.append(
                replace(member, popularity=replace(member.popularity, choosing=choosing))
            )
        return replace(learned, members=tuple(members))

    before, after = (fresh_at_present(one, shard) for one in (learned, liked(0.7)))
    # Who chooses likes it twice as much: so its chance is half of what its starts are.
    np.testing.assert_allclose(before - after, 0.94 * 0.7, rtol=1e-3)


def test_when_few_listeners_of_a_market_started_new_items_is_not_kept(shard: Shard) -> None:
    age = shard.catalog.columns["age_days"].copy()
    age[shard.catalog.rows(np.array(SHOWS["a"]))] = 9.5
    catalog = replace(shard.catalog, columns={**shard.catalog.columns, "age_days": age})

    def learned_of(market: str) -> dict[str, Any]:
        """Learn where a market's listeners started old shows on that day, new ones later."""
        days = shard.pair_columns["days_since_first"].copy()
        there = shard.markets[shard.pair_listener] == catalog.markets.index(market)
        days[there] = np.where(age[shard.pair_item] < 10, 2.5, 9.2)[there]
        moved = replace(
            shard, catalog=catalog, pair_columns={**shard.pair_columns, "days_since_first": days}
        )
        return StartsSource(factors=1, members=1, iterations=1, min_listeners=2).fit(
            fit_data(catalog, moved)
        ).learned_.novelty["show"].to_json()  # fmt: skip

    plain = StartsSource(factors=1, members=1, iterations=1, min_listeners=2).fit(
        fit_data(catalog, replace(shard, catalog=catalog))
    ).learned_.novelty["show"].to_json()  # fmt: skip
    assert learned_of("US") == plain
    assert learned_of("DE")["opening"] < plain["opening"] - 0.1


def test_an_item_out_for_less_than_four_weeks_is_expected_by_its_own_starts_since(
    learned: Learned, shard: Shard
) -> None:
    shows, key, kind = shard.catalog.of_type("show"), SHOWS["a"][0], ITEM_TYPES.index("show")
    (at,) = np.flatnonzero(shard.catalog.items[shows] == key)

    def aged(days: float) -> Any:
        age = shard.catalog.columns["age_days"].copy()
        age[shows[at]] = days
        return replace(shard.catalog, columns={**shard.catalog.columns, "age_days": age})

    catalog = aged(20.0)
    recent = window(catalog, shows, 28)
    started = (catalog.as_of - learned.began).days
    # It has factors of its own: who likes it is known, however long it is out.
    expected = learned.novelty["show"].log_chance(
        recent.starts[:, [at]], np.array([20.0]), [""], recent.starts.sum(axis=1), started,
        learned.known_markets(catalog),
    ) - learned._log_share(catalog, shows[[at]], kind)  # fmt: skip
    young, old = learned.present(catalog, shows), learned.present(aged(28.0), shows)
    np.testing.assert_allclose(young[:, at], 0.94 * expected[:, 0], rtol=1e-5)
    assert np.abs(young - old)[:, at].min() > 0.01
    mine = (learned.item_keys == key)[:, None]
    other = replace(
        learned, members=tuple(replace(m, factors=m.factors + mine) for m in learned.members)
    )
    own, moved = (one._log_share(catalog, shows, kind) for one in (learned, other))
    assert (own != moved).tolist() == (np.arange(len(shows)) == at).tolist()


def test_a_short_history_is_not_taken_for_days_without_starts(
    learned: Learned, shard: Shard
) -> None:
    short = replace(learned, began=DAY - timedelta(days=28))
    # Fewer starts a day would have missed the item: that nobody started it would say less.
    assert (fresh_at_present(short, shard) > fresh_at_present(learned, shard) + 0.01).all()


def test_blocks_of_scores_are_the_scores_of_pairs(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source("starts")
    source.parameters["ceiling"] = 0.5
    # What they left at once is of all types, and of listeners beside those who are asked for too.
    rng = np.random.default_rng(3)
    every = rng.random((shard.n_listeners, len(shard.catalog.items))) < 0.2
    who, what = np.nonzero(every)
    shard = with_skips(shard, who, what)
    rows = np.arange(shard.n_listeners)[1:-1:2]
    query = Query(shard, rows, ("show",))
    ready = source.fit(fit_data(shard.catalog, shard)).prepare(query)
    blocks: list[Any] = []

    def kept(query: Query, items: Any, k: int, block: Any, exact: Any) -> None:
        blocks.append(block(rows))

    monkeypatch.setattr(prepared, "top_k", kept)
    ready.top(5)
    listener, show = (part.ravel() for part in np.meshgrid(rows, query.items, indexing="ij"))
    np.testing.assert_allclose(blocks[0].ravel(), ready.score(listener, show), atol=1e-4)


def left_at_once(shard: Shard, key: int, keys: list[int]) -> Shard:
    """The same shard, in which a listener has put on some items and left them at once."""
    row, items = find(shard.listeners, np.array([key])), np.sort(shard.catalog.rows(np.array(keys)))
    return with_skips(shard, np.repeat(row, len(items)), items)


@pytest.mark.parametrize("key", [1, 6])
def test_what_was_left_at_once_is_found_again_or_recalled_and_nothing_else_changes(
    shard: Shard, key: int
) -> None:
    # Of DE and of US.
    shows = shard.catalog.of_type("show")
    fitted = {
        memory: StartsSource(memory=memory, factors=4, min_listeners=2, precision=2.0).fit(
            fit_data(shard.catalog, shard)
        )
        for memory in (1, 11, 1_000)
    }
    row = find(shard.listeners, np.array([key]))
    query = Query(shard, row, ("show",))
    left = shard.catalog.items[fitted[1].prepare(query).top(2).item].tolist()
    tried = left_at_once(shard, key, left)
    new_only = Query(tried, row, ("show",)).allowed(row, shows)[0]
    new_only &= ~np.isin(shard.catalog.items[shows], left)
    # They know nine items and the two that they left.
    for memory in (11, 1_000):
        source = fitted[memory]
        # With the same evidence of taste, but nothing that was left.
        plain = scores(source, tried, key, as_new=True)
        found = scores(source, tried, key)
        assert {show for show in plain if plain[show] != found[show]} == set(left)
        total = np.log(np.exp([plain[s] for s in shard.catalog.items[shows][new_only]]).sum())
        rule = Left.read(tried, memory, skipped=0.5)
        at = tried.skip_rows(np.repeat(row, 2), shard.catalog.rows(np.array(left)))
        expected = np.logaddexp(
            np.array([plain[show] for show in left]) + rule.log_forgotten[at],
            total + rule.log_recalled[at],
        )
        assert [found[show] for show in left] == pytest.approx(expected, abs=1e-4)
    # Who has forgotten finds it as they would anything else.
    first = scores(fitted[1], tried, key)
    as_new = scores(fitted[1], tried, key, as_new=True)
    assert [first[show] for show in left] == pytest.approx([as_new[s] for s in left], abs=1e-5)


def test_who_knows_hardly_anything_takes_up_again_what_they_left(shard: Shard) -> None:
    source = make_source("starts").fit(fit_data(shard.catalog, shard))
    row = find(shard.listeners, np.array([COLD]))
    # What the market starts least.
    last = source.prepare(Query(shard, row, ("show",))).top(100).item[-1]
    key = int(shard.catalog.items[last])
    tried = left_at_once(shard, COLD, [key])
    assert source.prepare(Query(tried, row, ("show",))).top(1).item.tolist() == [last]


def test_what_somebody_left_does_not_depend_on_who_else_is_asked_for(shard: Shard) -> None:
    tried = some_skips(shard)
    source = make_source("starts").fit(fit_data(shard.catalog, shard))
    # Ten shows stand for all of them.
    source.parameters["max_support"] = 10
    rows, shows = np.arange(shard.n_listeners), shard.catalog.of_type("show")
    together = source.prepare(Query(tried, rows, ("show",)))
    for row in rows[::7]:
        alone = source.prepare(Query(tried, np.array([row]), ("show",)))
        asked = np.repeat(row, len(shows))
        assert (alone.score(asked, shows) == together.score(asked, shows)).all()


def some_skips(shard: Shard) -> Shard:
    """Everybody has left a fifth of what they do not know."""
    rng = np.random.default_rng(4)
    who, what = np.nonzero(rng.random((shard.n_listeners, len(shard.catalog.items))) < 0.2)
    played = shard.pair_rows(who, what) >= 0
    return with_skips(shard, who[~played], what[~played])


def test_a_few_items_stand_for_all_that_is_new(shard: Shard) -> None:
    source = make_source("starts").fit(fit_data(shard.catalog, shard))
    tried, rows = some_skips(shard), np.arange(shard.n_listeners)
    found = []
    for most in (1_000, 10):
        source.parameters["max_support"] = most
        found.append(source.prepare(Query(tried, rows, ("show",)))._left.log_recalled)  # type: ignore[attr-defined]
    shows = np.isin(tried.skip_item, shard.catalog.of_type("show"))
    apart = found[1][shows] - found[0][shows]
    # Ten of 26 are another sum for each listener. Without weights they would be less than half of
    # it for all.
    assert apart.any()
    assert abs(apart.mean()) < 0.3


def test_only_items_of_its_type_are_what_is_new_beside_it(shard: Shard) -> None:
    catalog, tried = shard.catalog, some_skips(shard)
    data = replace(fit_data(catalog, shard), item_types=("artist", "show"))
    source = make_source("starts").fit(data)
    rows = np.arange(shard.n_listeners)
    listener, item = tried.skip_listener, tried.skip_item
    of_shows, of_artists, both = (
        source.prepare(Query(tried, rows, types)).score(listener, item)
        for types in (("show",), ("artist",), ("artist", "show"))
    )
    show, artist = (np.isin(item, catalog.of_type(kind)) for kind in ("show", "artist"))
    assert (of_shows[show] == both[show]).all()
    assert (of_artists[artist] == both[artist]).all()
    assert np.isfinite(both[show | artist]).all()
    assert np.isnan(of_shows[artist]).all()


def test_what_was_left_at_once_tells_of_taste_and_explains_no_card(shard: Shard) -> None:
    source = make_source("starts").fit(fit_data(shard.catalog, shard))
    tried = left_at_once(shard, COLD, SHOWS["a"][:3])
    nobody, found = (lean(scores(source, of, COLD), "a") for of in (shard, tried))
    assert found > nobody + 0.5
    row = find(shard.listeners, np.array([COLD]))
    query = Query(tried, row, ("show",))
    show = shard.catalog.rows(np.array(SHOWS["a"][5:6]))
    barred = np.zeros(len(shard.catalog.items), np.bool_)
    assert source.explain(query, row, show, barred).kind.tolist() == [NO_REASON]


def test_what_is_saved_serves_the_same(shard: Shard, tmp_path: Path) -> None:
    # None of these is a default, or it would not be seen that it was lost.
    parameters = {"tag_strength": 0.9, "foreign": 0.6, "ceiling": 0.7, "weights": {"artist": 0.3}}
    source, again = (StartsSource(factors=4, min_listeners=2, **parameters) for _ in range(2))
    source.fit(fit_data(shard.catalog, shard)).save(tmp_path)
    again.load(tmp_path)
    assert scores(source, shard, 1) == scores(again, shard, 1)
    left, right = vars(source.learned_), vars(again.learned_)
    assert left.keys() == right.keys()
    for name in ("kinds", "attributes", "markets", "began"):
        assert left[name] == right[name]
    assert {t: w for t, w in right["weights"].items() if w} == left["weights"]
    assert right["chooser"].ceiling == 0.7


def test_a_type_without_weight_is_not_read(shard: Shard) -> None:
    source = make_source("starts")
    source.parameters["weights"] = {"artist": 1.0, "show": 0.0}
    source.fit(fit_data(shard.catalog, shard))
    artists = shard.catalog.items[shard.catalog.of_type("artist")]
    assert set(source.item_keys_.tolist()) <= set(artists.tolist())  # type: ignore[attr-defined]


def test_too_few_items_are_told_with_the_types_that_are_read(shard: Shard) -> None:
    source = StartsSource(min_listeners=1_000, weights={"artist": 0.0, "playlist": 0.5})
    with pytest.raises(TrainingError, match="items of type show, playlist with 1000 listeners"):
        source.fit(fit_data(shard.catalog, shard))


def test_the_shelfs_own_type_is_read_though_no_weight_names_it(shard: Shard) -> None:
    source = make_source("starts")
    source.parameters["weights"] = {"artist": 1.0}
    source.fit(fit_data(shard.catalog, shard))
    shows = shard.catalog.items[shard.catalog.of_type("show")]
    assert np.isin(source.item_keys_, shows).any()  # type: ignore[attr-defined]


def test_the_fit_does_not_depend_on_shards(shard: Shard, tmp_path: Path) -> None:
    info = ensure_snapshot(taste_lake(tmp_path), DAY, writer="night")
    parts = [load_shard(info, shard.catalog, low, low + 20) for low in (0, 20, 40, 60, 80)]
    whole = make_source("starts").fit(fit_data(shard.catalog, shard))
    pieces = make_source("starts").fit(fit_data(shard.catalog, *parts))
    assert_same_members(whole, pieces)


def assert_same_members(first: Any, second: Any) -> None:
    left, right = first.learned_, second.learned_
    assert len(left.members) == len(right.members) > 1
    for one, other in zip(left.members, right.members, strict=True):
        np.testing.assert_array_equal(one.factors, other.factors)
        np.testing.assert_array_equal(one.popularity.log_chance, other.popularity.log_chance)
        np.testing.assert_array_equal(one.popularity.due, other.popularity.due)
        np.testing.assert_array_equal(one.support_weight, other.support_weight)
        for mine, yours in zip(
            vars(one.popularity.choosing).values(),
            vars(other.popularity.choosing).values(),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, yours)
    assert json.dumps(left.novelty["show"].to_json()) == json.dumps(right.novelty["show"].to_json())
    assert left.began == right.began


def test_the_fit_does_not_depend_on_threads(shard: Shard) -> None:
    one, two = (
        make_source("starts").fit(fit_data(shard.catalog, shard, n_threads=n)) for n in (1, 2)
    )
    assert_same_members(one, two)


def test_a_file_of_an_older_homerec_says_so(shard: Shard, tmp_path: Path) -> None:
    make_source("starts").fit(fit_data(shard.catalog, shard)).save(tmp_path)
    path = tmp_path / "starts.npz"
    with np.load(path) as arrays:
        without = {name: values for name, values in arrays.items() if name != "reading"}
    for old in (without, {**without, "reading": np.array(1)}):
        np.savez(path, **old)
        with pytest.raises(
            OutdatedArtifactError, match=r"starts\.npz is of an older homerec.*Train"
        ):
            make_source("starts").load(tmp_path)


def test_a_type_that_the_fit_was_not_made_to_show_is_named(learned: Learned, shard: Shard) -> None:
    artists = shard.catalog.of_type("artist")
    with pytest.raises(OutdatedArtifactError, match=r"to show show, not artist\. Train"):
        learned.present(shard.catalog, artists)


def test_members_differ_and_a_score_is_their_mean_taste(shard: Shard) -> None:
    source: Any = make_source("starts")
    # So high that nothing is bounded: what is averaged is taste, before the bound.
    source.parameters["ceiling"] = 60.0
    source.fit(fit_data(shard.catalog, shard))
    everybody, learned = scores(source, shard, 1), source.learned_
    alone = []
    for member in learned.members:
        source.learned_ = replace(learned, members=(member,))
        alone.append(scores(source, shard, 1))
    assert alone[0] != alone[1]
    mean = {show: float(np.mean([found[show] for found in alone])) for show in everybody}
    assert everybody == pytest.approx(mean, abs=1e-5)


def test_what_was_put_on_counts_and_what_only_came_along_counts_little(shard: Shard) -> None:
    source = make_source("starts").fit(fit_data(shard.catalog, shard))
    along = {**shard.pair_columns, "n_chosen": np.zeros_like(shard.pair_columns["n_chosen"])}
    passive = replace(shard, pair_columns=along)
    chosen, less = (lean(scores(source, s, 1), group_of(1)) for s in (shard, passive))
    assert chosen > less + 0.3


def test_markets_are_known_by_name(shard: Shard) -> None:
    source = make_source("starts").fit(fit_data(shard.catalog, shard))
    before = scores(source, shard, 1)
    turned = replace(shard.catalog, markets=["XX", "YY"])
    renamed = replace(shard, catalog=turned)
    # Neither market is known any more: the listener is placed by the last row.
    assert source.learned_.known_markets(turned).tolist() == [-1, -1]  # type: ignore[attr-defined]
    assert scores(source, renamed, 1) != before


def test_vectors_that_explain_are_apart_from_what_all_markets_start(learned: Learned) -> None:
    apart = learned.apart()
    weight = learned.members[0].support_weight[-1]
    k = learned.n_factors
    for low, high in pairwise(learned.chooser.bounds):
        own = learned.chooser.items[low:high]
        # The first member's factors: their mean by what is started is 0, by type.
        np.testing.assert_allclose(weight[low:high] @ apart[own, :k], 0, atol=1e-4)
    one, two = learned.chooser.items[:2]
    flat = 1 / np.square(1 + np.exp(-learned.chooser.ceiling))
    factors = learned.members[0].factors
    np.testing.assert_allclose(
        apart[one, :k] - apart[two, :k], flat * (factors[one] - factors[two]), atol=1e-5
    )


def test_items_that_stand_for_all_are_found_by_their_place(learned: Learned) -> None:
    support = learned.support(learned.members[0], learned.vectors()[0])
    items = learned.chooser.items
    np.testing.assert_array_equal(support.place[items], np.arange(len(items)))
    assert (np.delete(support.place, items) == -1).all()
    np.testing.assert_array_equal(support.vectors.factors, learned.members[0].factors[items])
