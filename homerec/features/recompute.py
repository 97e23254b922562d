# ruff: noqa: S608 - the names are ours, the values are bound
"""The nightly proof that logged features are what the training path computes."""

import logging
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from homerec.errors import SnapshotError
from homerec.features.compute import compute_tables
from homerec.features.listener_items import listener_items, played_keys
from homerec.features.pair_sources import EventPairs
from homerec.features.rollup_files import day_of
from homerec.features.snapshot import SnapshotInfo, event_files
from homerec.lake import Lake, connect
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: Tables whose rows depend on one listener alone, so that a sample of listeners reproduces them.
_TABLES: Final = ("listener_item", "listener", "listener_tag", "pick", "skip")
_MAX_NAMED: Final = 3
#: Of more listeners than this all pairs are read.
_MAX_RANGES: Final = 100


def verify_snapshot(settings: Settings, info: SnapshotInfo, n_rows: int = 1_000) -> int:
    """Compute the rows of some listeners again and compare them with what was logged.

    Parameters
    ----------
    settings : Settings
    info : SnapshotInfo
        Logged snapshot; its own ``known_at`` is used.
    n_rows : int
        Rows of ``listener_item`` and ``skip`` to compare at least (all, if there are fewer).

    Returns
    -------
    int
        Rows compared, over all tables.

    Raises
    ------
    SnapshotError
        A row differs in any bit, is missing or is new.
    """
    lake = Lake(settings.home)
    files = event_files(settings, info.as_of)
    source = EventPairs(files, min(map(day_of, files)), info.as_of, info.known_at)
    with connect(settings) as connection, TemporaryDirectory() as scratch:
        sample = f"{scratch}/listeners.parquet"
        _choose(connection, info, lake, n_rows, sample)
        compute_tables(
            connection,
            lake,
            info.as_of,
            info.known_at,
            source,
            progress=logger.debug,
            listeners=sample,
        )
        compared = sum(_compare(connection, info, table, sample) for table in _TABLES)
    logger.info("features %s: %d logged rows recomputed, all equal", info.as_of, compared)
    return compared


def _choose(
    connection: duckdb.DuckDBPyConnection,
    info: SnapshotInfo,
    lake: Lake,
    n_rows: int,
    target: str,
) -> None:
    """Write the lake's rows of listeners with n_rows pairs and skips; others each night."""
    skipped = pq.read_table(info.path("skip"), columns=["listener"])["listener"].to_numpy()
    rows = np.concatenate([played_keys(info) >> 32, skipped.astype(np.int64)])
    listeners, counts = np.unique(rows, return_counts=True)
    connection.register("counted", pa.table({"listener": listeners, "n": counts}))
    connection.execute(
        "CREATE TEMP TABLE chosen AS "
        "SELECT listener FROM ("
        "  SELECT listener, sum(n) OVER ("
        "    ORDER BY md5(CAST(listener AS VARCHAR) || $salt)"
        "    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before"
        "  FROM counted"
        ") WHERE coalesce(before, 0) < $n_rows",
        {"salt": info.as_of.isoformat(), "n_rows": n_rows},
    )
    connection.execute(
        "COPY (SELECT l.* FROM read_parquet($listeners) l SEMI JOIN chosen USING (listener)) "
        f"TO '{target}' (FORMAT parquet)",
        {"listeners": str(lake.table("listeners"))},
    )


def _logged(
    connection: duckdb.DuckDBPyConnection, info: SnapshotInfo, table: str, sample: str
) -> str:
    """Name the logged rows of the chosen listeners."""
    if table != "listener_item":
        return (
            f"(SELECT t.* FROM read_parquet('{info.path(table)}', hive_partitioning = false) t "
            f"SEMI JOIN read_parquet('{sample}') s ON s.listener = t.listener)"
        )
    chosen = pq.read_table(sample, columns=["listener"])["listener"].unique().sort().to_pylist()
    if len(chosen) > _MAX_RANGES:
        rows = listener_items(info)
        rows = rows.filter(pc.is_in(rows["listener"], pa.array(chosen, pa.int32())))
    else:
        ranges = [(key, key + 1) for key in chosen] or [(0, 0)]
        rows = pa.concat_tables([listener_items(info, *keys) for keys in ranges])
    connection.register("logged_items", rows)
    return "(FROM logged_items)"


def _compare(
    connection: duckdb.DuckDBPyConnection, info: SnapshotInfo, table: str, sample: str
) -> int:
    logged = _logged(connection, info, table, sample)
    names = connection.execute(f"SELECT * FROM {logged} LIMIT 0").description or []
    columns = ", ".join(f'"{name[0]}"' for name in names)
    fresh = (
        f"(SELECT {columns} FROM {table} t "
        f"SEMI JOIN read_parquet('{sample}') s ON s.listener = t.listener)"
    )
    wrong = connection.execute(
        f"SELECT 'logged' AS side, * FROM (FROM {logged} EXCEPT ALL FROM {fresh}) "
        f"UNION ALL SELECT 'recomputed', * FROM (FROM {fresh} EXCEPT ALL FROM {logged}) "
        "ORDER BY listener, side"
    ).fetchall()
    if wrong:
        shown = "; ".join(str(row) for row in wrong[:_MAX_NAMED])
        raise SnapshotError(
            f"{len(wrong)} rows of {table} as of {info.as_of} differ between what was logged and "
            f"what the training path computes; none may. First: {shown}. The lake or the SQL "
            f"changed under the snapshot: run `homerec features --as-of {info.as_of} --rebuild`."
        )
    count = connection.execute(f"SELECT count(*) FROM {logged}").fetchone()
    return int(count[0]) if count else 0
