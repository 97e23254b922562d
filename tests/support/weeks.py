"""A world of some weeks in which two tastes start shows and playlists, for training and gate."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from homerec.models import get_model
from homerec.models.spec import ModelSpec
from homerec.settings import Settings
from support.lake import Row, build_lake, event, item, listener

START: Final = datetime(2026, 2, 1)  # noqa: DTZ001
N_DAYS: Final = 42
#: The day after the last event.
END: Final = date(2026, 3, 15)
N_ITEMS: Final = 45
ARTISTS: Final = {0: (901, 902), 1: (903, 904)}
#: Small enough to be fitted in a moment.
OVERRIDES: Final[dict[str, dict[str, Any]]] = {
    name: {
        "ranker_parameters": {"max_iter": 25, "min_samples_leaf": 10},
        **(
            {"sources": {"als": {"factors": 6, "min_listeners": 2, "iterations": 6}}}
            if name != "shortcuts"
            else {}
        ),
    }
    for name in ("podcasts", "playlists", "shortcuts")
}


def spec_of(name: str, settings: Settings, **changes: Any) -> ModelSpec:
    """Spec of a model with small parameters."""
    return replace(get_model(name, settings), **changes)


def week_rows(n_listeners: int, seed: int = 4) -> dict[str, list[Row]]:
    """Each listener keeps playing a few items by habit and starts a show and a playlist a week.

    What is started follows the taste of the listener's group and, within it, a steep popularity.
    """
    rng = np.random.default_rng(seed)
    appeal = 1 / np.arange(1, N_ITEMS + 1) ** 1.2
    events: list[Row] = []
    for key in range(1, n_listeners + 1):
        taste = key % 2
        first = 0 if key % 3 else N_DAYS - 25
        orders = {
            base: rng.choice(N_ITEMS, N_ITEMS, replace=False, p=appeal / appeal.sum())
            for base in (100, 200)
        }
        hour = 6 + 3 * (key % 5)
        for day in range(first, N_DAYS):
            at = START + timedelta(days=day, hours=hour, minutes=int(rng.integers(0, 50)))
            artist = ARTISTS[taste][int(rng.integers(0, 2))]
            events.append(event(key, at, artist=artist, ms_played=int(rng.integers(20, 90)) * 1000))
            if day % 7 == key % 7:
                n = (day - first) // 7
                show, playlist = (
                    base + 50 * taste + int(order[n]) for base, order in orders.items()
                )
                events.append(event(key, at + timedelta(minutes=4), show=show))
                events.append(
                    event(key, at + timedelta(minutes=9), context=playlist, artist=artist)
                )
    items = [
        item(base + 50 * taste + n, kind, tags=[f"taste{taste}"], language="en")
        for base, kind in ((100, "show"), (200, "playlist"))
        for taste in (0, 1)
        for n in range(N_ITEMS)
    ]
    items += [item(a, "artist", tags=[f"taste{t}"]) for t, pair in ARTISTS.items() for a in pair]
    listeners = [
        listener(
            k,
            "DE" if k % 5 else "US",
            registered_at="2025-06-01" if k % 3 else START + timedelta(days=N_DAYS - 26),
        )
        for k in range(1, n_listeners + 3)
    ]
    return {"events": events, "items": items, "listeners": listeners}


def week_lake(home: Path, n_listeners: int, **settings: Any) -> Settings:
    """Write the world; the settings make its models small."""
    return build_lake(home, **week_rows(n_listeners), **{"models": OVERRIDES, **settings})
