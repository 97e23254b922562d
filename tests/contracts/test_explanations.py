"""What every source promises of its reasons: own, allowed, strongest, and the same for anybody."""

from typing import Any

import numpy as np
import pytest

from homerec.candidates.base import NO_REASON, PICKED, PLAYED, TAG, CandidateSource, Query, Reasons
from homerec.features.tables import Shard, find
from homerec.models.spec import SOURCES
from support.taste import ARTISTS, COLD, SHOWS, US_COLD, US_ONLY, fit_data, group_of, make_source

EVERY = pytest.mark.parametrize("name", sorted(SOURCES))
NAMING = pytest.mark.parametrize("name", ["als", "co_listening"])


@pytest.fixture(scope="module")
def fitted(world: Any) -> dict[str, CandidateSource]:
    return {name: make_source(name).fit(fit_data(world.catalog, world.shard)) for name in SOURCES}


def ask(
    source: CandidateSource, shard: Shard, listener: Any, item: Any, barred: Any = None
) -> Reasons:
    query = Query(shard, np.unique(listener), ("show",), "excluded")
    none = np.zeros(len(shard.catalog.items), dtype=np.bool_)
    return source.explain(query, listener, item, none if barred is None else barred)


def pairs(shard: Shard) -> tuple[Any, Any]:
    """Every listener with every show not played."""
    n, shows = shard.n_listeners, shard.catalog.of_type("show")
    listener, item = np.repeat(np.arange(n), len(shows)), np.tile(shows, n)
    fresh = shard.pair_rows(listener, item) < 0
    return listener[fresh], item[fresh]


def parts_of(source: Any, shard: Shard, listener: int, item: int) -> dict[int, float]:
    """What each item of a history adds to a score, from the definitions and one pair at a time."""
    catalog = shard.catalog
    mine = {int(i): 0.0 for i in shard.pair_item[shard.pair_listener == listener]}
    for n in np.flatnonzero(shard.pair_listener == listener):
        mine[int(shard.pair_item[n])] += float(shard.pair_columns["decay_60d"][n])
    for n in np.flatnonzero(shard.pick_listener == listener):
        mine[int(shard.pick_item[n])] = mine.get(int(shard.pick_item[n]), 0.0) + 3.0
    if source.name == "als":
        row = {int(catalog.rows(np.array([k]))[0]): n for n, k in enumerate(source.item_keys_)}
        y, p = source.item_factors_.astype(float), source.parameters
        c = {i: 1 + p["alpha"] * np.log1p(v) for i, v in mine.items() if i in row}
        a = y.T @ y + p["regularization"] * np.eye(y.shape[1])
        for i, confidence in c.items():
            a += (confidence - 1) * np.outer(y[row[i]], y[row[i]])
        inverse = np.linalg.inv(a)
        if item not in row:
            return {}
        return {i: v * (y[row[item]] @ inverse @ y[row[i]]) for i, v in c.items()}
    key = {int(i): n for n, i in enumerate(catalog.rows(source.from_keys_))}
    to = {int(i): n for n, i in enumerate(catalog.rows(source.to_keys_))}
    near = source.similarity_.toarray()
    return {i: (1 + np.log1p(v)) * near[key[i], to[item]] for i, v in mine.items() if i in key}


@NAMING
def test_the_reason_is_the_part_that_adds_most(
    world: Any, fitted: dict[str, Any], name: str
) -> None:
    shard, source = world.shard, fitted[name]
    listener, item = pairs(shard)
    found = ask(source, shard, listener, item)
    prepared = source.prepare(Query(shard, np.arange(shard.n_listeners), ("show",), "excluded"))
    scores = prepared.score(listener, item)
    n_named = 0
    for n in range(0, len(listener), 3):
        parts = parts_of(source, shard, int(listener[n]), int(item[n]))
        if np.isfinite(scores[n]):
            # The parts are the score: nothing else explains it.
            assert sum(parts.values()) == pytest.approx(float(scores[n]), rel=2e-3, abs=2e-4)
        parts = {i: v for i, v in parts.items() if v > 0}
        if not parts:
            assert found.kind[n] == NO_REASON
            continue
        n_named += 1
        best = max(parts.values())
        assert parts[int(found.item[n])] == pytest.approx(best, rel=1e-5)
    assert n_named > 50


@EVERY
def test_a_reason_is_the_listeners_own(world: Any, fitted: dict[str, Any], name: str) -> None:
    shard = world.shard
    listener, item = pairs(shard)
    found = ask(fitted[name], shard, listener, item)
    for kind in (PLAYED, PICKED):
        at = found.kind == kind
        own = shard.pair_rows(listener[at], found.item[at]) >= 0
        assert own.all() if kind == PLAYED else not own.any()
        assert (found.item[at] != item[at]).all()
    picked = {(int(a), int(b)) for a, b in zip(shard.pick_listener, shard.pick_item, strict=True)}
    at = found.kind == PICKED
    assert {(int(a), int(b)) for a, b in zip(listener[at], found.item[at], strict=True)} <= picked
    at = found.kind == TAG
    assert (shard.listener_tags[listener[at], found.tag[at]] > 0).all()
    assert (shard.catalog.item_tags[item[at], found.tag[at]] > 0).all()
    none = found.kind == NO_REASON
    assert (found.item[none] == -1).all()
    assert (found.tag[none] == -1).all()


@EVERY
def test_a_reason_depends_on_its_own_pair_alone(
    world: Any, fitted: dict[str, Any], name: str
) -> None:
    shard = world.shard
    listener, item = pairs(shard)
    whole = ask(fitted[name], shard, listener, item)
    order = np.random.default_rng(2).permutation(len(listener))
    mixed = ask(fitted[name], shard, listener[order], item[order])
    for field in ("kind", "item", "tag"):
        np.testing.assert_array_equal(getattr(mixed, field), getattr(whole, field)[order])
    # Alone in a shard of one's own: no other listener is there to be spoken of.
    for key in (1, 2, US_COLD):
        alone = world.alone(key)
        row = int(find(shard.listeners, np.array([key]))[0])
        at = listener == row
        own = ask(fitted[name], alone, np.zeros(int(at.sum()), dtype=np.int64), item[at])
        np.testing.assert_array_equal(own.item, whole.item[at])
        np.testing.assert_array_equal(own.kind, whole.kind[at])


@NAMING
def test_a_barred_item_is_never_named_and_the_next_one_is(
    world: Any, fitted: dict[str, Any], name: str
) -> None:
    shard = world.shard
    listener, item = pairs(shard)
    before = ask(fitted[name], shard, listener, item)
    barred = np.zeros(len(shard.catalog.items), dtype=np.bool_)
    # The one show that both groups play is the only bridge between them: nothing comes next.
    bridge = shard.catalog.rows(np.array([US_ONLY]))
    most = np.bincount(before.item[(before.item >= 0) & (before.item != bridge)]).argmax()
    barred[most] = True
    after = ask(fitted[name], shard, listener, item, barred)
    assert not (after.item == most).any()
    changed = before.item == most
    np.testing.assert_array_equal(after.item[~changed], before.item[~changed])
    assert (after.kind[changed] == PLAYED).any()
    barred[:] = True
    assert (ask(fitted[name], shard, listener, item, barred).kind == NO_REASON).all()


def test_a_new_listener_hears_of_the_pick(world: Any, fitted: dict[str, Any]) -> None:
    shard = world.shard
    row = find(shard.listeners, np.array([US_COLD]))
    show = shard.catalog.rows(np.array([SHOWS["a"][0]]))
    artist = shard.catalog.rows(np.array([ARTISTS["a"][0]]))
    for name in ("als", "co_listening"):
        found = ask(fitted[name], shard, row, show)
        assert (found.kind[0], found.item[0]) == (PICKED, artist[0])
    assert group_of(1) == "a"


@EVERY
def test_nobody_and_the_unknown_are_no_error(world: Any, fitted: dict[str, Any], name: str) -> None:
    shard = world.shard
    nothing = np.zeros(0, dtype=np.int64)
    assert len(ask(fitted[name], shard, nothing, nothing).kind) == 0
    cold = find(shard.listeners, np.array([COLD]))
    found = ask(fitted[name], shard, cold, shard.catalog.of_type("show")[:1])
    assert found.kind.tolist() == [NO_REASON]
    # An item newer than the fit.
    newest = shard.catalog.rows(np.array([26]))
    assert len(ask(fitted[name], shard, np.array([0]), newest).kind) == 1
