"""Ingest: files and queries to tables in the lake, whole or not at all."""

import itertools
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
from tqdm import tqdm

from homerec.errors import HomerecError
from homerec.ingest import plays, tables
from homerec.ingest.compaction import (
    MOST_FILES,
    PARTITIONED,
    CompactionReport,
    compact_dates,
    remove_replaced,
)
from homerec.ingest.contracts import CONTRACTS
from homerec.ingest.forgotten import leave_out
from homerec.ingest.gathering import enter_ledger, open_all
from homerec.ingest.locking import writing
from homerec.ingest.mapping import SourceMapping, load_mapping
from homerec.ingest.quoting import text
from homerec.ingest.reading import in_force_sql
from homerec.ingest.report import DryRun, IngestReport
from homerec.ingest.rules import mapped_sql
from homerec.ingest.setaside import (
    check_limit,
    check_nothing_lost,
    count_bad,
    examples,
    write_quarantine,
)
from homerec.ingest.sources import Progress, locate
from homerec.ingest.state import Run
from homerec.lake import Lake, at_work, checksum_text, connect, swap_files, write_json
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: Rows of each file that a dry run looks at.
DRY_RUN_ROWS = 100_000


def ingest(
    settings: Settings,
    *,
    source: Path | str | None = None,
    mapping: Path | str = "homerec",
    now: datetime | None = None,
    set_aside_files: bool = False,
    again: bool = False,
    since: datetime | None = None,
    progress: Progress | bool = False,
) -> IngestReport:
    """Bring the rows of a source into the lake.

    The same rows a second time change nothing, and a file that the lake holds already is not read
    again. On any error the lake stays as it was; rows and files set aside, and the report, are kept
    also then.

    Parameters
    ----------
    settings : Settings
        Where the lake is, and the limits.
    source : Path, str or None
        Folder that the mapping's patterns are relative to, or one file in it; the same as a URI
        that fsspec opens (``s3://bucket/prefix``); or the SQLAlchemy URL that its queries are run
        on. ``None``: the inbox, and for queries the variable that the mapping names.
    mapping : Path or str
        A mapping file, or the name of one in ``config/mappings/``.
    now : datetime, optional
        Aware moment of the ingest, by default the clock's.
    set_aside_files : bool
        Copy unreadable files to quarantine and go on, where by default they stop the ingest.
    again : bool
        Read also the files that the lake holds already.
    since : datetime, optional
        Aware moment for ``:since`` in queries, by default shortly before the newest row of the
        lake.
    progress : callable or bool
        Called with a line of text at each step; ``True`` shows a line on a terminal.

    Returns
    -------
    IngestReport
        Also kept as JSON under ``Lake.ingests``.

    Raises
    ------
    EmptyInput
        No file matches the mapping.
    MappingError
        The mapping is wrong, or does not fit the source.
    SourceError
        The source cannot be read: nothing there, no permission, a query that fails.
    MalformedFile
        A file is unreadable, or a column that the mapping needs is missing.
    QuarantineExceeded
        Too large a share of a table's rows break a rule.
    RowsLost
        The counts of a table do not add up.
    TransientError
        The source cannot be reached, or another ingest into the same lake is running.
    """
    moment, loaded = _moment(now), load_mapping(mapping)
    lake = Lake(settings.home)
    started = time.perf_counter()
    with (
        at_work(settings.home),
        writing(lake),
        _run(settings, source, loaded, moment, progress) as run,
    ):
        run.set_aside_files, run.again = set_aside_files, again
        run.since = None if since is None else _moment(since, "since")
        folder = lake.quarantine / run.report.ingest_id
        try:
            _stage(run)
            count_bad(run)
            write_quarantine(run, folder)
            check_limit(run, folder)
            for name in ("events", "impressions"):
                if name in run.opened:
                    plays.merge(run, name, run.report.ingest_id)
            check_nothing_lost(run)
            enter_ledger(run)
            _commit(run)
            run.report.status = "done"
        except BaseException:
            _zero_written(run)
            raise
        finally:
            if run.report.tables:
                run.report.seconds = round(time.perf_counter() - started, 3)
                write_json(run.report.to_json(), lake.ingests / f"{run.report.ingest_id}.json")
        _compact(run)
        logger.info("%s", run.report.render())
        return run.report


def dry_run(
    settings: Settings,
    source: Path | str | None = None,
    mapping: Path | str = "homerec",
    rows: int = 10,
    *,
    now: datetime | None = None,
    since: datetime | None = None,
) -> DryRun:
    """Show what an ingest would make of a source, without writing to the lake.

    Only the first rows of each file are looked at, and of a query only these are fetched. Files are
    looked at also when the lake holds them already.

    Parameters
    ----------
    settings : Settings
        Where the lake is (ids known there count as known), and the limits.
    source : Path, str or None
        As for :func:`ingest`.
    mapping : Path or str
        As for :func:`ingest`.
    rows : int
        How many of each table's first rows to show, mapped.
    now : datetime, optional
        Aware moment to judge by, by default the clock's.
    since : datetime, optional
        As for :func:`ingest`.

    Raises
    ------
    EmptyInput, MappingError, SourceError, MalformedFile, TransientError
        As for :func:`ingest`.
    """
    loaded = load_mapping(mapping)
    with _run(settings, source, loaded, _moment(now), progress=False) as run:
        run.limit = DRY_RUN_ROWS
        run.since = None if since is None else _moment(since, "since")
        result = DryRun(run.report, checked_rows_per_file=DRY_RUN_ROWS)
        _stage(run)
        count_bad(run)
        for name in run.opened:
            contract, _ = run.parts(name)
            result.columns[name] = list(contract.names)
            result.rows[name] = _first_rows(run, name, rows)
            result.absent[name] = _absent(run, name)
            report = run.report.tables[name]
            report.written = report.read - report.n_quarantined - report.forgotten
            report.duplicates = 0
        result.broken = examples(run)
        run.report.status = "dry run"
        return result


def _moment(given: datetime | None, name: str = "now") -> datetime:
    if given is None:
        return datetime.now(UTC)
    if given.tzinfo is None:
        raise HomerecError(f"{name} is {given!r} without a time zone; pass an aware datetime.")
    return given.astimezone(UTC)


@contextmanager
def _run(
    settings: Settings,
    source: Path | str | None,
    mapping: SourceMapping,
    now: datetime,
    progress: Progress | bool,
) -> Iterator[Run]:
    lake = Lake(settings.home)
    sources = locate(source, mapping, lake.inbox)
    ingest_id = _new_id(lake, now, [sources.shown, mapping.digest, now.isoformat()])
    staging = settings.home / "tmp" / f"ingest-{ingest_id}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    bar = tqdm(bar_format="{desc} [{elapsed}]", file=sys.stderr) if progress is True else None

    def show(step: str) -> None:
        logger.debug("%s: %s", ingest_id, step)
        if bar is not None:
            bar.set_description_str(step)
        elif callable(progress):
            progress(step)

    connection: duckdb.DuckDBPyConnection = connect(settings)
    try:
        yield Run(
            settings, mapping, sources, now, connection, staging,
            IngestReport(ingest_id, mapping.name, sources.shown), show,
        )  # fmt: skip
    finally:
        connection.close()
        if bar is not None:
            bar.close()
        shutil.rmtree(staging, ignore_errors=True)


def _new_id(lake: Lake, now: datetime, parts: list[str]) -> str:
    """Return an id that no ingest into this lake has, also when ``now`` is given twice."""
    for attempt in itertools.count():
        ingest_id = f"{now:%Y%m%dT%H%M%S}-{checksum_text([*parts, str(attempt)])[:6]}"
        if not (lake.ingests / f"{ingest_id}.json").exists():
            return ingest_id
    raise AssertionError("unreachable")


def _stage(run: Run) -> None:
    run.start()
    open_all(run)
    run.report.assumed = _assumed(run.mapping)
    _stage_all(run)


def _stage_all(run: Run) -> None:
    """Map, check and stage every table; what others refer to comes first."""
    leave_out(run)
    for name, contract in CONTRACTS.items():
        if contract.write == "upsert":
            if name in run.opened:
                tables.load_rows(run, name)
                tables.stage_upsert(run, name)
            if name == "items" and "events" in run.opened:
                for how in run.mapping.derive_items:
                    tables.derive_items(run, how)
            if name == "listeners" and "events" in run.opened:
                tables.derive_listeners(run)
    tables.type_items(run)
    if "events" in run.opened:
        _known_contents(run)
    for name, contract in CONTRACTS.items():
        if contract.write == "append" and name in run.opened:
            plays.split(run, name)


def _known_contents(run: Run) -> None:
    """Make the temporary table that fills an event's artist, album and show from its content."""
    staged, lake = run.staged_table("contents"), run.lake.table("contents")
    path = staged if staged.exists() else lake
    source = in_force_sql(run.connection, CONTRACTS["contents"], path, None)
    run.sql(
        "CREATE TEMP TABLE known_contents AS "  # noqa: S608 - the path is quoted
        f'SELECT content_id AS id, artist, album, "show" FROM ({source})'
    )


def _first_rows(run: Run, name: str, n_rows: int) -> list[list[object]]:
    """Return the first mapped rows of a table, each with the rule it breaks."""
    contract, mapping = run.parts(name)
    first = run.opened[name][:1]
    if not first:
        return []
    mapped = mapped_sql(contract, mapping, first, run.now, n_rows)
    columns = ", ".join(f"v_{c}" for c in contract.names)
    query = f"""SELECT {columns}, b.rule FROM ({mapped}) m
        LEFT JOIN bad b ON b.tbl = {text(name)} AND b.filename = m.filename
        AND b.row = m.file_row_number ORDER BY m.file_row_number"""  # noqa: S608 - quoted above
    return [list(row) for row in run.sql(query)]


def _absent(run: Run, name: str) -> list[str]:
    """Source columns that the mapping would read, and that no file has."""
    absent = [set(opened.absent) for opened in run.opened[name]]
    return sorted(set.intersection(*absent)) if absent else []


def _assumed(mapping: SourceMapping) -> list[str]:
    """Tell what the mapping makes up for the source."""
    notes: list[str] = []
    for name, table in mapping.tables.items():
        if table.arrival == "historical":
            notes.append(f"{name}.arrived_at is taken to be {CONTRACTS[name].time} (historical)")
        for column in table.columns.values():
            if column.spread is not None:
                spread = column.spread
                notes.append(
                    f"{name}.{column.target} is drawn between {spread.start:%Y-%m-%d} and "
                    f"{spread.end:%Y-%m-%d} from a hash of {', '.join(spread.by)}"
                )
            elif column.constant is not None:
                notes.append(f"{name}.{column.target} is {column.constant} in every row")
    how = mapping.derive_listeners
    if how is not None:
        notes.append(
            f"listeners have market {how.market}, time zone {how.time_zone}, and registered with "
            "their first event"
        )
    notes += [
        f"items of type {i.type} come from events.{i.column}, released on their first event's day"
        for i in mapping.derive_items
    ]
    return notes


def _zero_written(run: Run) -> None:
    for table in run.report.tables.values():
        table.written = table.duplicates = 0
    run.report.new_keys.clear()
    run.report.derived.clear()


def _commit(run: Run) -> None:
    """Move what is staged into the lake: dictionaries, tables, partitions, then the ledger.

    Every move replaces one whole file. Cut short, it leaves keys without rows at worst, and the
    same ingest run again completes it.
    """
    run.progress("committing")
    dictionaries = (run.staged_lake / "dictionaries").glob("*.parquet")
    for path in [*sorted(dictionaries), *sorted(run.staged_lake.glob("*.parquet"))]:
        target = run.lake.tables / path.relative_to(run.staged_lake)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    for name in PARTITIONED:
        for path in run.staged_partitions(name):
            run.touched.setdefault(name, []).append(
                date.fromisoformat(path.parent.name.removeprefix("date="))
            )
            swap_files(run.lake.partitions(name) / path.parent.name, [], {path.name: path})
    staged_ledger = run.staged_lake / run.lake.ledger.relative_to(run.lake.tables)
    if staged_ledger.exists():
        run.lake.ledger.parent.mkdir(parents=True, exist_ok=True)
        staged_ledger.replace(run.lake.ledger)


def _compact(run: Run) -> None:
    """Compact the dates that have become many files, after all of the ingest is in the lake."""
    done = CompactionReport()
    for name, days in run.touched.items():
        compact_dates(run.connection, run.lake, name, days, MOST_FILES, done, run.progress)
    done.removed = remove_replaced(run.lake)
    if done.dates or done.removed:
        logger.info("Compaction: %s", done.render())
