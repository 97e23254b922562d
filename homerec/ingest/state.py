# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""What the steps of one ingest share: connection, opened files, bad rows, report."""

import logging
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

import duckdb

from homerec.errors import MalformedFile, MappingError
from homerec.ingest.contracts import CONTRACTS, DEFINING, Contract
from homerec.ingest.ledger import Ledger
from homerec.ingest.mapping import SourceMapping, TableMap
from homerec.ingest.quoting import text
from homerec.ingest.report import IngestReport
from homerec.ingest.rules import TIME_ZONES, Rule, local_rules
from homerec.ingest.sources import Found, Opened, Progress, Sources, verify
from homerec.lake import Lake
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: Files of one schema are scanned together up to this many bytes, so that progress can be seen.
BATCH_BYTES = 1 << 29


@dataclass
class Run:
    """One ingest, from opened files to staged results.

    Attributes
    ----------
    settings, mapping, now, set_aside_files, again, since : see :func:`homerec.ingest.ingest`
    sources : Sources
        Where files and queries are read from.
    connection : duckdb.DuckDBPyConnection
        Holds the temporary tables: ``keys_<dictionary>`` (key, id), ``bad`` (rows set aside).
    staging : Path
        Folder for temporary files; ``staging/lake`` mirrors the lake's folders with what is to be
        committed.
    touched : dict of str to list of date
        Dates of the partitioned tables that the ingest has added files to.
    limit : int or None
        Rows of a file to look at, for a dry run.
    opened : dict of str to list of Opened
        What is read, by table.
    listed : dict of str to list of Found
        All files that the source has, by table.
    broken_files : dict of str to (Path, str)
        Unreadable files by name: where they are, and why.
    broken_in : dict of str to list of str
        Their names, by the table that they were to be read for.
    dates : dict of str to list of date
        By table, the dates that its rows lie in, as far as they are good.
    by_file : dict of str to dict of str to (int, int)
        By table and file, its rows and those set aside, once they were counted.
    """

    settings: Settings
    mapping: SourceMapping
    sources: Sources
    now: datetime
    connection: duckdb.DuckDBPyConnection
    staging: Path
    report: IngestReport
    progress: Progress
    set_aside_files: bool = False
    again: bool = False
    since: datetime | None = None
    limit: int | None = None
    opened: dict[str, list[Opened]] = field(default_factory=dict)
    listed: dict[str, list[Found]] = field(default_factory=dict)
    broken_files: dict[str, tuple[Path, str]] = field(default_factory=dict)
    broken_in: dict[str, list[str]] = field(default_factory=dict)
    dates: dict[str, list[date]] = field(default_factory=dict)
    touched: dict[str, list[date]] = field(default_factory=dict)
    by_file: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        """Paths of the deployment."""
        return Lake(self.settings.home)

    @cached_property
    def ledger(self) -> Ledger:
        """Which files the lake holds already."""
        files = self.sources.files
        return Ledger(self.lake, self.settings, self.mapping, files.shown if files else "")

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
        """Make the temporary tables."""
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

    def side_file(self, name: str) -> tuple[Path, str]:
        """Bring a file that is no table onto this machine; return its path and its label.

        Raises
        ------
        MalformedFile
            It is not there.
        MappingError
            The source has no files.
        """
        files = self.sources.files
        if files is None:
            raise MappingError(
                f"The mapping {self.mapping.name} names the file {name}, and its source is a "
                "database. Give the table that it stands for a query of its own."
            )
        found = files.named(name)
        (path,) = files.fetch([found], self.staging, self.progress)
        return path, found.label

    def break_file(self, table: str, name: str, path: Path, error: MalformedFile) -> None:
        """Note an unreadable file and go on, or raise, as the caller of the ingest wished."""
        if not self.set_aside_files:
            raise error
        logger.warning("File set aside: %s", error)
        self.broken_files[name] = (path, str(error))
        self.broken_in.setdefault(table, []).append(name)

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
                self.break_file(table, opened.name, opened.path, error)
                self.opened[table].remove(opened)
                self.report.tables[table].files.remove(opened.name)
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
