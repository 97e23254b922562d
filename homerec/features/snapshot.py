"""Snapshots: the feature tables as of one date, computed by one set of SQL files and kept.

The night writes a snapshot and serves from it; training reads the ones that nights have logged and
computes a missing one by the same call. There is no second way to compute a feature.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import duckdb

from homerec import __version__
from homerec.errors import EmptyInput, SnapshotError
from homerec.features import item_parts, listener_parts, pair_kernels
from homerec.features.compute import SQL_FILES, TABLES, compute_tables
from homerec.features.pair_sources import known_rows
from homerec.features.queries import EVERYONE, LAKE_TABLES
from homerec.features.rollups import Rollups, drop_rollups, rolled
from homerec.features.snapshot_pairs import SnapshotPairs
from homerec.lake import (
    Lake,
    at_work,
    atomic_folder,
    checksum,
    checksum_text,
    connect,
    locked,
    read_json,
    read_sql,
    write_json,
)
from homerec.settings import Settings

logger = logging.getLogger(__name__)

Writer = Literal["night", "training"]

_ROW_GROUP: Final = 100_000
#: Modules whose loops define features, beside the SQL.
_LOOPS: Final = (pair_kernels, item_parts, listener_parts)


@dataclass(frozen=True)
class SnapshotInfo:
    """A snapshot on disk.

    Attributes
    ----------
    folder : Path
        Holds one Parquet file per table, two Arrow files in place of ``listener_item`` (see
        :mod:`homerec.features.listener_items`) and ``manifest.json``.
    as_of : date
        Events strictly before this date, 00:00 UTC, count.
    manifest : dict
        ``known_at``, rows per table, checksum of the SQL, fingerprint of the events read, who wrote
        it.
    """

    folder: Path
    as_of: date
    manifest: dict[str, Any]

    @property
    def known_at(self) -> datetime:
        """Arrivals strictly before this instant count."""
        return datetime.fromisoformat(self.manifest["known_at"])

    @property
    def passed(self) -> bool | None:
        """Verdict of the drift check on this snapshot; ``None`` while it was not checked."""
        path = self.folder / "drift.json"
        return bool(read_json(path)["passed"]) if path.exists() else None

    def path(self, table: str) -> Path:
        """Parquet file of a table."""
        return self.folder / f"{table}.parquet"


def sql_checksum() -> str:
    """SHA-256 over what defines features: snapshots of other definitions are not comparable."""
    loops = [Path(str(m.__file__)).read_text(encoding="utf-8") for m in _LOOPS]
    return checksum_text([*(read_sql(f"features/{name}.sql") for name in SQL_FILES), *loops])


def default_known_at(settings: Settings, as_of: date) -> datetime:
    """As_of 00:00 UTC plus the arrival grace."""
    midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    return midnight + timedelta(hours=settings.arrival_grace_hours)


def event_files(settings: Settings, as_of: date) -> list[Path]:
    """Event files that may hold an event before as_of, within ``settings.history_days``."""
    lake = Lake(settings.home)
    since = as_of - timedelta(days=settings.history_days) if settings.history_days else date.min
    dates = [day for day in lake.event_dates() if since <= day < as_of]
    return [path for day in dates for path in lake.files("events", day)]


def _fingerprint(settings: Settings, files: list[Path]) -> str:
    """Tell whether the input changed: event files by name and size, the small tables by content."""
    lake = Lake(settings.home)
    tables = (lake.table(name) for name in LAKE_TABLES)
    parts = [f"{p.name}:{checksum(p)}" for p in tables if p.exists()]
    return checksum_text([*parts, *(f"{p.parent.name}/{p.name}:{p.stat().st_size}" for p in files)])


def load_snapshot(settings: Settings, as_of: date) -> SnapshotInfo | None:
    """Return the kept snapshot of a date, or ``None``.

    Raises
    ------
    SnapshotError
        The folder is there but has no manifest.
    """
    folder = Lake(settings.home).snapshot(as_of)
    if not folder.is_dir():
        return None
    manifest = folder / "manifest.json"
    if not manifest.exists():
        raise SnapshotError(f"{folder} has no manifest.json. Remove the folder; it is recomputed.")
    return SnapshotInfo(folder, as_of, read_json(manifest))


def ensure_snapshot(
    settings: Settings,
    as_of: date,
    *,
    writer: Writer,
    rebuild: bool = False,
    progress: Callable[[str], None] = logger.info,
) -> SnapshotInfo:
    """Return the snapshot of a date, computing it when it is missing or out of date.

    Training keeps what a night has logged, because that is what was served. The night computes its
    own snapshot again when events came in since (with the ``known_at`` of the first time, so that
    late arrivals change nothing); so does training with a snapshot that only training wrote.

    Parameters
    ----------
    settings : Settings
        Where the lake is and how much memory DuckDB may use.
    as_of : date
        Exclusive end of the events read, UTC.
    writer : {"night", "training"}
        Who asks; it is kept in the manifest.
    rebuild : bool
        Compute it again in any case, and from the events: all rollups are made anew.
    progress : callable
        Receives one line per table.

    Raises
    ------
    EmptyInput
        The lake has no event before as_of.
    SnapshotError
        Training asks for a snapshot that failed its drift check, or as_of lies in the future.
    """
    # Models are retrained side by side and share snapshots: one computes, the others wait for it.
    with at_work(settings.home), locked(Lake(settings.home).snapshot(as_of)):
        kept = load_snapshot(settings, as_of)
        files = event_files(settings, as_of)
        if kept is not None and not rebuild and _usable(settings, kept, files, writer):
            return _logged(kept) if writer == "night" else kept
        if not files:
            known = Lake(settings.home).event_dates()
            raise EmptyInput(
                f"The lake has no event before {as_of} 00:00 UTC. "
                + (
                    f"Its first events are of {known[0]}: take a later date, or ingest older ones."
                    if known
                    else "Ingest events first: `homerec ingest`."
                )
            )
        _check_date(settings, as_of)
        _check_history(settings, as_of)
        if rebuild:
            drop_rollups(settings)
        known_at = kept.known_at if kept else default_known_at(settings, as_of)
        return _build(settings, as_of, known_at, files, writer, progress)


def _check_date(settings: Settings, as_of: date) -> None:
    """Refuse a date that no event can come before soon: it is a slip of the pen."""
    newest = Lake(settings.home).event_dates()[-1]
    last = max(newest, datetime.now(UTC).date()) + timedelta(days=1)
    if as_of > last:
        raise SnapshotError(
            f"as_of {as_of} lies in the future: the newest event is of {newest}, and the last date "
            f"allowed is {last}, the day after it or after today (UTC). Give an earlier date."
        )


def _check_history(settings: Settings, as_of: date) -> None:
    """Refuse to compute from events of which retention has removed a part."""
    kept_from = Lake(settings.home).events_from()
    needed = as_of - timedelta(days=settings.history_days) if settings.history_days else date.min
    if kept_from is not None and needed < kept_from:
        since = f"from {needed} on" if settings.history_days else "from the first on"
        raise SnapshotError(
            f"The snapshot of {as_of} needs events {since}; those before {kept_from} were removed "
            "(keep_event_days), so it would differ from what was served. Choose a later date, set "
            "history_days, or ingest the older events again and remove "
            f"{Lake(settings.home).events_from_file}."
        )


def _usable(settings: Settings, kept: SnapshotInfo, files: list[Path], writer: Writer) -> bool:
    if writer == "training" and kept.passed is False:
        raise SnapshotError(
            f"The snapshot of {kept.as_of} failed its drift check, so no model may learn from it. "
            f"See {kept.folder / 'drift.json'}; mend the data and run "
            f"`homerec features --as-of {kept.as_of} --rebuild`."
        )
    same_sql = kept.manifest["sql_checksum"] == sql_checksum()
    same_input = kept.manifest.get("input_fingerprint") == _fingerprint(settings, files)
    logged = kept.manifest["writer"] == "night"
    return bool(same_sql and (same_input or (writer == "training" and logged)))


def _logged(kept: SnapshotInfo) -> SnapshotInfo:
    """Mark a snapshot as one that a night serves from."""
    if kept.manifest["writer"] != "night":
        manifest = {**kept.manifest, "writer": "night"}
        write_json(manifest, kept.folder / "manifest.json")
        return SnapshotInfo(kept.folder, kept.as_of, manifest)
    return kept


def _build(
    settings: Settings,
    as_of: date,
    known_at: datetime,
    files: list[Path],
    writer: Writer,
    progress: Callable[[str], None],
) -> SnapshotInfo:
    lake = Lake(settings.home)
    with (
        rolled(settings, files, known_at) as rollups,
        connect(settings) as connection,
        atomic_folder(lake.snapshot(as_of)) as folder,
    ):
        with SnapshotPairs(lake, rollups, as_of, known_at, folder, settings.history_days) as pairs:
            rows = compute_tables(connection, lake, as_of, known_at, pairs.source, progress)
        for name, key in TABLES.items():
            if name != "listener_item":
                connection.execute(
                    f"COPY (SELECT * FROM {name} ORDER BY {', '.join(key)}) "  # noqa: S608
                    f"TO '{folder / f'{name}.parquet'}' "
                    f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
                )
        manifest = {
            "as_of": as_of.isoformat(),
            "known_at": known_at.isoformat(),
            "rows": rows,
            "first_day": pairs.days[0],
            "last_day": pairs.days[1],
            "volumes": _volumes(connection, rollups, as_of, known_at),
            "sql_checksum": sql_checksum(),
            "input_fingerprint": _fingerprint(settings, files),
            "writer": writer,
            "homerec": __version__,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(manifest, folder / "manifest.json")
    return SnapshotInfo(lake.snapshot(as_of), as_of, manifest)


def _volumes(
    connection: duckdb.DuckDBPyConnection, rollups: Rollups, as_of: date, known_at: datetime
) -> dict[str, int]:
    """Card plays of the last day, by market and in all: what a normalised distance cannot see."""
    rows = known_rows(
        connection, rollups.of_days(as_of - timedelta(days=1), as_of), known_at, EVERYONE
    )
    connection.register("last_day", rows)
    counts = connection.execute(
        "SELECT l.market, sum(d.n_plays) FROM last_day d JOIN listeners l USING (listener) "
        "GROUP BY l.market ORDER BY l.market"
    ).fetchall()
    volumes = {f"plays_{market}": int(n) for market, n in counts}
    volumes["plays"] = sum(volumes.values())
    return volumes
