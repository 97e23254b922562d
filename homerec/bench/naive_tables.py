"""The tables that pandas makes of pairs: by market, item and listener."""

from typing import Final

import numpy as np
import pandas as pd

from homerec.columns import DAYPARTS

_NEW_DAYS: Final = 30
_RECENT_DAYS: Final = 180
_SET_DAYS: Final = 56
_PICK_PLAYS: Final = 3
_HALF_LIVES: Final = (3, 14, 60)


def market_part(pairs: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Sum the pairs of some listeners by item and market."""
    age = (as_of - pairs["registered_at"]).dt.total_seconds() / 86_400
    limit = pairs["registered_at"] + pd.Timedelta(days=_NEW_DAYS)
    plays = pairs["n_plays_28d"]
    marked = pairs.assign(
        **{f"n_listeners_{days}d": pairs["days_since_last"] <= days for days in (7, 28)},
        **{f"n_starts_{days}d": pairs["days_since_first"] <= days for days in (7, 28)},
        n_new_listener_plays_28d=plays.where(age <= _NEW_DAYS, 0),
        n_recent_listener_plays_28d=plays.where((age > _NEW_DAYS) & (age <= _RECENT_DAYS), 0),
        n_settled_listener_plays_28d=plays.where(age > _RECENT_DAYS, 0),
        n_new_listener_starts_28d=(pairs["first_at"] < limit) & (pairs["days_since_first"] <= 28),
    )
    return (
        marked.groupby(["item", "market"])
        .agg(
            n_listeners=("listener", "size"),
            **{name: (name, "sum") for name in _SUMMED[1:]},
            last_at=("last_at", "max"),
        )
        .reset_index()
    )


_SUMMED: Final = [
    *("n_listeners", "n_listeners_7d", "n_listeners_28d", "n_starts_7d", "n_starts_28d"),
    *("n_plays_7d", "n_plays_28d", "n_new_listener_plays_28d", "n_recent_listener_plays_28d"),
    *("n_settled_listener_plays_28d", "n_new_listener_starts_28d"),
    *(f"decay_{days}d" for days in _HALF_LIVES),
    *("duration_ms", "heard_ms"),
]


def by_market(parts: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Make ``item_market`` of the parts of all listeners; two columns more, for ``item``."""
    aggregations = {name: (name, "sum") for name in _SUMMED}
    total = parts.groupby(["item", "market"]).agg(**aggregations, last_at=("last_at", "max"))
    total["play_trend"] = (total["n_plays_7d"] + 1) / (total["n_plays_28d"] / 4 + 1)
    total["completion_ratio"] = total["heard_ms"] / total["duration_ms"].replace(0, np.nan)
    total["days_since_last"] = (as_of - total["last_at"]).dt.total_seconds() / 86_400
    return total.drop(columns="last_at").reset_index()


def by_item(market: pd.DataFrame, items: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Make ``item``."""
    shown = items[items["released_at"] < as_of].sort_values("item")
    names = ["n_listeners", "n_listeners_28d", "n_starts_7d", "n_starts_28d", "n_plays_7d"]
    names += ["n_plays_28d"]
    more = ["n_new_listener_starts_28d", "n_recent_listener_plays_28d"]
    more += ["n_settled_listener_plays_28d", "duration_ms", "heard_ms"]
    total = market.groupby("item")[[*names, *more]].sum()
    total["days_since_last"] = market.groupby("item")["days_since_last"].min()
    total = total.reindex(shown["item"])
    total[[*names, *more]] = total[[*names, *more]].fillna(0)
    starts = total["n_starts_28d"].clip(lower=1)
    plays = total["n_plays_28d"].clip(lower=1)
    return pd.DataFrame(
        {
            "item": shown["item"].to_numpy(),
            "type": shown["type"].to_numpy(),
            "age_days": ((as_of - shown["released_at"]).dt.total_seconds() / 86_400).to_numpy(),
            "n_tags": shown["tags"].map(_length).to_numpy(),
            **{name: total[name].to_numpy() for name in names},
            "plays_per_listener": (
                total["n_plays_28d"] / total["n_listeners_28d"].clip(lower=1)
            ).to_numpy(),
            "trend": ((total["n_starts_7d"] + 1) / (total["n_starts_28d"] / 4 + 1)).to_numpy(),
            "new_listener_ratio": (total["n_new_listener_starts_28d"] / starts).to_numpy(),
            "recent_listener_ratio": (total["n_recent_listener_plays_28d"] / plays).to_numpy(),
            "settled_listener_ratio": (total["n_settled_listener_plays_28d"] / plays).to_numpy(),
            "play_trend": ((total["n_plays_7d"] + 1) / (total["n_plays_28d"] / 4 + 1)).to_numpy(),
            "days_since_last": total["days_since_last"].to_numpy(),
            "completion_ratio": (
                total["heard_ms"] / total["duration_ms"].replace(0, np.nan)
            ).to_numpy(),
            "language": shown["language"].to_numpy(),
        }
    )


def _length(tags: object) -> int:
    return len(tags) if isinstance(tags, np.ndarray) else 0


def by_listener(
    pairs: pd.DataFrame,
    daily: pd.DataFrame,
    people: pd.DataFrame,
    items: pd.DataFrame,
    picked: pd.DataFrame,
    as_of: pd.Timestamp,
) -> pd.DataFrame:
    """Make ``listener`` for some listeners."""
    known = people[people["registered_at"] < as_of].set_index("listener")
    pairs = pairs.merge(items[["item", "type", "language"]], on="item")
    for kind in ("show", "playlist"):
        mine = pairs["type"] == kind
        pairs[f"n_{kind}s"] = mine
        pairs[f"{kind}_starts_28d"] = mine & (pairs["days_since_first"] <= 28)
        pairs[f"{kind}_plays"] = pairs["n_plays"].where(mine, 0)
    pairs["is_recent"] = pairs["days_since_last"] <= 28
    pairs["is_start"] = pairs["days_since_first"] <= 28
    summed = ["n_plays", "n_plays_7d", "n_plays_28d", "n_shows", "n_playlists", "show_starts_28d"]
    summed += ["playlist_starts_28d", "show_plays", "playlist_plays", "is_recent", "is_start"]
    summed += [f"n_{name}" for name in DAYPARTS]
    summed += ["n_weekend", "duration_ms", "heard_ms"]
    total = pairs.groupby("listener").agg(
        **{name: (name, "sum") for name in summed},
        n_items=("item", "size"),
        days_since_last=("days_since_last", "min"),
    )
    total = total.reindex(known.index)
    plays = total["n_plays"]
    out = pd.DataFrame({"market": known["market"]}, index=known.index)
    spoken = _languages(pairs).reindex(known.index)
    out["language"] = spoken["language"]
    out["tenure_days"] = (as_of - known["registered_at"]).dt.total_seconds() / 86_400
    counts = ["n_plays", "n_plays_7d", "n_plays_28d", "n_items", "n_shows", "n_playlists"]
    counts += ["show_starts_28d", "playlist_starts_28d"]
    out[counts] = total[counts].fillna(0)
    out["days_since_last"] = total["days_since_last"]
    for name in DAYPARTS:
        out[f"{name}_ratio"] = total[f"n_{name}"] / plays
    out["weekend_ratio"] = total["n_weekend"] / plays
    for kind in ("show", "playlist"):
        out[f"{kind}_play_ratio"] = total[f"{kind}_plays"] / plays
    out["n_picks"] = picked.groupby("listener").size().reindex(known.index).fillna(0)
    out["n_languages"] = spoken["n_languages"].fillna(0)
    out["language_ratio"] = spoken["language_ratio"]
    out["start_ratio"] = total["is_start"] / total["is_recent"].replace(0, np.nan)
    out["completion_ratio"] = total["heard_ms"] / total["duration_ms"].replace(0, np.nan)
    return out.join(_active_days(daily, as_of, known.index)).reset_index()


def _languages(pairs: pd.DataFrame) -> pd.DataFrame:
    weight = pairs.groupby(["listener", "language"])["decay_60d"].sum().reset_index()
    weight = weight.sort_values(
        ["listener", "decay_60d", "language"], ascending=[True, False, True]
    )
    groups = weight.groupby("listener")
    found = groups.agg(language=("language", "first"), most=("decay_60d", "first"))
    found["n_languages"] = groups.size()
    found["language_ratio"] = found["most"] / groups["decay_60d"].sum()
    return found


def _active_days(daily: pd.DataFrame, as_of: pd.Timestamp, listeners: pd.Index) -> pd.DataFrame:
    days = daily[["listener", "day"]].drop_duplicates()
    days["age"] = (as_of - days["day"]).dt.days
    days = days[days["age"] <= _SET_DAYS].sort_values(["listener", "age"])
    groups = days.groupby("listener")["age"]
    days["in_streak"] = days["age"] - groups.cumcount() == groups.transform("first")
    days["in_28"], days["in_7"] = days["age"] <= 28, days["age"] <= 7
    found = days.groupby("listener").agg(
        n_active_days_28d=("in_28", "sum"),
        n_active_days_7d=("in_7", "sum"),
        streak_days=("in_streak", "sum"),
        newest=("age", "first"),
    )
    weekdays = days.assign(weekday=days["age"] % 7).drop_duplicates(["listener", "weekday"])
    found["n_active_weekdays"] = weekdays.groupby("listener").size()
    found["is_streak_running"] = found["newest"] == 1
    return found.drop(columns="newest").reindex(listeners).fillna(0).astype("int32")


def tastes(
    pairs: pd.DataFrame, items: pd.DataFrame, picked: pd.DataFrame, as_of: pd.Timestamp
) -> pd.DataFrame:
    """Make ``listener_tag`` for some listeners."""
    tags = explode_tags(items, as_of)
    tags["n_tags"] = tags.groupby("item")["tag"].transform("size")
    evidence = pd.concat(
        [
            pairs[["listener", "item", "decay_60d"]].rename(columns={"decay_60d": "weight"}),
            picked[["listener", "item"]].assign(weight=float(_PICK_PLAYS)),
        ]
    )
    found = evidence.merge(tags, on="item")
    found["weight"] /= found["n_tags"]
    total = found.groupby(["listener", "tag"], as_index=False)["weight"].sum()
    positive: pd.DataFrame = total[total["weight"] > 0]
    return positive


def explode_tags(items: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Make ``item_tag``."""
    shown = items.loc[items["released_at"] < as_of, ["item", "tags"]].explode("tags")
    tags = shown.dropna().rename(columns={"tags": "tag"}).drop_duplicates()
    return tags.sort_values(["item", "tag"], ignore_index=True)


def availability(items: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Make ``item_availability`` of a lake without licences."""
    shown = items.loc[items["released_at"] < as_of, ["item", "markets"]].explode("markets")
    markets = shown.dropna().rename(columns={"markets": "market"}).drop_duplicates()
    return markets.sort_values(["item", "market"], ignore_index=True)


def skips(
    short: pd.DataFrame, people: pd.DataFrame, pairs: pd.DataFrame, as_of: pd.Timestamp
) -> pd.DataFrame:
    """Make ``skip`` for some listeners: what they left within 30 s and never played longer."""
    own = short[short["listener"].isin(people["listener"])]
    found = own.groupby(["listener", "item"], as_index=False).agg(
        n_skips=("started_at", "size"), first=("started_at", "min"), last=("started_at", "max")
    )
    found = found.merge(pairs[["listener", "item"]], how="left", indicator=True)
    found = found[found["_merge"] == "left_only"]
    for name in ("first", "last"):
        found[f"days_since_{name}"] = (as_of - found[name]).dt.total_seconds() / 86_400
    return found.drop(columns=["_merge", "first", "last"])


def picks(signup_picks: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Make ``pick``."""
    before = signup_picks.loc[signup_picks["picked_at"] < as_of, ["listener", "item"]]
    return before.drop_duplicates().sort_values(["listener", "item"], ignore_index=True)
