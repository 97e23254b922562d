# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""What stands in a data report, computed: JSON-ready values, no person's id among them."""

import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb
import pyarrow.parquet as pq

from homerec.columns import DAYPARTS
from homerec.features.compute import TABLES
from homerec.features.listener_items import some_listener_items
from homerec.features.snapshot import SnapshotInfo
from homerec.ingest.contracts import CONTRACTS
from homerec.ingest.quoting import text, texts
from homerec.lake import Lake, connect, read_json
from homerec.report.profiling import SAMPLE_ROWS, TableProfile, profile_files
from homerec.settings import Settings

#: Days of the lake, and of snapshots, that are shown beside the newest.
N_DAYS: Final = 90
N_SNAPSHOTS: Final = 14
FORMAT: Final = 1


def ingest_data(settings: Settings, report: dict[str, Any]) -> dict[str, Any]:
    """Describe what an ingest brought, and the lake's small tables as they are now.

    Parameters
    ----------
    settings : Settings
    report : dict
        The ingest's own report, as it is kept.

    Returns
    -------
    dict
        ``tables`` (profiles), ``events`` (by day, surface, daypart), ``counts``, ``quarantine``.
    """
    started = time.perf_counter()
    lake, ingest_id = Lake(settings.home), str(report["ingest_id"])
    with connect(settings) as connection:
        tables: dict[str, TableProfile] = {}
        for name, contract in CONTRACTS.items():
            files = (
                sorted(lake.partitions(name).glob(f"date=*/{ingest_id}*.parquet"))
                if contract.write == "append"
                else [lake.table(name)]
            )
            files = [f for f in files if f.exists()]
            if files:
                tables[name] = profile_files(connection, files)
        brought = sorted(lake.partitions("events").glob(f"date=*/{ingest_id}*.parquet"))
        events = _events(connection, lake, brought) if brought else {}
        counts = _counts(connection, lake)
    return {
        "format": FORMAT,
        "kind": "ingest",
        "ingest_id": ingest_id,
        "status": report["status"],
        "source": report["mapping"],
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "flow": {
            name: {
                "read": t["read"],
                "written": t["written"],
                "duplicates": t["duplicates"],
                "quarantined": sum(t["quarantined"].values()),
                "forgotten": t.get("forgotten", 0),
            }
            for name, t in report["tables"].items()
        },
        "quarantine": [
            [name, rule, n]
            for name, t in report["tables"].items()
            for rule, n in sorted(t["quarantined"].items(), key=lambda rn: (-rn[1], rn[0]))
        ],
        "new_keys": report["new_keys"],
        "tables": {name: profile.to_json() for name, profile in tables.items()},
        "events": events,
        "lake_days": _lake_days(lake),
        **counts,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _events(
    connection: duckdb.DuckDBPyConnection, lake: Lake, files: list[Path]
) -> dict[str, list[list[Any]]]:
    """Count events by day, surface and local daypart in one pass over four narrow columns."""
    zones = lake.table("listeners")
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE hourly AS
            SELECT date_trunc('hour', e.started_at) AS hour, e.surface, l.time_zone,
              count(*) AS n, sum(e.ms_played) AS ms
            FROM read_parquet({texts(files)}, hive_partitioning = false) e
            LEFT JOIN (SELECT listener, any_value(time_zone) AS time_zone
                       FROM read_parquet({text(zones)}) GROUP BY 1) l USING (listener)
            GROUP BY ALL"""
    )
    local = "extract(hour FROM (hour AT TIME ZONE 'UTC') AT TIME ZONE coalesce(time_zone, 'UTC'))"
    queries = {
        "days": "SELECT CAST(hour AS DATE)::VARCHAR, sum(n)::BIGINT, sum(ms)::BIGINT "
        "FROM hourly GROUP BY 1 ORDER BY 1",
        "surfaces": "SELECT surface, sum(n)::BIGINT FROM hourly GROUP BY 1 ORDER BY 2 DESC, 1",
        "dayparts": f"SELECT CAST({local} AS INT) // 6 AS d, sum(n)::BIGINT FROM hourly "
        "GROUP BY 1 ORDER BY 1",
    }
    found: dict[str, list[list[Any]]] = {
        name: [list(row) for row in connection.execute(query).fetchall()]
        for name, query in queries.items()
    }
    found["dayparts"] = [[DAYPARTS[int(d)], n] for d, n in found["dayparts"]]
    listeners = connection.execute(
        f"SELECT approx_count_distinct(listener) FROM read_parquet({texts(files)}, "
        "hive_partitioning = false)"
    ).fetchall()
    found["listeners"] = [list(listeners[0])]
    connection.execute("DROP TABLE hourly")
    return found


def _lake_days(lake: Lake) -> list[list[Any]]:
    """Events of each of the newest days, from the files' own counts."""
    folder = lake.partitions("events")
    return [
        [day.isoformat(), sum(pq.read_metadata(p).num_rows
                              for p in (folder / f"date={day}").glob("*.parquet"))]
        for day in lake.event_dates()[-N_DAYS:]
    ]  # fmt: skip


def _counts(connection: duckdb.DuckDBPyConnection, lake: Lake) -> dict[str, list[list[Any]]]:
    """Count listeners by market and items by type; a table may hold rows of the past too."""
    wanted = {
        "markets": ("listeners", "market", "listener"),
        "items": ("items", "type", "item"),
    }
    found: dict[str, list[list[Any]]] = {}
    for name, (table, by, key) in wanted.items():
        path = lake.table(table)
        found[name] = []
        if path.exists():
            rows = connection.execute(
                f"SELECT {by}, count(DISTINCT {key}) FROM read_parquet({text(path)}) "
                "GROUP BY 1 ORDER BY 2 DESC, 1"
            ).fetchall()
            found[name] = [[str(value), int(n)] for value, n in rows]
    return found


def snapshot_data(settings: Settings, info: SnapshotInfo) -> dict[str, Any]:
    """Describe every column of a snapshot's tables, its volumes, and the snapshot before it.

    Returns
    -------
    dict
        ``tables`` (profiles), ``volumes`` and ``history`` (card plays of the last day, by market),
        ``markets``, ``items``, ``before`` (date and rows of the snapshot before).
    """
    started = time.perf_counter()
    with connect(settings) as connection:
        tables = {
            name: _profile_pairs(settings, connection, info)
            if name == "listener_item"
            else profile_files(connection, [info.path(name)])
            for name in TABLES
        }
        markets = _grouped(connection, info.path("listener"), "market")
        types = _grouped(connection, info.path("item"), "type")
    past = _past(settings, info.as_of)
    history = [[m["as_of"], m["volumes"]] for m in past]
    before = past[-1] if past else None
    return {
        "format": FORMAT,
        "kind": "snapshot",
        "as_of": info.as_of.isoformat(),
        "known_at": info.manifest["known_at"],
        "writer": info.manifest["writer"],
        "passed": info.passed,
        "first_day": info.manifest.get("first_day"),
        "last_day": info.manifest.get("last_day"),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "volumes": info.manifest["volumes"],
        "history": [*history, [info.as_of.isoformat(), info.manifest["volumes"]]],
        "before": None if before is None else {"as_of": before["as_of"], "rows": before["rows"]},
        "markets": markets,
        "items": types,
        "tables": {name: profile.to_json() for name, profile in tables.items()},
        "seconds": round(time.perf_counter() - started, 3),
    }


def _profile_pairs(
    settings: Settings, connection: duckdb.DuckDBPyConnection, info: SnapshotInfo
) -> TableProfile:
    """Profile ``listener_item``; of a large one, the pairs of some ranges of listeners."""
    rows = int(info.manifest["rows"]["listener_item"])
    scratch = settings.home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch) as folder:
        part = Path(folder) / "listener_item.parquet"
        pq.write_table(some_listener_items(info, SAMPLE_ROWS), part)
        profile = profile_files(connection, [part])
    # Shares are of all rows, so what was counted in a part stands for the whole.
    columns = [
        replace(column, n_null=round(column.n_null * rows / max(profile.rows, 1)))
        for column in profile.columns
    ]
    return replace(profile, rows=rows, columns=columns)


def _grouped(connection: duckdb.DuckDBPyConnection, path: Path, by: str) -> list[list[Any]]:
    rows = connection.execute(
        f"SELECT {by}, count(*) FROM read_parquet({text(path)}) GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    return [[str(value), int(n)] for value, n in rows]


def _past(settings: Settings, as_of: date) -> list[dict[str, Any]]:
    """Manifests of the snapshots just before a date, oldest first."""
    folder = Lake(settings.home).snapshot(as_of).parent
    paths = sorted(p for p in folder.glob("as_of=????-??-??/manifest.json"))
    earlier = [p for p in paths if p.parent.name < f"as_of={as_of.isoformat()}"]
    return [read_json(p) for p in earlier[-N_SNAPSHOTS:]]
