"""Every file below the data folder, each by what it is: nothing is listed that could be left out.

Postgres's own files are reached through the database alone.
"""

import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from homerec.columns import LISTENER_ID
from homerec.forget.arrow import Rewritten, purge_arrow
from homerec.forget.parquet import purge_npz, purge_parquet
from homerec.forget.report import Finding, What
from homerec.forget.sources import Producers
from homerec.forget.targets import Targets
from homerec.forget.texts import READ_ERRORS, purge_lines, purge_text
from homerec.ingest.mapping import CsvOptions
from homerec.ingest.sources import COMPRESSIONS, SUFFIXES
from homerec.lake import Lake

logger = logging.getLogger(__name__)

Counts = dict[What, int]
_TEXTS: Final = (
    ".json", ".jsonl", ".log", ".txt", ".csv", ".tsv", ".md", ".html", ".svg", ".yaml", ".yml",
    ".toml", ".cfg", ".ini", ".out", ".err", ".xml", ".sql", ".py",
)  # fmt: skip
_CHUNK: Final = 1 << 22


@dataclass
class FileSearch:
    """The files of one deployment.

    Attributes
    ----------
    home : Path
    targets : Targets
    producers : Producers
    connection : duckdb.DuckDBPyConnection
    apply : bool
        Change files; otherwise only count.
    skipped : set of Path
        Files and folders that are handled elsewhere.
    findings : list of Finding
    rewritten : dict of int to Path
        Arrow files that were rewritten, by the number that each had on disk.
    """

    home: Path
    targets: Targets
    producers: Producers
    connection: duckdb.DuckDBPyConnection
    apply: bool
    skipped: set[Path]
    findings: list[Finding] = field(default_factory=list)
    rewritten: Rewritten = field(default_factory=dict)

    def run(self, progress: Callable[[str], None]) -> list[Finding]:
        """Go through every file; returns what was found."""
        area = ""
        for path in self.files():
            parts = path.relative_to(self.home).parts
            if len(parts) > 1 and parts[0] != area:
                area = parts[0]
                progress(f"forget: {area}")
            self._one(path)
        return self.findings

    def files(self) -> Iterator[Path]:
        """Yield plain files, in order of their names."""
        stack = [self.home]
        while stack:
            folder = stack.pop()
            entries = sorted(folder.iterdir(), reverse=True)
            stack += [e for e in entries if self._enters(e)]
            yield from (
                e for e in reversed(entries)
                if e.is_file() and not e.is_symlink() and e not in self.skipped
            )  # fmt: skip

    def _enters(self, path: Path) -> bool:
        return path.is_dir() and not path.is_symlink() and path not in self.skipped

    def _one(self, path: Path) -> None:
        relative = path.relative_to(self.home)
        # A folder has an area of its own, a file beside them none.
        area = relative.parts[0] if len(relative.parts) > 1 else "data folder"
        inner = Path(*relative.parts[1:]) if len(relative.parts) > 1 else relative
        try:
            counts = self._purge(path, area, inner)
        except (
            *READ_ERRORS,
            duckdb.Error,
            pa.ArrowException,
            ValueError,
            zipfile.BadZipFile,
        ) as error:
            counts = self._unreadable(path, area, error)
        self.findings += [Finding(area, str(inner), what, n) for what, n in counts.items()]

    def _purge(self, path: Path, area: str, inner: Path) -> Counts:
        suffix = path.suffix.lower()
        stem = path.with_suffix("").suffix.lower() if suffix in COMPRESSIONS else suffix
        if area == "inbox" or _is_copy(area, inner):
            return self._producers_file(path, area, inner, stem)
        if stem in (".parquet", ".pq"):
            return self._parquet(path, set_aside=area == "quarantine")
        if stem == ".arrow":
            return purge_arrow(path, self.targets, self.rewritten, apply=self.apply)
        if area == "artifacts" and "verdicts" not in inner.parts:
            return self._frozen(path)
        if stem == ".npz":
            return purge_npz(path, self.targets, apply=self.apply)
        # Airflow's processes write at the end of theirs.
        in_place = area == "airflow" and suffix not in COMPRESSIONS
        if stem in _TEXTS or in_place or _is_text(path):
            return purge_text(path, self.targets, in_place=in_place, apply=self.apply)
        return self._binary(path, area)

    def _producers_file(self, path: Path, area: str, inner: Path, stem: str) -> Counts:
        relative = inner if area == "inbox" else Path(*inner.parts[2:])
        columns = self.producers.columns(self.targets, relative)
        form = SUFFIXES.get(stem)
        if form == "parquet":
            return purge_parquet(
                self.connection, path, self.targets, columns,
                keyed=False, apply=self.apply,
            )  # fmt: skip
        if form is None and not _is_text(path):
            return self._binary(path, area)
        options = self.producers.csv_options(relative) if form == "csv" else CsvOptions()
        return purge_lines(path, self.targets, columns, options, apply=self.apply)

    def _parquet(self, path: Path, *, set_aside: bool) -> Counts:
        own = {LISTENER_ID: self.targets.ids}
        return purge_parquet(
            self.connection,
            path,
            self.targets,
            self.producers.columns(self.targets) if set_aside else own,
            keyed=not set_aside,
            set_aside=set_aside,
            apply=self.apply,
        )

    def _frozen(self, path: Path) -> Counts:
        """Look into a file of a saved model: its checksum is registered, it must never change."""
        if _is_text(path):
            counts = purge_text(path, self.targets, in_place=False, apply=False)
            return {"left": sum(counts.values())} if counts else {}
        if path.suffix == ".npz":
            counts = purge_npz(path, self.targets, apply=False)
            return {"left": sum(counts.values())} if counts else {}
        return {"left": 1} if self._holds_bytes(path) else {}

    def _binary(self, path: Path, area: str) -> Counts:
        if not self._holds_bytes(path):
            return {}
        if area == "tmp" or path.name.endswith(".tmp"):
            if self.apply:
                path.unlink()
            return {"files": 1}
        return {"left": 1}

    def _holds_bytes(self, path: Path) -> bool:
        wanted = [v.encode() for v in self.targets.variants]
        longest = max((len(w) for w in wanted), default=0)
        tail = b""
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                if any(w in tail + chunk for w in wanted):
                    return True
                tail = chunk[-longest:]
        return False

    def _unreadable(self, path: Path, area: str, error: Exception) -> Counts:
        """Deal with a file that cannot be said to be free of a listener, for it cannot be read."""
        inner = path.relative_to(self.home)
        removable = area == "tmp" or _is_copy(area, Path(*inner.parts[1:]))
        if removable or path.name.endswith(".tmp"):
            logger.warning("%s cannot be read (%s); a copy set aside is removed", inner, error)
            if self.apply:
                path.unlink()
            return {"files": 1}
        logger.warning("%s cannot be read, so it was not searched: %s", inner, error)
        return {"left": 1}


def _is_copy(area: str, inner: Path) -> bool:
    """Whether it is a file that an ingest set aside as a whole."""
    return area == "quarantine" and len(inner.parts) > 2 and inner.parts[1] == "files"


def _is_text(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(4096)
    return b"\x00" not in start


def own_files(home: Path) -> set[Path]:
    """Files and folders of a deployment that the search leaves to others."""
    lake = Lake(home)
    return {
        home / "postgres",
        home / "postgres.json",
        home / "secrets.json",
        home / "airflow" / "passwords.json",
        lake.forgotten,
        # Its ids become tombstones, last of all.
        lake.dictionary("listeners"),
    }
