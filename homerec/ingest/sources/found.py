"""What a source of files has to offer, whatever it stands on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from homerec.ingest.mapping import TableMap

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A file of a source.

    Attributes
    ----------
    name : str
        Relative to the source, with slashes; stands in reports and quarantine.
    label : str
        Path or URI, for messages.
    size : int
        Bytes.
    stamp : str
        Changes whenever the content does; empty where the source cannot tell.
    address : str
        What the source itself reads it by.
    """

    name: str
    label: str
    size: int
    stamp: str
    address: str


class FileSource(Protocol):
    """A place with files: a folder, an object store."""

    @property
    def shown(self) -> str:
        """The source for people and for the ledger, without any password."""
        ...

    @property
    def must_copy(self) -> bool:
        """Whether a file has to be copied before it can be read."""
        ...

    def find(self, table: TableMap) -> list[Found]:
        """List the files that a table's patterns match, in the order of their names."""
        ...

    def named(self, name: str) -> Found:
        """Return the one file of that name, relative to the source.

        Raises
        ------
        MalformedFile
            There is none.
        """
        ...

    def fetch(self, files: Sequence[Found], staging: Path, progress: Progress) -> list[Path]:
        """Bring files onto this machine; a folder's files stay where they are."""
        ...


def is_wanted(name: str) -> bool:
    """Whether a file is data: not hidden, and not still being written."""
    last = PurePosixPath(name)
    return not last.name.startswith((".", "_")) and last.suffix not in (".tmp", ".part")


def in_order(files: Iterable[Found]) -> list[Found]:
    """Return files in the order of their names, folder by folder, each once."""
    unique = {found.name: found for found in files}
    return sorted(unique.values(), key=lambda found: PurePosixPath(found.name).parts)
