"""How producers name a listener: columns of the mappings that this deployment ingests by."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from homerec.columns import LISTENER_ID
from homerec.errors import ArtifactError, MappingError
from homerec.forget.targets import Targets, merge_columns
from homerec.ingest.mapping import CsvOptions, SourceMapping, load_mapping
from homerec.lake import Lake, read_json
from homerec.settings import Settings, resource

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Producers:
    """The mappings by which a deployment has ingested.

    Attributes
    ----------
    mappings : tuple of SourceMapping
        Those that could be read.
    unknown : tuple of str
        Names in ingest reports to which there is no file any more.
    outside : tuple of str
        Folders outside the data folder from which was ingested.
    """

    mappings: tuple[SourceMapping, ...]
    unknown: tuple[str, ...]
    outside: tuple[str, ...]

    def columns(self, targets: Targets, relative: Path | None = None) -> dict[str, frozenset[str]]:
        """Columns that name a listener, to the values that do.

        Parameters
        ----------
        targets : Targets
        relative : Path, optional
            File relative to the inbox; only mappings that read it count. By default all do.
        """
        parts: list[dict[str, frozenset[str]]] = [{LISTENER_ID: targets.ids}]
        for mapping in self.mappings:
            for table in mapping.tables.values():
                how = table.columns.get(LISTENER_ID)
                if how is None or how.column is None:
                    continue
                if relative is None or _matches(relative, table.files):
                    parts.append({how.column: targets.raw(how)})
        return merge_columns(parts)

    def csv_options(self, relative: Path) -> CsvOptions:
        """How a text table of the inbox is written."""
        for mapping in self.mappings:
            for table in mapping.tables.values():
                if _matches(relative, table.files):
                    return table.csv
        return CsvOptions()


def _matches(relative: Path, patterns: Sequence[str]) -> bool:
    return any(relative.match(p) or fnmatch(relative.as_posix(), p) for p in patterns)


def read_producers(settings: Settings, more: Sequence[Path | str] = ()) -> Producers:
    """Read the mappings that ingest reports name, or every shipped one where there is no report.

    Parameters
    ----------
    settings : Settings
    more : sequence of Path or str
        Further mappings, as for ``homerec ingest --mapping``.

    Raises
    ------
    MappingError
        One of ``more`` cannot be read.
    """
    lake = Lake(settings.home)
    names, sources = set[str](), set[str]()
    for path in sorted(lake.ingests.glob("*.json")):
        try:
            report = read_json(path)
            names.add(str(report["mapping"]))
            sources.add(str(report["source"]))
        except (ArtifactError, KeyError, TypeError):
            logger.warning("%s is not a report of an ingest; it names no mapping", path)
    mappings = {m.digest: m for m in (load_mapping(name) for name in more)}
    known = {m.name: m for m in _shipped()}
    unknown = []
    for name in sorted(names) or sorted(known):
        if name in known:
            mappings.setdefault(known[name].digest, known[name])
        elif name not in {m.name for m in mappings.values()}:
            unknown.append(name)
    home = str(settings.home.resolve())
    outside = {s for s in sources if s != home and not s.startswith(f"{home}/")}
    return Producers(tuple(mappings.values()), tuple(unknown), tuple(sorted(outside)))


def _shipped() -> list[SourceMapping]:
    found = []
    for path in sorted(resource("config/mappings").glob("*.yaml")):
        try:
            found.append(load_mapping(path))
        except MappingError:
            logger.warning("the mapping %s cannot be read; it is left out", path, exc_info=True)
    return found
