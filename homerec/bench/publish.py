"""Publishing: the binary COPY into a release's own partition against ``DataFrame.to_sql``."""

import time
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from psycopg2 import sql
from sqlalchemy.dialects.postgresql import ARRAY

from homerec.bench.measuring import apart
from homerec.bench.report import Line, Result, say
from homerec.bench.workbench import Workbench
from homerec.database import urls
from homerec.errors import BenchmarkError
from homerec.night.homes import bundle_folder
from homerec.release import ReleaseInfo, publish
from homerec.settings import Settings

#: Rows that the naive way writes; it would need minutes for all of them.
_SUBSET: Final = 40_000
_TABLE: Final = "bench_to_sql"
_COLUMNS: Final = ("listener", "shelf", "daypart", "items", "sources", "reason_items", "proposers")
_ARRAYS: Final = {
    "items": sa.Integer(),
    "sources": sa.SmallInteger(),
    "reason_items": sa.Integer(),
    "proposers": sa.Integer(),
}
_GOAL: Final = "at least 200,000 at full size"


def run(bench: Workbench) -> Result:
    """Measure rows/s, the index included, and the whole of a publishing.

    Raises
    ------
    BenchmarkError
        The rows in Postgres differ.
    """
    _ = bench.night
    settings, folder = bench.settings, bundle_folder(bench.settings, bench.as_of)
    n_rows = pq.ParquetFile(folder / "shelves.parquet").metadata.num_rows
    say("publish")
    measured = apart(_publish, settings, folder)
    seconds = measured.value.seconds
    say("publish, naive")
    subset = min(_SUBSET, n_rows)
    naive = apart(_to_sql, settings, folder / "shelves.parquet", subset)
    compared = _compare(settings, measured.value.release_id)
    steps = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    return Result(
        "publish",
        (
            Line(
                "rows, index included",
                "rows/s",
                n_rows / seconds["store"],
                subset / naive.value,
                _GOAL,
                more_is_better=True,
            ),
            Line("the whole of it", "s", measured.seconds),
            Line("peak memory", "MiB", measured.peak_mib),
        ),
        (
            f"Ours writes {n_rows:,} rows ({steps}), the naive way the first {subset:,} and the "
            "same primary key; reading the Parquet file is in ours only.",
            f"Checked: {compared:,} rows are equal in Postgres.",
        ),
    )


def _publish(settings: Settings, folder: Path) -> ReleaseInfo:
    return publish(settings, folder, who="bench")


def _to_sql(settings: Settings, parquet: Path, n_rows: int) -> float:
    batch = next(pq.ParquetFile(parquet).iter_batches(batch_size=n_rows, columns=list(_COLUMNS)))
    frame: pd.DataFrame = pa.Table.from_batches([batch]).to_pandas()
    for name in _ARRAYS:
        frame[name] = [values.tolist() for values in frame[name]]
    frame = frame.head(n_rows)
    engine = urls.engine(urls.app_url(settings))
    types: dict[str, Any] = {name: ARRAY(kind) for name, kind in _ARRAYS.items()}
    types |= {"listener": sa.Integer(), "shelf": sa.SmallInteger(), "daypart": sa.SmallInteger()}
    started = time.perf_counter()
    with engine.begin() as connection:
        frame.to_sql(
            _TABLE, connection, schema="homerec", index=False, if_exists="replace", dtype=types
        )
        connection.execute(
            sa.text(f"ALTER TABLE homerec.{_TABLE} ADD PRIMARY KEY (listener, shelf, daypart)")
        )
    seconds = time.perf_counter() - started
    engine.dispose()
    return seconds


def _compare(settings: Settings, release_id: int) -> int:
    columns = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
    query = sql.SQL(
        """SELECT (SELECT count(*) FROM homerec.{table}), count(*) FROM (
               SELECT {columns} FROM homerec.{table}
               INTERSECT ALL
               SELECT {columns} FROM homerec.home_shelf WHERE release_id = {release}
           ) AS same"""
    ).format(table=sql.Identifier(_TABLE), columns=columns, release=sql.Literal(release_id))
    with (
        urls.psycopg2_connection(urls.app_url(settings)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(query)
        written, same = cursor.fetchone()
        cursor.execute(sql.SQL("DROP TABLE homerec.{}").format(sql.Identifier(_TABLE)))
    if written != same:
        raise BenchmarkError(
            f"{written - same:,} of {written:,} rows that to_sql wrote are not in release "
            f"{release_id}."
        )
    return int(same)
