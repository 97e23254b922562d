"""Listeners of whom little is known are put where listeners like them stand."""

import logging
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from homerec.candidates.base import Query
from homerec.candidates.centroids import CentroidsSource
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, find, load_catalog, load_shard
from support.taste import COLD, SHOWS, US_COLD, fit_data, make_source, taste_lake


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    settings = taste_lake(tmp_path_factory.mktemp("taste"))
    info = ensure_snapshot(settings, date(2026, 3, 10), writer="night")
    return load_shard(info, load_catalog(info), 0, 1_000)


def lean(source: CentroidsSource, shard: Shard, key: int) -> float:
    """Mean score of group a's shows, less that of b's."""
    row = find(shard.listeners, np.array([key]))
    ready = source.prepare(Query(shard, row, ("show",)))
    means = []
    for group in "ab":
        shows = shard.catalog.rows(np.array(SHOWS[group]))
        means.append(ready.score(np.repeat(row, len(shows)), shows).mean())
    return float(means[0] - means[1])


def fitted(shard: Shard, **parameters: object) -> CentroidsSource:
    source = make_source("centroids")
    source.parameters |= parameters
    made = CentroidsSource(**source.parameters)
    return made.fit(fit_data(shard.catalog, shard))


def test_a_pick_moves_its_listener_away_from_the_market(shard: Shard) -> None:
    source = fitted(shard, trust=1.0)
    assert len(source.centroids_) == 2
    # Most listeners are of group b, in the US all are; who picked an artist of a is not.
    nothing = np.zeros(0, np.int64)
    without = replace(shard, pick_listener=nothing, pick_item=nothing)
    assert lean(source, without, US_COLD) < lean(source, shard, COLD) < 0
    assert lean(source, shard, US_COLD) > lean(source, without, US_COLD) + 0.1


def test_a_place_is_the_mean_of_centres_by_their_probability(shard: Shard) -> None:
    source = fitted(shard, trust=1.0)
    row = find(shard.listeners, np.array([US_COLD]))
    ready = source.prepare(Query(shard, row, ("show",)))
    market = shard.catalog.markets.index("US")
    artist = find(source._als.item_keys_, shard.catalog.items[shard.pick_item])[0]
    odds = np.exp(source.of_market_[market]) * np.exp(source.of_item_[artist])
    place = (odds / odds.sum()) @ source.centroids_
    np.testing.assert_allclose(ready._place[0], place, rtol=1e-5)


def test_who_has_enough_items_gets_nothing_here(shard: Shard) -> None:
    source = fitted(shard, few_items=5)
    everyone = np.arange(shard.n_listeners, dtype=np.int64)
    top = source.prepare(Query(shard, everyone, ("show",))).top(5)
    assert set(shard.listeners[top.listener].tolist()) == {COLD, US_COLD}


def test_without_known_listeners_nobody_gets_any_and_the_log_says_so(
    shard: Shard, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        source = fitted(shard, known_items=1_000)
    assert "0 listeners have 1000 items or more, 10 are needed" in caplog.text
    everyone = np.arange(shard.n_listeners, dtype=np.int64)
    ready = source.prepare(Query(shard, everyone, ("show",)))
    assert len(ready.top(5).item) == 0
    assert np.isnan(ready.score(everyone, np.zeros_like(everyone))).all()
