"""A world with a planted taste: two groups of listeners who share nothing but a market."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from homerec.candidates.base import CandidateSource, FitData
from homerec.features.tables import Catalog, Rows, Shard
from homerec.models.spec import SOURCES
from homerec.settings import Settings
from support.lake import Row, build_lake, event, item, listener, pick

N_GROUP = 18
SHOWS = {"a": list(range(1, 13)), "b": list(range(13, 25))}
ARTISTS = {"a": [31, 32], "b": [33, 34]}
#: Limited to US, while most listeners are in DE.
US_ONLY = 25
COLD, US_COLD = 90, 91
FIRST_DAY = datetime(2026, 3, 1)  # noqa: DTZ001


def group_of(key: int) -> str:
    """Group of a listener: odd keys are a, even ones b."""
    return "a" if key % 2 else "b"


def played(key: int) -> list[int]:
    """Seven of the twelve shows of the group, in an order of the listener's own."""
    rng = np.random.default_rng(key)
    return [int(i) for i in rng.permutation(SHOWS[group_of(key)])[:7]]


def taste_rows() -> dict[str, list[Row]]:
    """Rows of the world; group b is the larger one, so that popularity serves it alone."""
    keys = [*range(1, 2 * N_GROUP + 1), *range(2 * N_GROUP + 2, 2 * N_GROUP + 22, 2)]
    events = []
    for key in keys:
        start = FIRST_DAY + timedelta(hours=key % 24)
        shows = [*played(key), US_ONLY] if key % 5 == 0 else played(key)
        for day, show in enumerate(shows):
            for again in range(1 + (key + day) % 3):
                at = start + timedelta(days=day, minutes=20 * again)
                events.append(event(key, at, show=show))
        for artist in ARTISTS[group_of(key)]:
            events.append(event(key, start + timedelta(days=6), artist=artist))
    shows = [item(s, tags=[g, "all"]) for g, ids in SHOWS.items() for s in ids]
    artists = [item(s, "artist", tags=[g]) for g, ids in ARTISTS.items() for s in ids]
    limited = item(US_ONLY, tags=["b"], markets=["US"])
    fresh = item(26, tags=["a", "all"], released_at="2026-03-05")
    listeners = [listener(k, "US" if k % 6 == 0 else "DE") for k in keys]
    listeners += [listener(COLD), listener(US_COLD, "US")]
    return {
        "events": events,
        "items": [*shows, *artists, limited, fresh],
        "listeners": listeners,
        "picks": [pick(US_COLD, ARTISTS["a"][0])],
    }


def taste_lake(home: Path, **settings: Any) -> Settings:
    """Write the world."""
    rows = taste_rows()
    return build_lake(
        home,
        events=rows["events"],
        items=rows["items"],
        listeners=rows["listeners"],
        tables={"signup_picks": rows["picks"]},
        **settings,
    )


def make_source(name: str) -> CandidateSource:
    """An unfitted source with parameters for a small world."""
    parameters: dict[str, dict[str, Any]] = {
        "als": {"factors": 6, "min_listeners": 2, "context_types": ("artist",)},
        "centroids": {
            "clusters": 2,
            "known_items": 5,
            "few_items": 100,
            "factors": 6,
            "min_listeners": 2,
            "context_types": ("artist",),
        },
        "co_listening": {"context_types": ("artist",), "shrinkage": 1.0},
        "ease": {"context_types": ("artist",), "min_listeners": 2, "l2": 5.0},
        "starts": {"factors": 4, "min_listeners": 2, "precision": 2.0},
    }
    return SOURCES[name](**parameters.get(name, {}))


def fit_data(catalog: Catalog, *shards: Shard, n_threads: int = 1) -> FitData:
    """Everything that a source learns from."""
    return FitData(catalog, lambda: iter(shards), ("show",), seed=7, n_threads=n_threads)


def with_skips(shard: Shard, who: Rows, what: Rows, **columns: Any) -> Shard:
    """The same shard, in which listeners have put on some items and left them at once."""
    every = {"n_skips": 1.0, "days_since_first": 8.0, "days_since_last": 4.0} | columns
    filled = {
        name: np.broadcast_to(np.asarray(value, np.float32), len(who))
        for name, value in every.items()
    }
    return replace(shard, skip_listener=who, skip_item=what, skip_columns=filled)
