"""The ground everything stands on: where files lie, atomic writes, DuckDB connections.

A path is made here and nowhere else. A file is whole or absent: writers fill a temporary name
beside the target and rename it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.errors import ArtifactError, TransientError
from homerec.settings import Settings, resource

#: In a partition's folder: which of its files are live. Only there once some were replaced.
LIVE_FILES: Final = "_live.json"


@dataclass(frozen=True)
class Lake:
    """Paths of one deployment's data, below one root folder.

    Parameters
    ----------
    root : Path
        ``Settings.home``.
    """

    root: Path

    @property
    def inbox(self) -> Path:
        """Where producers lay files: ``inbox/<table>/<file>``."""
        return self.root / "inbox"

    @property
    def tables(self) -> Path:
        """The ingested tables."""
        return self.root / "lake"

    def table(self, name: str) -> Path:
        """Parquet file of a table that is not partitioned (listeners, items, contents, ...)."""
        return self.tables / f"{name}.parquet"

    def partitions(self, name: str) -> Path:
        """Folder of a table partitioned by date: ``<name>/date=YYYY-MM-DD/*.parquet``.

        Not every file in it is live: read those that :meth:`files` names.
        """
        return self.tables / name

    def files(self, name: str, day: date) -> list[Path]:
        """Live files of one date of a partitioned table, by name; see :func:`live_files`."""
        return live_files(self.partitions(name) / f"date={day.isoformat()}")

    def dictionary(self, name: str) -> Path:
        """Parquet file (key int32, id string) of ``listeners``, ``items`` or ``contents``."""
        return self.tables / "dictionaries" / f"{name}.parquet"

    @property
    def ledger(self) -> Path:
        """Which files of which sources the tables hold already."""
        return self.tables / "ledger" / "files.parquet"

    @property
    def events_from_file(self) -> Path:
        """Remembers from which day on events are kept, once retention has removed some."""
        return self.tables / "events-from.json"

    def events_from(self) -> date | None:
        """First day whose events are still kept; ``None`` while all are."""
        path = self.events_from_file
        return date.fromisoformat(read_json(path)["day"]) if path.exists() else None

    @property
    def forgotten(self) -> Path:
        """Parquet file of the forgotten listeners, as keyed hashes."""
        return self.tables / "dictionaries" / "forgotten.parquet"

    @property
    def quarantine(self) -> Path:
        """Rows and files set aside, with their reasons."""
        return self.root / "quarantine"

    @property
    def ingests(self) -> Path:
        """One JSON report per ingest."""
        return self.root / "reports" / "ingest"

    @property
    def data_reports(self) -> Path:
        """One JSON data report per ingest."""
        return self.root / "reports" / "data"

    @property
    def rollups(self) -> Path:
        """Daily sums of event files; whatever is here is made again from events when it is gone."""
        return self.root / "rollups"

    def snapshot(self, as_of: date) -> Path:
        """Folder of the feature snapshot as of a date."""
        return self.root / "snapshots" / f"as_of={as_of.isoformat()}"

    def night(self, as_of: date) -> Path:
        """Folder of a night's intermediate results."""
        return self.root / "nights" / f"as_of={as_of.isoformat()}"

    def training(self, model: str, as_of: date) -> Path:
        """Folder of one training run's evaluation."""
        return self.root / "training" / model / f"as_of={as_of.isoformat()}"

    @property
    def experiments(self) -> Path:
        """Folder of experiments: what each said, results by configuration, shared fits."""
        return self.root / "experiments"

    def event_dates(self) -> list[date]:
        """Dates that have events, ascending."""
        return self.dates("events")

    def dates(self, name: str) -> list[date]:
        """Dates that a partitioned table has, ascending."""
        folder = self.partitions(name)
        if not folder.is_dir():
            return []
        names = (p.name for p in folder.iterdir() if p.name.startswith("date="))
        return sorted(date.fromisoformat(n.removeprefix("date=")) for n in names)


def live_files(folder: Path) -> list[Path]:
    """Files of a partition that hold its rows, each row once, by name.

    Where the partition has a list (:data:`LIVE_FILES`) those are the ones it names, else all.

    Parameters
    ----------
    folder : Path
        A partition's folder; one that is missing has no files.
    """
    # In this order: a list that comes up in between names what was found, or what replaced it.
    found = sorted(folder.glob("*.parquet"))
    try:
        listed = json.loads((folder / LIVE_FILES).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return found
    return [folder / name for name in sorted(listed)]


def swap_files(folder: Path, old: Sequence[str], new: Mapping[str, Path]) -> None:
    """Make new files of a partition live and old ones not, in one move for its readers.

    The old files stay where they are, for readers that have listed them. Only one process at a
    time may do this.

    Parameters
    ----------
    folder : Path
        The partition's folder.
    old : sequence of str
        Names of live files; empty where files are only added.
    new : mapping of str to Path
        Name in the folder -> file of the same file system, which is moved there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / LIVE_FILES
    live = [path.name for path in live_files(folder)]
    has_list = listing.exists()
    if old and not has_list:
        # Before the new files can be seen: a reader without a list takes all that it sees.
        write_json({"files": live}, listing)
    for name, path in new.items():
        path.replace(folder / name)
    if old or has_list:
        write_json({"files": sorted({*live, *new} - set(old))}, listing)


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with the deployment's thread and memory limits, in UTC."""
    spill = settings.home / "tmp"
    spill.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        config={
            "threads": settings.n_threads,
            "memory_limit": settings.memory_limit,
            "temp_directory": str(spill),
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    # A progress bar of DuckDB's own would fight with ours for the terminal line.
    connection.execute("SET enable_progress_bar = false")
    return connection


def read_sql(name: str) -> str:
    """Text of a file below ``sql/``, such as ``features/item.sql``."""
    return resource(f"sql/{name}").read_text(encoding="utf-8")


def _temporary(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``target`` when the block ends without an error."""
    temporary = _temporary(target)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces ``target`` when the block ends without an error."""
    temporary = _temporary(target)
    temporary.mkdir()
    try:
        yield temporary
        old = _temporary(target)
        if target.exists():
            target.replace(old)
        temporary.replace(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked(target: Path, *, shared: bool = False) -> Iterator[None]:
    """Let one process at a time make ``target``; the others wait.

    Parameters
    ----------
    target : Path
    shared : bool
        Only read it: readers share the lock, and whoever makes it anew waits for them.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock_of(target).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def is_locked(target: Path) -> bool:
    """Whether a process, this one included, is within :func:`locked` for ``target``."""
    lock = _lock_of(target)
    if not lock.exists():
        return False
    with lock.open("r") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _work_lock(home: Path) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    return home / ".work.lock"


@contextlib.contextmanager
def at_work(home: Path) -> Iterator[None]:
    """Keep :func:`alone` away while the block runs; many may be at work at once.

    While someone has the deployment alone, this waits.
    """
    with _work_lock(home).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Have the deployment's files alone while the block runs.

    Raises
    ------
    TransientError
        An ingest, a snapshot, a training or a night is at work now.
    """
    path = _work_lock(home)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TransientError(
                f"An ingest, a snapshot, a training or a night is at work in {home} ({path} is "
                "locked); nothing was changed. Try again when it has ended."
            ) from error
        yield


def write_parquet(table: pa.Table, target: Path) -> None:
    """Write a table to one Parquet file, atomically."""
    with atomic_file(target) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_json(value: Any, target: Path) -> None:
    """Write JSON, atomically, with sorted keys so that equal values are equal bytes."""
    with atomic_file(target) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ArtifactError
        It holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(
            f"{path} is damaged, it holds no JSON ({error}). Restore it, or remove it if it can be "
            "made anew."
        ) from error


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksum_text(parts: Sequence[str]) -> str:
    """SHA-256 over several texts, hexadecimal; the order counts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8") + b"\x00")
    return digest.hexdigest()
