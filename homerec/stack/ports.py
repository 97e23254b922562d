"""The web UI's port: whether it is free, and who has it."""

import socket
from pathlib import Path
from typing import Final

from homerec.errors import StackError

HOST: Final = "127.0.0.1"
FIRST_PORT: Final = 8080
_PORTS_TRIED: Final = 50
#: The state LISTEN in /proc/net/tcp.
_LISTENS: Final = "0A"


def port_is_free(port: int) -> bool:
    """Whether nobody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        # As the API server does: a port in TIME_WAIT after a restart is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return the first free port from 8080 on.

    Raises
    ------
    StackError
        Fifty in a row are taken.
    """
    for port in range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED):
        if port_is_free(port):
            return port
    raise StackError(
        f"No port from {FIRST_PORT} to {FIRST_PORT + _PORTS_TRIED - 1} is free for the web UI. "
        "Choose one: HOMEREC_UI_PORT=9000 make up"
    )


def holder(port: int) -> str:
    """Name who listens on a port, as far as this user may know.

    Returns
    -------
    str
        Such as ``nginx (pid 812)``; ``another process`` when it cannot be known.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if sockets:
        for process in Path("/proc").glob("[0-9]*"):
            if _has_one_of(process, sockets):
                return f"{_name(process)} (pid {process.name})"
    return "another process"


def _listening(port: int) -> set[str]:
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, lines):
            if columns[3] == _LISTENS and int(columns[1].rsplit(":", 1)[1], 16) == port:
                found.add(columns[9])
    return found


def _has_one_of(process: Path, sockets: set[str]) -> bool:
    # Processes of other users hide their files, and any may end while it is looked at.
    try:
        return any(str(f.readlink()) in sockets for f in (process / "fd").iterdir())
    except OSError:
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"
