"""Ingest: events a second from the inbox into the lake, against a plain script in pandas."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from homerec.bench.measuring import apart
from homerec.bench.report import Line, Result, say
from homerec.bench.workbench import Workbench
from homerec.errors import BenchmarkError
from homerec.lake import connect

_KEYS = ("context_id", "artist_id", "album_id", "show_id")
_FILLED = ("artist_id", "album_id", "show_id")
_LONGEST_MS = 86_400_000

#: Rows, milliseconds, and events by what is known of them: equal iff both wrote the same events.
_SUMMARY = """
SELECT
    count(*), sum(ms_played), count(context), count(artist), count(album), count("show"),
    count(DISTINCT listener), sum(epoch_us(started_at) % 1000003), sum(epoch_us(arrived_at) % 1000003)
FROM read_parquet($files)
"""  # noqa: E501


def run(bench: Workbench) -> Result:
    """Measure all tables into the lake; the naive way writes only the events.

    Raises
    ------
    BenchmarkError
        The two lakes hold other events.
    """
    ours = bench.ingested
    say("ingest of the events, naive")
    target = bench.settings.home / "naive-events"
    naive = apart(naive_events, bench.lake.inbox, target)
    with connect(bench.settings) as connection:
        expected = _summary(connection, target)
        found = _summary(connection, bench.lake.partitions("events"))
    shutil.rmtree(target)
    if expected != found:
        raise BenchmarkError(f"The lake's events are {found}; the naive ingest has {expected}.")
    n = ours.value.tables["events"].read
    rows = sum(table.read for table in ours.value.tables.values())
    return Result(
        "ingest",
        (
            Line("events", "events/s", n / ours.seconds, n / naive.seconds, "", True),
            Line("wall", "s", ours.seconds, naive.seconds),
            Line("peak memory", "MiB", ours.peak_mib, naive.peak_mib),
        ),
        (
            f"Ours reads all tables ({rows:,} rows, impressions too), checks every rule, sets "
            "broken rows aside and keeps the dictionaries; the naive way reads and writes only "
            "the events, in pandas.",
            "Checked: counts and sums over the columns of all events are equal.",
        ),
    )


def naive_events(inbox: Path, target: Path) -> int:
    """Bring the events into a partitioned table with pandas, the way a script does.

    Parameters
    ----------
    inbox : Path
        Holds ``events``, ``contents``, ``items`` and ``listeners``.
    target : Path
        Folder to make: ``date=YYYY-MM-DD/part.parquet``.

    Returns
    -------
    int
        Rows written.
    """
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
    items = _codes(_read(inbox, "items")["item_id"])
    listeners = _codes(_read(inbox, "listeners")["listener_id"])
    table = pd.DataFrame(
        {
            "listener": events["listener_id"].map(listeners),
            **{name.removesuffix("_id"): events[name].map(items) for name in _KEYS},
            **{name: _naive_utc(events[name]) for name in ("started_at", "arrived_at")},
            "ms_played": events["ms_played"],
            "surface": events["surface"].fillna("unknown"),
        }
    ).sort_values(["listener", "started_at"])
    for day, rows in table.groupby(table["started_at"].dt.date):
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


def _summary(connection: duckdb.DuckDBPyConnection, folder: Path) -> tuple[Any, ...]:
    files = [str(path) for path in sorted(folder.glob("date=*/*.parquet"))]
    row = connection.execute(_SUMMARY, {"files": files}).fetchone()
    return tuple(int(value) for value in row or ())
