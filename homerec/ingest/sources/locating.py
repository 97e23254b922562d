"""Which kind of source an argument names, and what a mapping needs of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.registry import available_protocols  # type: ignore[import-untyped]

from homerec.errors import MappingError, SourceError
from homerec.ingest.mapping import SourceMapping
from homerec.ingest.sources.database import Database, parse
from homerec.ingest.sources.folder import Folder
from homerec.ingest.sources.found import FileSource
from homerec.ingest.sources.hiding import has_secret, masked, shown_url
from homerec.ingest.sources.objects import ObjectStore


@dataclass(frozen=True)
class Sources:
    """What one ingest reads.

    Attributes
    ----------
    files : FileSource or None
        Where the mapping's patterns are looked for.
    database : Database or None
        Where its queries are run.
    """

    files: FileSource | None
    database: Database | None

    @property
    def shown(self) -> str:
        """The sources for people, without any password."""
        return " and ".join(s.shown for s in (self.files, self.database) if s is not None)


def locate(
    source: Path | str | None,
    mapping: SourceMapping,
    inbox: Path,
    environ: Mapping[str, str] | None = None,
) -> Sources:
    """Find out what to read.

    Parameters
    ----------
    source : Path, str or None
        A folder or file, a URI that fsspec opens, or a SQLAlchemy URL. ``None``: the inbox for the
        mapping's files, and the variable that it names for its queries.
    mapping : SourceMapping
        Whose tables have files, queries, or both.
    inbox : Path
        Default folder.
    environ : mapping, optional
        Environment to read, by default the process's.

    Raises
    ------
    MappingError
        The mapping does not fit the source.
    SourceError
        The source cannot be opened.
    """
    with_files = [name for name, t in mapping.tables.items() if t.query is None]
    with_queries = [name for name, t in mapping.tables.items() if t.query is not None]
    if isinstance(source, str) and _is_database(source):
        if with_files:
            raise MappingError(
                f"{shown(source)} is a database, and the mapping {mapping.name} reads files for "
                f"{', '.join(with_files)}. Give these tables 'query' or 'table' in a mapping of "
                "your own, or name a folder and put the database's URL into a variable (url_env). "
                "See config/mappings/README.md."
            )
        return Sources(None, Database(source))
    if source is not None and not with_files:
        raise MappingError(
            f"{shown(source)} has files, and the mapping {mapping.name} reads none: all its tables "
            "are queries. Name no source, or another mapping."
        )
    files = _files(source, inbox) if with_files else None
    database = None
    if with_queries:
        database = Database(_from_environment(mapping, os.environ if environ is None else environ))
    return Sources(files, database)


def _from_environment(mapping: SourceMapping, environ: Mapping[str, str]) -> str:
    queries = ", ".join(name for name, t in mapping.tables.items() if t.query is not None)
    if mapping.url_env is None:
        raise MappingError(
            f"The mapping {mapping.name} has queries for {queries}, and no database: name its "
            "SQLAlchemy URL as the source, or in the mapping the environment variable that holds "
            "it (url_env)."
        )
    url = environ.get(mapping.url_env)
    if not url:
        raise SourceError(
            f"The environment variable {mapping.url_env}, which the mapping {mapping.name} names, "
            "is not set. Put the database's SQLAlchemy URL into it."
        )
    return url


def _files(source: Path | str | None, inbox: Path) -> FileSource:
    if source is None:
        return Folder(inbox)
    if isinstance(source, Path) or "://" not in source:
        return Folder(Path(source))
    if _scheme(source) in ("file", "local"):
        return Folder(Path(url_to_fs(source)[1]))
    return ObjectStore(source)


def _scheme(source: str) -> str:
    return source.partition("://")[0].rpartition("::")[2].lower()


def _is_database(source: str) -> bool:
    # What fsspec does not know is left to SQLAlchemy, whose dialects are not all known beforehand.
    return "://" in source and _scheme(source) not in available_protocols()


def shown(source: Path | str) -> str:
    """Write a source for people, with any password hidden.

    >>> shown("postgresql+psycopg2://ada:secret@host/log")
    'postgresql+psycopg2://ada:***@host/log'
    """
    if isinstance(source, Path) or "://" not in source:
        return str(source)
    return shown_url(parse(source)) if _is_database(source) else masked(source)


def without_password(source: str) -> str:
    """Return a source that may be kept and shown; one with a password is refused.

    Raises
    ------
    SourceError
        It holds a password, or another secret.
    """
    secret = (
        has_secret(parse(source))
        if "://" in source and _is_database(source)
        else masked(source) != source
    )
    if secret:
        raise SourceError(
            f"The source {shown(source)} was given with its password, which stays readable here. "
            "Change that password. Put the URL into an environment variable of the workers, name "
            "the variable in a mapping (url_env), and leave the source empty."
        )
    return source
