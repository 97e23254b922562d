# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""What the steps of one ingest share: connection, opened files, bad rows, report."""

import logging
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb

from homerec.errors import EmptyInput, MalformedFile
from homerec.ingest.contracts import CONTRACTS, DEFINING, Contract
from homerec.ingest.mapping import SourceMapping, TableMap
from homerec.ingest.quoting import text
from homerec.ingest.report import IngestReport, TableReport
from homerec.ingest.rules import TIME_ZONES, Rule, local_rules
from homerec.ingest.sources import Opened, find_files, open_file, verify
from homerec.lake import Lake
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: Files of one schema are scanned together up to this many bytes, so that progress can be seen.
BATCH_BYTES = 1 << 29

Progress = Callable[[str], None]


@dataclass
class Run:
    """One ingest, from opened files to staged results.

    Attributes
    ----------
    settings, mapping, source, now : see :func:`homerec.ingest.ingest`
    connection : duckdb.DuckDBPyConnection
        Holds the temporary tables: ``keys_<dictionary>`` (key, id), ``bad`` (rows set aside).
    staging : Path
        Folder for temporary files; ``staging/lake`` mirrors the lake's folders with what is to be
        committed.
    touched : dict of str to list of date
        Dates of the partitioned tables that the ingest has added files to.
    limit : int or None
        Rows of a file to look at, for a dry run.
    """

    settings: Settings
    mapping: SourceMapping
    source: Path
    now: datetime
    connection: duckdb.DuckDBPyConnection
    staging: Path
    report: IngestReport
    progress: Progress
    set_aside_files: bool = False
    limit: int | None = None
    opened: dict[str, list[Opened]] = field(default_factory=dict)
    broken_files: dict[Path, str] = field(default_factory=dict)
    touched: dict[str, list[date]] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        """Paths of the deployment."""
        return Lake(self.settings.home)

    @property
    def root(self) -> Path:
        """Folder that files are named relative to."""
        return self.source if self.source.is_dir() else self.source.parent

    @property
    def staged_lake(self) -> Path:
        """Folder whose content is moved into the lake on commit."""
        return self.staging / "lake"

    def sql(self, query: str) -> list[tuple[object, ...]]:
        """Run a statement and return its rows."""
        rows: list[tuple[object, ...]] = self.connection.execute(query).fetchall()
        return rows

    def number(self, query: str) -> int:
        """Run a query that gives one number."""
        return int(str(self.sql(query)[0][0] or 0))

    def staged_table(self, name: str) -> Path:
        """Where a table without partitions is staged."""
        return self.staged_lake / f"{name}.parquet"

    def staged_partitions(self, name: str) -> list[Path]:
        """Files staged for the date partitions of a table."""
        return sorted((self.staged_lake / name).glob("date=*/*.parquet"))

    def staged_dictionary(self, name: str) -> Path:
        """Where a dictionary is staged."""
        return self.staged_lake / "dictionaries" / f"{name}.parquet"

    def start(self) -> None:
        """Make the temporary tables, and open every file that the mapping names.

        Raises
        ------
        EmptyInput
            No file matches.
        MalformedFile
            A file is unreadable and files are not to be set aside.
        """
        (self.staged_lake / "dictionaries").mkdir(parents=True, exist_ok=True)
        self.sql(
            "CREATE TEMP TABLE bad "
            "(tbl VARCHAR, filename VARCHAR, row BIGINT, rule VARCHAR, col VARCHAR)"
        )
        self.sql(f"CREATE TEMP TABLE {TIME_ZONES} AS SELECT name FROM pg_timezone_names()")
        # DuckDB knows abbreviations that other readers of the lake do not; both must know a zone.
        zones = ", ".join(f"({text(z)})" for z in sorted(zoneinfo.available_timezones()))
        if zones:
            self.sql(f"DELETE FROM {TIME_ZONES} WHERE name NOT IN (VALUES {zones})")
        for name in DEFINING:
            path = self.lake.dictionary(name)
            source = f"read_parquet({text(path)})" if path.exists() else (
                "(SELECT NULL::INTEGER AS key, NULL::VARCHAR AS id WHERE false)"
            )  # fmt: skip
            self.sql(f"CREATE TEMP TABLE keys_{name} AS SELECT key, id FROM {source}")
        self._open_all()

    def _open_all(self) -> None:
        found = {name: find_files(self.source, t) for name, t in self.mapping.tables.items()}
        if not any(found.values()):
            looked_for = ", ".join(
                f"{name}: {' '.join(t.files)}" for name, t in self.mapping.tables.items()
            )
            raise EmptyInput(
                f"{self.source} has no file for the mapping {self.mapping.name}; looked for "
                f"{looked_for}. Lay files there, or name the right folder and mapping."
            )
        for name, paths in found.items():
            if not paths:
                continue
            self.opened[name] = []
            self.report.tables[name] = TableReport()
            for path in paths:
                self.progress(f"opening {path.name}")
                self._open(name, path)

    def _open(self, name: str, path: Path) -> None:
        try:
            opened = open_file(self.connection, path, self.mapping.tables[name], self.staging)
        except MalformedFile as error:
            self.break_file(path, error)
            return
        self.opened[name].append(opened)
        self.report.tables[name].files.append(str(path.relative_to(self.root)))

    def break_file(self, path: Path, error: MalformedFile) -> None:
        """Note an unreadable file and go on, or raise, as the caller of the ingest wished."""
        if not self.set_aside_files:
            raise error
        logger.warning("File set aside: %s", error)
        self.broken_files[path] = str(error)

    def drop_damaged(self, table: str, files: list[Opened]) -> list[Opened]:
        """After a failed scan: find the damaged files, and return the others.

        Raises
        ------
        MalformedFile
            A file is damaged and files are not to be set aside.
        """
        whole: list[Opened] = []
        for opened in files:
            try:
                verify(self.connection, opened)
            except MalformedFile as error:
                self.break_file(opened.path, error)
                self.opened[table].remove(opened)
                self.report.tables[table].files.remove(str(opened.path.relative_to(self.root)))
            else:
                whole.append(opened)
        return whole

    def batches(self, table: str) -> Iterator[list[Opened]]:
        """Files of a table, those of one schema together, up to a number of bytes."""
        by_schema: dict[tuple[tuple[str, str], ...], list[Opened]] = {}
        for opened in self.opened.get(table, []):
            by_schema.setdefault(tuple(opened.columns.items()), []).append(opened)
        for files in by_schema.values():
            batch: list[Opened] = []
            size = 0
            for opened in files:
                batch.append(opened)
                size += opened.scan.stat().st_size
                if size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch

    def each_batch(self, table: str, step: Callable[[list[Opened]], None]) -> None:
        """Call ``step`` on every batch of a table; where a scan fails, again without damaged files.

        Raises
        ------
        MalformedFile
            A file is damaged and files are not to be set aside.
        """
        for files in list(self.batches(table)):
            self.progress(f"reading {table} ({len(files)} files)")
            try:
                step(files)
            except duckdb.Error:
                whole = self.drop_damaged(table, files)
                # Every file is whole: the fault lies elsewhere (memory, disk, a bug).
                if len(whole) == len(files):
                    raise
                if whole:
                    step(whole)

    def local_rules(self, table: str, files: list[Opened]) -> list[Rule]:
        """Rules that rows of these files are held to by themselves."""
        return local_rules(
            CONTRACTS[table],
            self.mapping.tables[table],
            files[0].columns,
            self.now,
            self.settings.future_tolerance_minutes,
        )

    def parts(self, table: str) -> tuple[Contract, TableMap]:
        """Return the contract and the mapping of a table."""
        return CONTRACTS[table], self.mapping.tables[table]


def rule_names(rules: list[Rule], index: str) -> tuple[str, str]:
    """Build SQL that turns a rule's number into its name and into its column."""
    names = ", ".join(text(r.name) for r in rules)
    columns = ", ".join(text(r.column) for r in rules)
    return f"[{names}][{index} + 1]", f"nullif([{columns}][{index} + 1], '')"
