# ruff: noqa: S608 - the names are ours, the values are bound
"""Rollups: the daily sums of every event file, kept, so that no night reads an old event again.

One rollup per event file of the lake, made by ``card.sql`` and ``daily.sql``, and beside it what
``skip_day.sql`` makes of the same events. Event files never change; what can change a rollup
afterwards is kept beside it and compared each time:

- the SQL: another checksum drops all rollups;
- the event file itself (size, time of change): its rollup is made again, or removed with it;
- a content's duration: rollups of files with that content are made again;
- the time zone that a listener was in at some time: rollups of files with an event of theirs in
  that time are made again. A listener who moves today changes no rollup of before.

Whether an event had arrived in time is decided when a rollup is read: its rows of late arrivals are
kept apart, each with the instant of its arrival.
"""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from homerec.errors import SnapshotError
from homerec.features.pair_base import base_files
from homerec.features.pairs import SCHEMA
from homerec.features.queries import (
    Block,
    card_parameters,
    expose_lake,
    expose_rows,
    number,
    with_card,
)  # fmt: skip
from homerec.features.rollup_files import (
    batches_of,
    day_of,
    days_of,
    parts_of,
    write_rows,
)
from homerec.features.skips import COLUMNS as SKIP_COLUMNS
from homerec.lake import (
    Lake,
    checksum_text,
    connect,
    locked,
    read_json,
    read_sql,
    write_json,
)
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: Batches at once: while one is written by one thread, the next is computed.
_WORKERS: Final = 2
_ATTEMPTS: Final = 5
_FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: What rollups depend on beside events: columns of tables of :func:`expose_lake`.
_LEDGERS: Final = {
    "listener_zones": "listener, zone_from, zone_to, time_zone",
    "contents": "content, duration_ms",
}
_COLUMNS: Final = (
    "listener INTEGER, item INTEGER, day DATE, late_at TIMESTAMP, n_plays INTEGER, "
    "ms_played BIGINT, n_morning INTEGER, n_afternoon INTEGER, "
    "n_evening INTEGER, n_weekend INTEGER, n_chosen INTEGER, first_at TIMESTAMP, "
    "last_at TIMESTAMP, "
    "duration_ms BIGINT, heard_ms BIGINT"
)


@dataclass(frozen=True)
class Rollups:
    """What is read in place of some event files.

    Attributes
    ----------
    main : tuple of Path
        Files without a late arrival.
    rest : tuple of Path
        Late arrivals.
    more : tuple of Path
        Late arrivals of which those before ``more_since`` do not count.
    more_since : datetime
        Aware.
    skips : tuple of Path
        What was left within 30 s, late arrivals too; always of all rollups.
    made : dict of str to int
        Which rollup of which event file this is: another number, another rollup.
    all_made : dict of str to int
        The same of every rollup that is kept, whatever its date.
    rows : dict of str to int
        Daily rows by rollup, those of ``more`` left out.
    """

    main: tuple[Path, ...]
    rest: tuple[Path, ...]
    more: tuple[Path, ...]
    more_since: datetime
    skips: tuple[Path, ...]
    made: dict[str, int]
    all_made: dict[str, int]
    rows: dict[str, int]

    @property
    def n_rows(self) -> int:
        """Daily rows of all."""
        return sum(self.rows.values())

    def beyond(self, made: Mapping[str, int], known_at: datetime) -> "Rollups":
        """Leave out what was read from some rollups at some time.

        Parameters
        ----------
        made : mapping of str to int
            All of them are among these rollups.
        known_at : datetime
            Arrivals before it were read.
        """

        def fresh(paths: tuple[Path, ...]) -> tuple[Path, ...]:
            return tuple(p for p in paths if _key_of_rollup(p) not in made)

        new_rest = fresh(self.rest)
        more = tuple(p for p in self.rest if p not in new_rest)
        rows = {key: n for key, n in self.rows.items() if key not in made}
        return replace(
            self, main=fresh(self.main), rest=new_rest, more=more, more_since=known_at, rows=rows
        )

    def of_days(self, first: date, end: date) -> "Rollups":
        """Leave only those of days in [first, end)."""

        def mine(paths: tuple[Path, ...]) -> tuple[Path, ...]:
            return tuple(p for p in paths if first <= day_of(p) < end)

        paths = tuple(map(mine, (self.main, self.rest, self.more)))
        keys = {_key_of_rollup(p) for of in paths for p in of}
        made, rows = (
            {key: n for key, n in of.items() if key in keys} for of in (self.made, self.rows)
        )
        main, rest, more = paths
        return replace(self, main=main, rest=rest, more=more, made=made, rows=rows)

    def expose(self, connection: duckdb.DuckDBPyConnection, block: Block) -> None:
        """Make the rows of a block of listeners readable by name.

        Parameters
        ----------
        connection : duckdb.DuckDBPyConnection
            Receives the views ``daily_main``, ``daily_rest`` and ``daily_more`` of ``known.sql``.
        block : (int, int)
        """
        for name, files in (
            ("daily_main", self.main), ("daily_rest", self.rest), ("daily_more", self.more),
        ):  # fmt: skip
            expose_rows(connection, name, files, _COLUMNS, block)


def rollup_checksum() -> str:
    """SHA-256 over the SQL that rollups are made with, and the form of the kept pairs."""
    parts = (read_sql(f"features/{name}.sql") for name in ("card", "daily", "skip_day"))
    return checksum_text([*parts, _COLUMNS, SKIP_COLUMNS, str(SCHEMA)])


def drop_rollups(settings: Settings) -> None:
    """Remove every rollup, so that the next snapshot reads events from scratch."""
    lake = Lake(settings.home)
    with locked(lake.rollups):
        shutil.rmtree(lake.rollups, ignore_errors=True)


@contextmanager
def rolled(settings: Settings, files: list[Path], known_at: datetime) -> Iterator[Rollups]:
    """Bring the rollups of event files up to date, and keep them unchanged while they are read.

    Parameters
    ----------
    settings : Settings
    files : list of Path
        Live event files of the lake.
    known_at : datetime
        Durations are those in force then. Which arrivals count is not decided here.

    Yields
    ------
    Rollups

    Raises
    ------
    SnapshotError
        Other processes changed the lake again and again meanwhile.
    """
    lake = Lake(settings.home)
    for _ in range(_ATTEMPTS):
        with locked(lake.rollups):
            _Keeper(settings, lake, known_at).update(files)
        # Between the two locks another process may have dropped what was just made.
        with locked(lake.rollups, shared=True):
            index = _read_index(lake)
            if all(_is_current(lake, index, path) for path in files):
                yield _resolve(lake, index, files)
                return
    raise SnapshotError(
        f"The event files changed {_ATTEMPTS} times while their rollups were made; once is "
        "allowed. See that no ingest or forget runs beside the night, and run it again."
    )


def _key(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _main(lake: Lake, key: str) -> Path:
    return lake.rollups / f"{key}.parquet"


def _late(lake: Lake, key: str) -> Path:
    return lake.rollups / f"{key}.late.parquet"


def _skips(lake: Lake, key: str) -> Path:
    return lake.rollups / f"{key}.skips.parquet"


def _key_of_rollup(path: Path) -> str:
    return f"{path.parent.name}/{path.name.removesuffix('.parquet').removesuffix('.late')}"


def _new_index() -> dict[str, Any]:
    return {
        "sql": rollup_checksum(),
        "ledger": 0,
        "files": {},
    }


def _read_index(lake: Lake) -> dict[str, Any]:
    path = lake.rollups / "index.json"
    index = read_json(path) if path.exists() else {}
    if index.get("sql") != rollup_checksum():
        return _new_index()
    return dict(index)


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _is_current(lake: Lake, index: dict[str, Any], path: Path) -> bool:
    entry = index["files"].get(_key(path))
    return (
        entry is not None
        and path.exists()
        and entry["stamp"] == _stamp(path)
        and (not entry["rows"] or _main(lake, _key(path)).exists())
        and (not entry["late_rows"] or _late(lake, _key(path)).exists())
        and (not entry["skip_rows"] or _skips(lake, _key(path)).exists())
    )


def _resolve(lake: Lake, index: dict[str, Any], files: list[Path]) -> Rollups:
    entries = {_key(p): index["files"][_key(p)] for p in files}
    return Rollups(
        tuple(_main(lake, k) for k, e in sorted(entries.items()) if e["rows"]),
        tuple(_late(lake, k) for k, e in sorted(entries.items()) if e["late_rows"]),
        (),
        _LONG_AGO,
        tuple(_skips(lake, k) for k, e in sorted(entries.items()) if e["skip_rows"]),
        {key: entry["made"] for key, entry in entries.items()},
        {key: entry["made"] for key, entry in index["files"].items()},
        {key: entry["rows"] + entry["late_rows"] for key, entry in entries.items()},
    )


class _Keeper:
    """Makes and removes rollups; its caller holds the lock.

    The index is written last and names everything that counts: what a killed process left is not
    in it, and is made again.
    """

    def __init__(self, settings: Settings, lake: Lake, known_at: datetime) -> None:
        self.settings = settings
        self.lake = lake
        self.known_at = known_at
        self.index = _read_index(lake)
        self.dirty = False

    def update(self, files: list[Path]) -> None:
        """Drop what is out of date and roll up what is missing."""
        if not self.index["files"]:
            self._start_anew()
        with connect(self.settings) as connection:
            expose_lake(connection, self.lake, self.known_at)
            self._forget_changed_files()
            if self._has_ledgers():
                changed = self._changed_contents(connection) + self._changed_zones(connection)
                self._forget_files(self._files_with(connection) if changed else [])
            else:
                # Only without any rollup: the ledger is written before the index that names it.
                changed = 1
                self._start_anew()
            missing = [p for p in files if not _is_current(self.lake, self.index, p)]
            if changed or self.dirty or missing:
                self._keep_inputs(connection)
            if missing:
                logger.info("features: rolling up %d event files", len(missing))
                self._roll_all(connection, missing)
        if self.dirty:
            write_json(self.index, self.lake.rollups / "index.json")
            self._sweep()

    def _start_anew(self) -> None:
        shutil.rmtree(self.lake.rollups, ignore_errors=True)
        self.index = _new_index()

    def _event_path(self, key: str) -> Path:
        return self.lake.partitions("events") / f"{key}.parquet"

    def _forget_changed_files(self) -> None:
        # A file that a compaction replaced stays on disk for a while, but no longer counts.
        days = {day_of(self._event_path(key)) for key in self.index["files"]}
        live = {_key(path) for day in days for path in self.lake.files("events", day)}
        keys = [
            key
            for key in self.index["files"]
            if key not in live or not _is_current(self.lake, self.index, self._event_path(key))
        ]
        self._forget_files(keys)

    def _forget_files(self, keys: list[str]) -> None:
        if not keys:
            return
        self.dirty = True
        for key in keys:
            del self.index["files"][key]

    def _ledger(self, table: str) -> Path:
        return self.lake.rollups / f"{table}.{self.index['ledger']}.parquet"

    def _has_ledgers(self) -> bool:
        return all(self._ledger(table).exists() for table in _LEDGERS)

    def _changed_contents(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Make ``changed_contents``: those whose duration is not the one of the rollups."""
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE changed_contents AS SELECT DISTINCT content FROM ("
            "(SELECT content, duration_ms FROM contents "
            "EXCEPT SELECT content, duration_ms FROM read_parquet($ledger)) UNION ALL "
            "(SELECT content, duration_ms FROM read_parquet($ledger) "
            "EXCEPT SELECT content, duration_ms FROM contents))",
            {"ledger": str(self._ledger("contents"))},
        )
        return number(connection, "SELECT count(*) FROM changed_contents")

    def _changed_zones(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Make ``changed_zones``: from when to when a listener's zone is not the one of then."""
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE changed_zones AS "
            "WITH kept AS (FROM read_parquet($ledger)) "
            "SELECT n.listener, greatest(n.zone_from, o.zone_from) AS zone_from, "
            "least(n.zone_to, o.zone_to) AS zone_to FROM listener_zones n "
            "JOIN kept o ON o.listener = n.listener AND o.time_zone <> n.time_zone "
            "AND o.zone_from < n.zone_to AND n.zone_from < o.zone_to "
            "UNION ALL SELECT listener, zone_from, zone_to FROM listener_zones n "
            "ANTI JOIN kept o ON o.listener = n.listener "
            "UNION ALL SELECT listener, zone_from, zone_to FROM kept o "
            "ANTI JOIN listener_zones n ON n.listener = o.listener",
            {"ledger": str(self._ledger("listener_zones"))},
        )
        return number(connection, "SELECT count(*) FROM changed_zones")

    def _files_with(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        """Find the files with an event that ``changed_contents`` or ``changed_zones`` concerns."""
        keys = list(self.index["files"])
        if not keys:
            return []
        # New contents and new listeners have the largest keys: footers answer for most files.
        found = connection.execute(
            "WITH e AS (FROM read_parquet($events, filename = true, hive_partitioning = false)) "
            "SELECT filename FROM e SEMI JOIN changed_contents c ON c.content = e.content "
            "UNION SELECT filename FROM e SEMI JOIN changed_zones z ON z.listener = e.listener "
            "AND e.started_at >= z.zone_from AND e.started_at < z.zone_to",
            {"events": [str(self._event_path(key)) for key in keys]},
        ).fetchall()
        return [_key(Path(name)) for (name,) in found]

    def _keep_inputs(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.dirty = True
        self.index["ledger"] += 1
        for table, columns in _LEDGERS.items():
            rows = connection.sql(f"SELECT {columns} FROM {table}").to_arrow_table()
            write_rows(rows, self._ledger(table))

    def _roll_all(self, connection: duckdb.DuckDBPyConnection, files: list[Path]) -> None:
        self.dirty = True

        def one(batch: list[Path]) -> dict[str, Any]:
            with connection.cursor() as own:
                expose_lake(own, self.lake, self.known_at)
                return self._roll(own, batch)

        workers = min(_WORKERS, self.settings.n_threads)
        with ThreadPoolExecutor(workers) as pool:
            for entries in pool.map(one, batches_of(files)):
                self.index["files"].update(entries)

    def _roll(self, connection: duckdb.DuckDBPyConnection, batch: list[Path]) -> dict[str, Any]:
        """Write the rollups of files of different dates; return their entries of the index."""
        stamps = {_key(p): _stamp(p) for p in batch}
        made = time.time_ns()
        rows = self._read(connection, batch, with_card(read_sql("features/daily.sql")))
        by_day = {day_of(p): _key(p) for p in batch}
        entries: dict[str, Any] = {
            key: {"stamp": stamp, "made": made, "rows": 0, "late_rows": 0, "skip_rows": 0}
            for key, stamp in stamps.items()
        }
        for day, is_late, part in parts_of(rows):
            key = by_day.get(day)
            if key is not None:
                write_rows(part, _late(self.lake, key) if is_late else _main(self.lake, key))
                entries[key]["late_rows" if is_late else "rows"] = part.num_rows
        for day, part in days_of(self._read(connection, batch, read_sql("features/skip_day.sql"))):
            key = by_day.get(day)
            if key is not None:
                write_rows(part, _skips(self.lake, key))
                entries[key]["skip_rows"] = part.num_rows
        return entries

    def _read(
        self, connection: duckdb.DuckDBPyConnection, files: list[Path], text: str
    ) -> pa.Table:
        """Rows of files by listener, item and day, in any order."""
        days = [day_of(p) for p in files]
        parameters = card_parameters(min(days), max(days) + timedelta(days=1), _FOREVER, files)
        return connection.sql(text, params=parameters).to_arrow_table()

    def _sweep(self) -> None:
        """Remove what the index no longer names."""
        keep = {self.lake.rollups / "index.json", *(self._ledger(t) for t in _LEDGERS)}
        keep |= set(base_files(self.lake))
        for key in self.index["files"]:
            keep |= {of(self.lake, key) for of in (_main, _late, _skips)}
        for path in self.lake.rollups.rglob("*"):
            if path.is_file() and path not in keep:
                path.unlink()
