"""The same features in pandas, as they are written down first: the reference to compare with.

Nothing of the feature SQL is used here; only its definitions are the same.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from homerec.columns import CARD_PLAY_MIN_MS, DAYPARTS
from homerec.lake import Lake

_KEY: Final = ["listener", "item"]
_COUNTS: Final = [*(f"n_{name}" for name in DAYPARTS), "n_weekend"]
_HALF_LIVES: Final = (3, 14, 60)
_NEW_LISTENER_DAYS: Final = 30


def naive_features(
    lake: Lake, files: list[Path], as_of: date, known_at: datetime
) -> dict[str, pd.DataFrame]:
    """Compute ``listener_item`` and ``item_market`` from the lake's files.

    Parameters
    ----------
    lake : Lake
        Where the listeners lie.
    files : list of Path
        Event files.
    as_of : date
        Events started before it, 00:00 UTC, count.
    known_at : datetime
        Aware; events that arrived before it count.

    Returns
    -------
    dict of str to DataFrame
        With the columns of the feature SQL, sorted by key.
    """
    # The zone is today's; the worlds that are measured have nobody who moves.
    listeners = pd.read_parquet(lake.table("listeners"))
    if "valid_to" in listeners:
        listeners = listeners[listeners["valid_to"].isna()]
    moment = pd.Timestamp(as_of)
    known = pd.Timestamp(known_at).tz_convert(None)
    by_date: dict[str, list[Path]] = {}
    for path in files:
        by_date.setdefault(path.parent.name, []).append(path)
    # Date by date: with all events at once, 51 million need more than 21 GiB.
    days = [_daily(_cards(_plays(of, listeners, moment, known))) for of in by_date.values()]
    daily = pd.concat(days, ignore_index=True)
    days.clear()
    pairs = _listener_item(daily, listeners, moment)
    return {"listener_item": pairs, "item_market": _item_market(pairs, listeners, moment)}


def _plays(
    files: list[Path], listeners: pd.DataFrame, as_of: pd.Timestamp, known_at: pd.Timestamp
) -> pd.DataFrame:
    columns = ["listener", "artist", "album", "show", "context"]
    columns += ["started_at", "arrived_at", "ms_played"]
    events = pd.concat([pd.read_parquet(p, columns=columns) for p in files], ignore_index=True)
    counted = (
        (events["started_at"] < as_of)
        & (events["arrived_at"] < known_at)
        & (events["ms_played"] >= CARD_PLAY_MIN_MS)
    )
    plays = events[counted].merge(listeners[["listener", "time_zone"]], on="listener")
    plays["day"] = plays["started_at"].dt.floor("D")
    utc = plays["started_at"].dt.tz_localize("UTC")
    local = pd.concat(
        [
            utc[rows].dt.tz_convert(zone).dt.tz_localize(None)
            for zone, rows in plays.groupby("time_zone").groups.items()
        ]
    )
    plays["daypart"] = local.dt.hour // 6
    plays["is_weekend"] = local.dt.day_of_week >= 5
    return plays


def _cards(plays: pd.DataFrame) -> pd.DataFrame:
    """One row per event and item it counts for."""
    kept = ["listener", "started_at", "ms_played", "day", "daypart", "is_weekend"]
    other = plays["context"].notna()
    parts = []
    for column in ("artist", "album", "show"):
        # Missing keys are NaN, which equals nothing.
        other &= plays["context"] != plays[column]
        here = plays[plays[column].notna()]
        parts.append(here[kept].assign(item=here[column].astype("int32")))
    context = plays[other]
    parts.append(context[kept].assign(item=context["context"].astype("int32")))
    return pd.concat(parts, ignore_index=True)


def _daily(cards: pd.DataFrame) -> pd.DataFrame:
    for code, name in enumerate(DAYPARTS):
        cards[f"n_{name}"] = cards["daypart"] == code
    daily = cards.groupby([*_KEY, "day"], as_index=False).agg(
        n_plays=("ms_played", "size"),
        ms_played=("ms_played", "sum"),
        n_night=("n_night", "sum"),
        n_morning=("n_morning", "sum"),
        n_afternoon=("n_afternoon", "sum"),
        n_evening=("n_evening", "sum"),
        n_weekend=("is_weekend", "sum"),
        first_at=("started_at", "min"),
        last_at=("started_at", "max"),
    )
    return daily.astype(dict.fromkeys(["n_plays", *_COUNTS], "int32"))


def _listener_item(
    daily: pd.DataFrame, listeners: pd.DataFrame, as_of: pd.Timestamp
) -> pd.DataFrame:
    age = (as_of - daily["day"]).dt.days
    plays = daily["n_plays"]
    daily["n_plays_7d"] = plays.where(age <= 7, 0)
    daily["n_plays_28d"] = plays.where(age <= 28, 0)
    daily["n_days_7d"] = (age <= 7).astype("int64")
    daily["n_same_weekday"] = plays.where(daily["day"].dt.day_of_week == as_of.day_of_week, 0)
    for days in _HALF_LIVES:
        daily[f"decay_{days}d"] = plays * np.exp2(-age / days)
    daily["trace"] = plays / np.sqrt(age - 0.5)
    summed = [
        *("n_plays", "n_plays_7d", "n_plays_28d", "n_days_7d", "ms_played"),
        *(f"decay_{days}d" for days in _HALF_LIVES),
        *("trace", *_COUNTS, "n_same_weekday"),
    ]
    pairs = daily.groupby(_KEY).agg(
        **{name: (name, "sum") for name in summed},
        n_days=("day", "size"),
        first_at=("first_at", "min"),
        last_at=("last_at", "max"),
    )
    pairs = pairs.reset_index().merge(listeners[["listener", "registered_at"]], on="listener")
    pairs["minutes"] = pairs["ms_played"] / 60_000
    pairs["activation"] = np.log(pairs["trace"])
    pairs["days_since_first"] = (as_of - pairs["first_at"]).dt.total_seconds() / 86_400
    pairs["days_since_last"] = (as_of - pairs["last_at"]).dt.total_seconds() / 86_400
    limit = pairs["registered_at"] + pd.Timedelta(days=_NEW_LISTENER_DAYS)
    pairs["is_new_listener_start"] = (pairs["first_at"] < limit).astype("int8")
    unused = ["ms_played", "trace", "first_at", "last_at", "registered_at"]
    return pairs.drop(columns=unused).sort_values(_KEY, ignore_index=True)


def _item_market(pairs: pd.DataFrame, listeners: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    pairs = pairs.merge(listeners[["listener", "market", "registered_at"]], on="listener")
    recent = pairs["registered_at"] >= as_of - pd.Timedelta(days=_NEW_LISTENER_DAYS)
    for days in (7, 28):
        pairs[f"n_listeners_{days}d"] = pairs["days_since_last"] <= days
        pairs[f"n_starts_{days}d"] = pairs["days_since_first"] <= days
    pairs["n_new_listener_plays_28d"] = pairs["n_plays_28d"].where(recent, 0)
    pairs["n_new_listener_starts_28d"] = (pairs["is_new_listener_start"] == 1) & pairs[
        "n_starts_28d"
    ]
    summed = [
        *("n_listeners_7d", "n_listeners_28d", "n_starts_7d", "n_starts_28d"),
        *("n_plays_7d", "n_plays_28d", "n_new_listener_plays_28d", "n_new_listener_starts_28d"),
        *(f"decay_{days}d" for days in _HALF_LIVES),
    ]
    return (
        pairs.groupby(["item", "market"])
        .agg(n_listeners=("listener", "size"), **{name: (name, "sum") for name in summed})
        .reset_index()
        .sort_values(["item", "market"], ignore_index=True)
    )
