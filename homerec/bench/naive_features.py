"""The same features in pandas, as they are written down first: the reference to compare with.

Nothing of the feature SQL or of the compiled loops is used here; only the definitions are the same.
"""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.bench.naive_tables import (
    availability,
    by_item,
    by_listener,
    by_market,
    explode_tags,
    market_part,
    picks,
    skips,
    tastes,
)
from homerec.columns import CARD_PLAY_MIN_MS, DAYPARTS
from homerec.lake import Lake

_KEY: Final = ["listener", "item"]
_COUNTS: Final = [*(f"n_{name}" for name in DAYPARTS), "n_weekend", "n_chosen"]
_HALF_LIVES: Final = (1, 3, 7, 14, 60)
_SET_DAYS: Final = 56
#: All at once, 51 million events need more than 20 GiB: pandas takes listeners in blocks too.
_BLOCK_ROWS: Final = 10_000_000


def naive_features(
    lake: Lake, files: list[Path], as_of: date, known_at: datetime, target: Path
) -> list[str]:
    """Compute every table of a snapshot from the lake's files, and write it as Parquet.

    Parameters
    ----------
    lake : Lake
        Where the small tables lie. Its rows have no history, and it has no licences.
    files : list of Path
        Event files.
    as_of : date
        Events started before it, 00:00 UTC, count.
    known_at : datetime
        Aware; events that arrived before it count.
    target : Path
        Folder for the tables; columns as in the feature SQL, sorted by key.

    Returns
    -------
    list of str
        Names of the tables.
    """
    moment = pd.Timestamp(as_of)
    listeners = _current(lake, "listeners")
    items = _current(lake, "items")
    picked = picks(_current(lake, "signup_picks"), moment)
    known = pd.Timestamp(known_at).tz_convert(None)
    daily = _all_days(lake, files, listeners, moment, known)
    short = _left_at_once(files, listeners, moment, known)
    parts: dict[str, list[pd.DataFrame]] = {
        name: [] for name in ("market", "listener", "listener_tag", "skip")
    }
    with _Writer(target / "listener_item.parquet") as writer:
        for people, rows in _blocks(daily, listeners):
            pairs = _listener_item(rows, moment)
            pairs = pairs.merge(people[["listener", "market", "registered_at"]], on="listener")
            mine = picked[picked["listener"].isin(people["listener"])]
            parts["market"].append(market_part(pairs, moment))
            parts["listener"].append(by_listener(pairs, rows, people, items, mine, moment))
            parts["listener_tag"].append(tastes(pairs, items, mine, moment))
            parts["skip"].append(skips(short, people, pairs, moment))
            writer.write(pairs)
    market = by_market(pd.concat(parts["market"]), moment)
    tables = {
        "item_market": market.drop(columns=["duration_ms", "heard_ms"]),
        "item": by_item(market, items, moment),
        "listener": pd.concat(parts["listener"], ignore_index=True),
        "listener_tag": pd.concat(parts["listener_tag"], ignore_index=True),
        "item_tag": explode_tags(items, moment),
        "pick": picked,
        "skip": pd.concat(parts["skip"], ignore_index=True),
        "item_availability": availability(items, moment),
    }
    for name, frame in tables.items():
        frame.to_parquet(target / f"{name}.parquet", compression="zstd", index=False)
    return ["listener_item", *tables]


def _current(lake: Lake, name: str) -> pd.DataFrame:
    path = lake.table(name)
    if not path.exists():
        return pd.DataFrame({"listener": [], "item": [], "picked_at": []}).astype(
            {"listener": "int32", "item": "int32", "picked_at": "datetime64[us]"}
        )
    # The zone is today's; the worlds that are measured have nobody who moves.
    frame = pd.read_parquet(path)
    return frame[frame["valid_to"].isna()] if "valid_to" in frame else frame


def _all_days(
    lake: Lake,
    files: list[Path],
    listeners: pd.DataFrame,
    as_of: pd.Timestamp,
    known_at: pd.Timestamp,
) -> pd.DataFrame:
    contents = None
    if lake.table("contents").exists():
        contents = _current(lake, "contents")[["content", "duration_ms"]]
    by_date: dict[str, list[Path]] = {}
    for path in files:
        by_date.setdefault(path.parent.name, []).append(path)
    days = [
        _daily(_cards(_plays(of, listeners, contents, as_of, known_at)))
        for of in by_date.values()
    ]  # fmt: skip
    return pd.concat(days, ignore_index=True)


def _blocks(
    daily: pd.DataFrame, listeners: pd.DataFrame
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    people = listeners.sort_values("listener")
    n_blocks = -(-len(daily) // _BLOCK_ROWS)
    if n_blocks <= 1:
        yield people, daily
        return
    size = -(-len(people) // n_blocks)
    for start in range(0, len(people), size):
        block = people.iloc[start : start + size]
        low, high = block["listener"].iloc[0], block["listener"].iloc[-1]
        yield block, daily[(daily["listener"] >= low) & (daily["listener"] <= high)]


def _plays(
    files: list[Path],
    listeners: pd.DataFrame,
    contents: pd.DataFrame | None,
    as_of: pd.Timestamp,
    known_at: pd.Timestamp,
) -> pd.DataFrame:
    events = _known_events(files, as_of, known_at)
    long = events[events["ms_played"] >= CARD_PLAY_MIN_MS]
    plays = long.merge(listeners[["listener", "time_zone"]], on="listener")
    if contents is None:
        plays["duration_ms"] = np.nan
    else:
        plays = plays.merge(contents, on="content", how="left")
    plays["heard_ms"] = plays[["ms_played", "duration_ms"]].min(axis=1, skipna=False)
    plays["day"] = plays["started_at"].dt.floor("D")
    plays["chosen"] = _chosen(plays)
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


def _known_events(files: list[Path], as_of: pd.Timestamp, known_at: pd.Timestamp) -> pd.DataFrame:
    columns = ["listener", "content", "artist", "album", "show", "context"]
    columns += ["started_at", "arrived_at", "ms_played"]
    events = pd.concat([pd.read_parquet(p, columns=columns) for p in files], ignore_index=True)
    return events[(events["started_at"] < as_of) & (events["arrived_at"] < known_at)]


def _chosen(events: pd.DataFrame) -> pd.Series:
    """Tell what was put on: the context, or without one the artist, album or show itself."""
    chosen = events["context"]
    for column in ("artist", "album", "show"):
        chosen = chosen.fillna(events[column])
    return chosen


def _left_at_once(
    files: list[Path], listeners: pd.DataFrame, as_of: pd.Timestamp, known_at: pd.Timestamp
) -> pd.DataFrame:
    """Events under 30 s and what was put on, file by file."""
    parts = []
    for path in files:
        events = _known_events([path], as_of, known_at)
        short = events[events["ms_played"] < CARD_PLAY_MIN_MS]
        short = short.assign(item=_chosen(short))[[*_KEY, "started_at"]].dropna()
        parts.append(short[short["listener"].isin(listeners["listener"])])
    return pd.concat(parts, ignore_index=True).astype({"item": "int32"})


def _cards(plays: pd.DataFrame) -> pd.DataFrame:
    """One row per event and item it counts for."""
    kept = ["listener", "started_at", "ms_played", "day", "daypart", "is_weekend"]
    kept += ["duration_ms", "heard_ms", "chosen"]
    other = plays["context"].notna()
    parts = []
    for column in ("artist", "album", "show"):
        # Missing keys are NaN, which equals nothing.
        other &= plays["context"] != plays[column]
        here = plays[plays[column].notna()]
        parts.append(here[kept].assign(item=here[column].astype("int32")))
    context = plays[other]
    parts.append(context[kept].assign(item=context["context"].astype("int32")))
    cards = pd.concat(parts, ignore_index=True)
    cards["n_chosen"] = cards["item"] == cards["chosen"]
    return cards


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
        n_chosen=("n_chosen", "sum"),
        first_at=("started_at", "min"),
        last_at=("started_at", "max"),
        duration_ms=("duration_ms", "sum"),
        heard_ms=("heard_ms", "sum"),
    )
    return daily.astype(dict.fromkeys(["n_plays", *_COUNTS], "int32"))


def _listener_item(daily: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    age = (as_of - daily["day"]).dt.days
    plays = daily["n_plays"]
    daily = daily.assign(
        age=age,
        n_plays_7d=plays.where(age <= 7, 0),
        n_plays_28d=plays.where(age <= 28, 0),
        n_days_7d=(age <= 7).astype("int64"),
        n_same_weekday=plays.where(daily["day"].dt.day_of_week == as_of.day_of_week, 0),
        trace=plays / np.sqrt(age - 0.5),
        **{f"decay_{days}d": plays * np.exp2(-age / days) for days in _HALF_LIVES},
    )
    summed = [
        *("n_plays", "n_plays_7d", "n_plays_28d", "n_days_7d", "ms_played", "trace"),
        *("duration_ms", "heard_ms", "n_same_weekday", *_COUNTS),
        *(f"decay_{days}d" for days in _HALF_LIVES),
    ]
    pairs = daily.groupby(_KEY).agg(
        **{name: (name, "sum") for name in summed},
        n_days=("day", "size"),
        first_at=("first_at", "min"),
        last_at=("last_at", "max"),
    )
    pairs = pairs.join(_recent_days(daily))
    found = ["n_weekdays", "streak_days", "is_streak_running"]
    pairs[found] = pairs[found].fillna(0).astype("int8")
    pairs["minutes"] = pairs["ms_played"] / 60_000
    pairs["activation"] = np.log(pairs["trace"])
    pairs["days_since_first"] = (as_of - pairs["first_at"]).dt.total_seconds() / 86_400
    pairs["days_since_last"] = (as_of - pairs["last_at"]).dt.total_seconds() / 86_400
    pairs["completion_ratio"] = pairs["heard_ms"] / pairs["duration_ms"].replace(0, np.nan)
    return pairs.reset_index().sort_values(_KEY, ignore_index=True)


def _recent_days(daily: pd.DataFrame) -> pd.DataFrame:
    """Tell what the last 56 days with a card play say of each pair."""
    recent = daily.loc[daily["age"] <= _SET_DAYS, [*_KEY, "age"]].sort_values([*_KEY, "age"])
    weekdays = recent.assign(weekday=recent["age"] % 7).drop_duplicates([*_KEY, "weekday"])
    groups = recent.groupby(_KEY)["age"]
    newest = groups.transform("first")
    # Days without a gap up to the newest one have ages that grow as their number does.
    recent["in_streak"] = recent["age"] - groups.cumcount() == newest
    found = recent.groupby(_KEY).agg(streak_days=("in_streak", "sum"), newest=("age", "first"))
    found["is_streak_running"] = (found["newest"] == 1).astype("int8")
    found["n_weekdays"] = weekdays.groupby(_KEY).size()
    return found.drop(columns="newest")


class _Writer:
    """Writes blocks of ``listener_item`` to one Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "_Writer":
        return self

    def write(self, pairs: pd.DataFrame) -> None:
        unused = ["ms_played", "trace", "first_at", "last_at", "registered_at", "market"]
        unused += ["duration_ms", "heard_ms"]
        table = pa.Table.from_pandas(pairs.drop(columns=unused), preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, table.schema, compression="zstd")
        self.writer.write_table(table)

    def __exit__(self, *error: object) -> None:
        if self.writer is not None:
            self.writer.close()
