"""Ingest: rows a second from the inbox into the lake, against a plain script in pandas."""

import shutil
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd

from homerec.bench.measuring import apart
from homerec.bench.report import Line, Result, say
from homerec.bench.workbench import Workbench
from homerec.errors import BenchmarkError
from homerec.lake import connect

_KEYS: Final = ("context_id", "artist_id", "album_id", "show_id")
_FILLED: Final = ("artist_id", "album_id", "show_id")
_LONGEST_MS: Final = 86_400_000

#: Rows and sums over the columns: equal iff both wrote the same rows, as good as surely.
_SUMMARIES: Final = {
    "events": """
        SELECT
            count(*), sum(ms_played), count(context), count(artist), count(album), count("show"),
            count(DISTINCT listener), sum(epoch_us(started_at) % 1000003),
            sum(epoch_us(arrived_at) % 1000003), count(DISTINCT surface)
        FROM read_parquet($files)
    """,
    "impressions": """
        SELECT
            count(*), sum(position), count(item), count(DISTINCT listener), count(DISTINCT item),
            sum(epoch_us(shown_at) % 1000003), sum(epoch_us(arrived_at) % 1000003),
            count(DISTINCT shelf)
        FROM read_parquet($files)
    """,
}


def run(bench: Workbench) -> Result:
    """Measure all tables into the lake; the naive way writes events and impressions.

    Raises
    ------
    BenchmarkError
        The two lakes hold other rows.
    """
    ours = bench.ingested
    say("ingest, naive")
    target = bench.settings.home / "naive-lake"
    naive = apart(naive_ingest, bench.lake.inbox, target)
    with connect(bench.settings) as connection:
        for name, query in _SUMMARIES.items():
            expected = _summary(connection, query, target / name)
            found = _summary(connection, query, bench.lake.partitions(name))
            if expected != found:
                raise BenchmarkError(
                    f"The lake's {name} sum up to {found}, those of the naive ingest to {expected}."
                )
    shutil.rmtree(target)
    tables = ours.value.tables
    events = tables["events"].read
    rows = events + tables["impressions"].read
    return Result(
        "ingest",
        (
            Line("all rows", "rows/s", rows / ours.seconds, rows / naive.seconds, "", True),
            Line("events among them", "events/s", events / ours.seconds, more_is_better=True),
            Line("wall", "s", ours.seconds, naive.seconds),
            Line("CPU", "s", ours.cpu_seconds, naive.cpu_seconds),
            Line("peak memory", "MiB", ours.peak_mib, naive.peak_mib),
        ),
        (
            f"{events:,} events and {rows - events:,} impressions. Ours also brings in the other "
            "tables, checks every rule, sets broken rows aside, hashes rows to know them again, "
            "and keeps the dictionaries; the naive way drops what breaks a rule.",
            "Checked: counts and sums over the columns of all rows are equal.",
        ),
    )


def naive_ingest(inbox: Path, target: Path) -> int:
    """Bring events and impressions into partitioned tables with pandas, the way a script does.

    Parameters
    ----------
    inbox : Path
        Holds the folders of the tables, with Parquet files.
    target : Path
        Folder to make: ``<table>/date=YYYY-MM-DD/part.parquet``.

    Returns
    -------
    int
        Rows written.
    """
    items = _codes(_read(inbox, "items")["item_id"])
    listeners = _codes(_read(inbox, "listeners")["listener_id"])
    events = _events(inbox, items, listeners)
    n = _write(events, "started_at", target / "events")
    del events
    return n + _write(_impressions(inbox, items, listeners), "shown_at", target / "impressions")


def _events(inbox: Path, items: "pd.Series[int]", listeners: "pd.Series[int]") -> pd.DataFrame:
    events = _read(inbox, "events")
    contents = _read(inbox, "contents").set_index("content_id")
    for name in _FILLED:
        from_content = events["content_id"].map(contents[name])
        events[name] = events[name].fillna(from_content) if name in events else from_content
    valid = (
        events["listener_id"].notna()
        & events["started_at"].notna()
        & events["ms_played"].between(0, _LONGEST_MS)
        & events[list(_KEYS)].notna().any(axis=1)
    )
    events = events[valid].drop_duplicates()
    return pd.DataFrame(
        {
            "listener": events["listener_id"].map(listeners),
            **{name.removesuffix("_id"): events[name].map(items) for name in _KEYS},
            **{name: _naive_utc(events[name]) for name in ("started_at", "arrived_at")},
            "ms_played": events["ms_played"],
            "surface": events["surface"].fillna("unknown"),
        }
    )


def _impressions(inbox: Path, items: "pd.Series[int]", listeners: "pd.Series[int]") -> pd.DataFrame:
    shown = _read(inbox, "impressions")
    valid = shown["listener_id"].notna() & shown["item_id"].notna() & (shown["position"] >= 1)
    shown = shown[valid].drop_duplicates()
    return pd.DataFrame(
        {
            "listener": shown["listener_id"].map(listeners),
            "item": shown["item_id"].map(items),
            **{name: _naive_utc(shown[name]) for name in ("shown_at", "arrived_at")},
            "shelf": shown["shelf"],
            "position": shown["position"],
        }
    )


def _write(table: pd.DataFrame, moment: str, target: Path) -> int:
    table = table.sort_values(["listener", moment])
    for day, rows in table.groupby(table[moment].dt.date):
        folder = target / f"date={day}"
        folder.mkdir(parents=True)
        rows.to_parquet(folder / "part.parquet", compression="zstd", index=False)
    return len(table)


def _read(inbox: Path, name: str) -> pd.DataFrame:
    files = sorted((inbox / name).glob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)


def _codes(ids: "pd.Series[str]") -> "pd.Series[int]":
    unique = ids.drop_duplicates()
    return pd.Series(range(1, len(unique) + 1), index=unique)


def _naive_utc(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.dt.tz_convert(None) if column.dt.tz is not None else column


def _summary(connection: duckdb.DuckDBPyConnection, query: str, folder: Path) -> tuple[int, ...]:
    files = [str(path) for path in sorted(folder.glob("date=*/*.parquet"))]
    row = connection.execute(query, {"files": files}).fetchone()
    return tuple(int(value) for value in row or ())
