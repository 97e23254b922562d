"""What is remembered of the embedded server between starts, and whether its process is alive."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from homerec.errors import DatabaseError
from homerec.lake import read_json, write_json
from homerec.settings import Settings


@dataclass(frozen=True)
class State:
    """What is remembered between starts.

    Attributes
    ----------
    root : str
        Folder that holds ``data`` and ``server.log``.
    install : str
        Folder of the programs (has ``bin``).
    place : str or None
        Folder outside ``Settings.home`` that was made for the service user.
    port : int or None
        Port of the last start.
    initialised : bool
        The data folder was made completely.
    """

    root: str
    install: str
    place: str | None = None
    port: int | None = None
    initialised: bool = False

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return Path(self.root) / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return Path(self.root) / "server.log"

    @property
    def bin(self) -> Path:
        """Folder of the programs."""
        return Path(self.install) / "bin"


@dataclass(frozen=True)
class ServerStatus:
    """What the embedded server is doing.

    Attributes
    ----------
    initialised, running : bool
        Whether it has data; whether it is up.
    port, pid : int or None
        Where it listens, and its process.
    data : Path or None
        Its data folder.
    """

    initialised: bool
    running: bool
    port: int | None
    pid: int | None
    data: Path | None


def state_file(settings: Settings) -> Path:
    """Path of the file that remembers where the server's data and programs are, and its port."""
    return settings.home / "postgres.json"


def read_state(settings: Settings) -> State | None:
    """Read the state, or ``None`` when no server was ever started here."""
    path = state_file(settings)
    if not path.exists():
        return None
    try:
        return State(**read_json(path))
    except (TypeError, ValueError, OSError) as error:
        raise DatabaseError(f"The state file {path} cannot be read: {error}.") from error


def write_state(settings: Settings, state: State) -> State:
    """Remember a state, and return it."""
    write_json(asdict(state), state_file(settings))
    return state


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Let one process at a time start, stop or remove this server."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / ".postgres.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def clear_stale_pid(state: State) -> None:
    """Delete the process file of a crash when its number now belongs to another process.

    Otherwise it stays: Postgres reads in it which shared memory the crashed server's children may
    still use.
    """
    if _alive(state) is not None:
        (state.data / "postmaster.pid").unlink()


def _alive(state: State) -> int | None:
    try:
        pid = int((state.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, ValueError):
        return None
    return pid


def running_pid(state: State) -> int | None:
    """Process of the server on this data folder, or ``None``; a reused number does not count."""
    pid = _alive(state)
    if pid is None:
        return None
    directory = Path(f"/proc/{pid}/cwd")
    if not Path("/proc/self").exists():
        return pid
    try:
        return pid if directory.resolve(strict=True) == state.data.resolve() else None
    except OSError:
        return None


def status(settings: Settings) -> ServerStatus:
    """Say whether the server has data, runs, and where."""
    state = read_state(settings)
    if state is None:
        return ServerStatus(False, False, None, None, None)
    pid = running_pid(state)
    return ServerStatus(state.initialised, pid is not None, state.port, pid, state.data)
