"""Files of a folder on this machine."""

from collections.abc import Sequence
from pathlib import Path

from homerec.errors import MalformedFile
from homerec.ingest.mapping import TableMap
from homerec.ingest.sources.found import Found, Progress, in_order, is_wanted


class Folder:
    """A folder, or one file (then only that file can match).

    Parameters
    ----------
    path : Path
        The folder or the file.
    """

    must_copy = False

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def shown(self) -> str:
        """Absolute path."""
        return str(self.path)

    @property
    def root(self) -> Path:
        """Folder that files are named relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    def find(self, table: TableMap) -> list[Found]:
        """List the files that a table's patterns match, in the order of their names."""
        if self.path.is_dir():
            paths = {p for pattern in table.files for p in self.path.glob(pattern) if p.is_file()}
        else:
            # Matched from its end: inbox/events/a.csv is one of "events/*".
            paths = {self.path for n in table.files if self.path.is_file() and self.path.match(n)}
        return in_order(self._found(p) for p in paths if is_wanted(p.name))

    def named(self, name: str) -> Found:
        """Return the one file of that name.

        Raises
        ------
        MalformedFile
            There is none.
        """
        path = self.root / name
        if not path.is_file():
            raise MalformedFile(f"{path} is named in the mapping, and is not there. Deliver it.")
        return self._found(path)

    def fetch(self, files: Sequence[Found], staging: Path, progress: Progress) -> list[Path]:
        """Return the paths of files; nothing is copied."""
        del staging, progress
        return [Path(found.address) for found in files]

    def _found(self, path: Path) -> Found:
        stat = path.stat()
        # The time of the last change of the inode, too: a tool may set the other one back.
        stamp = f"{stat.st_mtime_ns}/{stat.st_ctime_ns}"
        name = path.relative_to(self.root).as_posix()
        return Found(name, str(path), stat.st_size, stamp, str(path))
