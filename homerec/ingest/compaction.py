# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Compaction: the many small files of a date become one, sorted by listener and time.

A new file is written and the date's list of live files replaced in one move; readers go by that
list (:meth:`homerec.lake.Lake.files`), so they see every row once, before and after. What was
replaced stays on disk for a while, for readers that have listed it already. Whatever is kept by
event file (rollups) is made anew for a date that was compacted: compact seldom.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import duckdb
import pyarrow.parquet as pq

from homerec.errors import RowsLost, SettingsError
from homerec.ingest.contracts import CONTRACTS
from homerec.ingest.locking import writing
from homerec.ingest.quoting import ident, text, texts
from homerec.ingest.schema import SCHEMAS, order_columns
from homerec.lake import LIVE_FILES, Lake, checksum_text, connect, live_files, swap_files
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: An ingest compacts the dates that it added to and that have more files than this.
MOST_FILES: Final = 16
#: Replaced files are removed after this time; no reader takes longer from list to last byte.
KEPT_SECONDS: Final = 6 * 3_600
#: As in the ingest: level 1 takes 30% less time than 3, and 5% more room.
_ZSTD_LEVEL: Final = 1

#: The tables that are partitioned by date.
PARTITIONED: Final = tuple(n for n, c in CONTRACTS.items() if c.write == "append")


@dataclass
class CompactionReport:
    """What a compaction did.

    Attributes
    ----------
    dates : list of (str, date, int)
        Table, date, and how many files became one.
    rows : int
        Rows in the compacted dates.
    removed : int
        Files removed, that an earlier compaction had replaced.
    """

    dates: list[tuple[str, date, int]] = field(default_factory=list)
    rows: int = 0
    removed: int = 0

    def render(self) -> str:
        """Write for people."""
        n_files = sum(n for _, _, n in self.dates)
        return (
            f"{n_files:,} files of {len(self.dates):,} dates became {len(self.dates):,} "
            f"({self.rows:,} rows); {self.removed:,} replaced files removed."
        )


def compact(
    settings: Settings,
    *,
    tables: Iterable[str] = PARTITIONED,
    most_files: int = 1,
    since: date = date.min,
    until: date = date.max,
    kept_seconds: float = KEPT_SECONDS,
    progress: Callable[[str], None] = logger.info,
) -> CompactionReport:
    """Compact the dates that have more than some files, and remove what was replaced long ago.

    Run again it does nothing more.

    Parameters
    ----------
    settings : Settings
        Where the lake is.
    tables : iterable of str
        Of :data:`PARTITIONED`.
    most_files : int
        Dates with at most so many files stay as they are.
    since, until : date
        Dates in [since, until) are looked at.
    kept_seconds : float
        How long replaced files stay for readers that have listed them.
    progress : callable
        Receives one line per compacted date.

    Raises
    ------
    SettingsError
        A table is not partitioned by date, or ``most_files`` is below 1.
    TransientError
        An ingest is running.
    """
    tables = tuple(tables)
    other = [name for name in tables if name not in PARTITIONED]
    if other or most_files < 1:
        what = f"the table {other[0]}" if other else f"{most_files} files"
        raise SettingsError(
            f"Compaction was asked for {what}; it is for {', '.join(PARTITIONED)}, and leaves one "
            "file or more."
        )
    lake, report = Lake(settings.home), CompactionReport()
    with writing(lake), connect(settings) as connection:
        for name in tables:
            days = [day for day in lake.dates(name) if since <= day < until]
            compact_dates(connection, lake, name, days, most_files, report, progress)
        report.removed = remove_replaced(lake, kept_seconds)
    return report


def compact_dates(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    name: str,
    days: Iterable[date],
    most_files: int,
    report: CompactionReport,
    progress: Callable[[str], None] = logger.debug,
) -> None:
    """Compact those of some dates that have more than ``most_files`` files; the lock is held."""
    for day in sorted(days):
        files = lake.files(name, day)
        if len(files) > most_files:
            report.rows += _compact_date(connection, name, files)
            report.dates.append((name, day, len(files)))
            progress(f"compacting {name} of {day}: {len(files)} files")


def _compact_date(connection: duckdb.DuckDBPyConnection, name: str, files: list[Path]) -> int:
    folder = files[0].parent
    scan = f"read_parquet({texts(files)}, union_by_name = true, hive_partitioning = false)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    present = {row[0] for row in described}
    # A column that came into the contract later is NULL in the rows from before.
    columns = ", ".join(
        f"CAST({ident(column) if column in present else 'NULL'} AS {kind}) AS {ident(column)}"
        for column, kind in SCHEMAS[name].items()
    )
    order = ", ".join(ident(column) for column in order_columns(CONTRACTS[name]))
    stamp = checksum_text([f"{p.name}:{p.stat().st_size}" for p in files])[:12]
    target = folder / f".compact-{stamp}.parquet.tmp"
    try:
        connection.execute(
            f"COPY (SELECT {columns} FROM {scan} ORDER BY {order}) TO {text(target)} "
            f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {_ZSTD_LEVEL})"
        ).fetchall()
        n_rows = pq.read_metadata(target).num_rows
        n_before = sum(pq.read_metadata(path).num_rows for path in files)
        if n_rows != n_before:
            raise RowsLost(
                f"The {len(files)} files of {folder} hold {n_before:,} rows, the one made of them "
                f"{n_rows:,}; none may be lost. The date stays as it was. "
                "This is a fault of homerec's: report it."
            )
        swap_files(folder, [p.name for p in files], {f"compact-{stamp}.parquet": target})
    finally:
        target.unlink(missing_ok=True)
    return int(n_rows)


def remove_replaced(lake: Lake, kept_seconds: float = KEPT_SECONDS) -> int:
    """Remove files that are not live and were replaced some time ago; return how many."""
    removed = 0
    for name in PARTITIONED:
        for listing in lake.partitions(name).glob(f"date=*/{LIVE_FILES}"):
            if time.time() - listing.stat().st_mtime < kept_seconds:
                continue
            live = set(live_files(listing.parent))
            for path in set(listing.parent.glob("*.parquet")) - live:
                path.unlink()
                removed += 1
    return removed
