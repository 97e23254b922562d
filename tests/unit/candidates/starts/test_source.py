"""The model of starts against its definition, and what it says of new items and listeners."""

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, sparse

from homerec.candidates.base import Query
from homerec.candidates.starts import prepared
from homerec.candidates.starts.attributes import Attributes
from homerec.candidates.starts.folding import _shared_out, fold
from homerec.candidates.starts.languages import Languages
from homerec.candidates.starts.learned import Learned
from homerec.candidates.starts.source import StartsSource
from homerec.candidates.starts.support import Chooser, Support
from homerec.candidates.starts.vectors import Vectors
from homerec.errors import OutdatedArtifactError
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
)

DAY = date(2026, 3, 10)
N_ITEMS, WIDTH = 30, 5
#: Low enough to change what is found.
CEILING = 0.5
NO_LANGUAGES = Languages.begin(1, 0, 0.25)


def planted(seed: int) -> tuple[Vectors, Support, np.ndarray]:
    """Thirty items of two types with two factors and three attributes, in one market."""
    rng = np.random.default_rng(seed)
    vectors = Vectors(
        rng.standard_normal((N_ITEMS, 2)),
        rng.integers(0, 3, (N_ITEMS, 1)),
        np.full((N_ITEMS, 1), 0.5),
        3,
        np.full(N_ITEMS, -1),
        0,
    )
    types = np.repeat([0, 1], N_ITEMS // 2)
    weight = rng.random((2, N_ITEMS))
    place = np.arange(N_ITEMS)
    return vectors, Support(vectors, np.array([0, 15, 30]), weight, place, CEILING), types


def log_posterior(
    x: np.ndarray,
    mine: np.ndarray,
    known: np.ndarray,
    wide: np.ndarray,
    weight: np.ndarray,
    types: np.ndarray,
) -> float:
    """Log of the prior and of every start, written out."""
    total = -0.5 * float(x @ x)
    liked = np.exp(wide[:, :2] @ x[:2])
    for i in np.flatnonzero(mine):
        same = types == types[i]
        odds = weight * liked / (1 + liked / np.exp(CEILING)) * np.exp(wide[:, 2:] @ x[2:])
        left = (1 - known) * odds
        total += float(mine[i]) * float(np.log(odds[i] / left[same].sum()))
    return total


def test_folding_finds_the_maximum_of_the_posterior() -> None:
    vectors, support, types = planted(3)
    started = (np.random.default_rng(4).random((6, N_ITEMS)) < 0.3).astype(float)
    started[1] *= 0.2
    started[5] = 0
    known = np.where(started > 0, started * np.random.default_rng(5).random(started.shape), 0)
    found = fold(
        sparse.csr_matrix(started),
        types,
        vectors,
        support,
        np.zeros(6, np.int64),
        known=known[started > 0],
        log_chance=np.log(support.weight),
        languages=NO_LANGUAGES,
        steps=200,
    )
    for line in range(6):
        best = optimize.minimize(
            lambda x, mine=started[line], known=known[line]: (
                -log_posterior(x, mine, known, vectors.dense(), support.weight[0], types)
            ),
            np.zeros(WIDTH),
            tol=1e-10,
        )
        np.testing.assert_allclose(found[line], best.x, atol=2e-4)


def test_starts_are_shared_out_as_numpys_exponential_says() -> None:
    exponent = np.concatenate([np.linspace(-60, 5, 1_001), [-1e4, -np.inf]])
    expected = np.exp(exponent - 5)
    expected *= 3 / expected.sum()
    found, free, nothing = exponent.copy(), np.ones(len(exponent)), np.zeros(0)
    _shared_out(found, free, 3.0, nothing, nothing, nothing)
    assert found.sum() == pytest.approx(3)
    near = exponent > -30
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-8)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-20)


def test_own_items_share_in_the_starts_by_what_is_left_of_them() -> None:
    exponent, mine = np.log([1.0, 2.0]), np.log([7.0, 4.0])
    bound, my_bound, left = np.array([1.0, 0.5]), np.array([0.4, 1.0]), np.array([0.5, 0.0])
    _shared_out(exponent, bound, 3.0, mine, my_bound, left)
    # 1 + 2 / 2 of others, a fifth of 7; of the second nothing is left.
    np.testing.assert_allclose(exponent, 3 / 3.4 * np.array([1, 1]))
    np.testing.assert_allclose(mine, 3 / 3.4 * np.array([1.4, 0]))


def test_a_sample_of_the_items_finds_nearly_the_place_that_all_of_them_find() -> None:
    rng = np.random.default_rng(8)
    m, n, k, n_starts = 3_000, 150, 4, 40
    factors = 0.6 * rng.standard_normal((m, k))
    vectors = Vectors(factors, np.zeros((m, 1), np.int64), np.zeros((m, 1)), 1, np.full(m, -1), 0)
    types, chance = np.zeros(m, np.int64), rng.dirichlet(np.ones(m))
    x = rng.standard_normal((n, k))
    # Drawn without replacement, by Gumbel's trick; the best keys came first.
    keys = np.log(chance) + x @ factors.T + rng.gumbel(size=(n, m))
    best = np.argsort(-keys, axis=1)[:, :n_starts]
    row, later = np.repeat(np.arange(n), n_starts), np.tile(np.arange(n_starts)[::-1], n)
    order = np.lexsort((best.ravel(), row))
    started = sparse.csr_matrix((np.ones(len(row)), (row, best.ravel())), shape=(n, m))
    known = (later / n_starts)[order]
    every = np.stack([chance, chance])

    def error(most: int, known: np.ndarray) -> float:
        chooser = Chooser.draw(chance, types, most, np.random.default_rng(1), 100.0)
        support = chooser.of(vectors, every, np.zeros(m))
        found = fold(
            started,
            types,
            vectors,
            support,
            np.zeros(n, np.int64),
            known=known,
            log_chance=np.log(every),
            languages=NO_LANGUAGES,
            steps=40,
        )
        return float(np.square(found[:, :k] - x).mean())

    whole, sampled = error(m, known), error(400, known)
    assert sampled < 1.5 * whole < 0.3
    assert whole < error(m, np.zeros(len(known)))


def test_a_market_that_is_not_known_is_read_from_the_last_row() -> None:
    vectors, support, types = planted(3)
    started = sparse.csr_matrix((np.random.default_rng(4).random((1, N_ITEMS)) < 0.3).astype(float))
    unknown, last, first = (
        fold(
            started,
            types,
            vectors,
            support,
            np.array([market]),
            known=np.full(started.nnz, 0.3),
            log_chance=np.log(support.weight),
            languages=NO_LANGUAGES,
            steps=8,
        )
        for market in (-1, 1, 0)
    )
    np.testing.assert_array_equal(unknown, last)
    assert not np.allclose(unknown, first)


def test_what_is_drawn_stands_for_all_items() -> None:
    rng = np.random.default_rng(1)
    chance = rng.lognormal(0, 2, 5_000)
    types = np.zeros(5_000, np.int64)
    value = rng.random(5_000)
    draws = [Chooser.draw(chance, types, 200, np.random.default_rng(s), 2.0) for s in range(60)]
    assert all(190 <= len(one.items) <= 201 for one in draws)
    sums = [float((value * chance)[one.items] @ (1 / one.inclusion)) for one in draws]
    assert np.mean(sums) == pytest.approx(float(value @ chance), rel=0.02)
    surely = np.argsort(-chance)[:2]
    assert all(np.isin(surely, one.items).all() for one in draws)
    few = Chooser.draw(chance[:50], types[:50], 200, rng, 2.0)
    assert few.items.tolist() == list(range(50))
    assert (few.inclusion == 1).all()


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


def scores(source: Any, shard: Shard, key: int) -> dict[int, float]:
    """Score of every show for one listener, by the show's key."""
    row = find(shard.listeners, np.array([key]))
    ready = source.prepare(Query(shard, row, ("show",)))
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
    np.testing.assert_allclose(before - after, 0.7, rtol=1e-3)


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
    rows = np.arange(shard.n_listeners)
    query = Query(shard, rows, ("show",))
    ready = source.fit(fit_data(shard.catalog, shard)).prepare(query)
    blocks: list[Any] = []

    def kept(query: Query, items: Any, k: int, block: Any, exact: Any) -> None:
        blocks.append(block(rows))

    monkeypatch.setattr(prepared, "top_k", kept)
    ready.top(5)
    listener, show = (part.ravel() for part in np.meshgrid(rows, query.items, indexing="ij"))
    np.testing.assert_allclose(blocks[0].ravel(), ready.score(listener, show), atol=1e-4)


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
