"""Which processes run and which ports they listen on, read from /proc."""

import contextlib
from pathlib import Path
from typing import Final

#: The state LISTEN in /proc/net/tcp.
_LISTENS: Final = "0A"
_LOOPBACK: Final = {"0100007F", "00000000000000000000000001000000"}


def children(pids: set[int]) -> set[int]:
    """Return the processes and all that descend from them."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (path / "stat").read_text(encoding="utf-8", errors="replace")
            parents[int(path.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    found = {pid for pid in pids if pid in parents}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def begun(pid: int) -> str | None:
    """When a process was started, in ticks; ``None`` when it has ended."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = stat.rsplit(")", 1)[1].split()
        return None if state == "Z" else fields[18]
    return None


def title(pid: int) -> str:
    """Command line of a process, empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return ""


def listening(pids: set[int]) -> set[tuple[int, bool]]:
    """Ports that processes listen on, each with whether it is of the loopback address alone."""
    sockets = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    sockets.add(str(file.readlink()))
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        lines = table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else []
        for columns in map(str.split, lines):
            if columns[3] == _LISTENS and f"socket:[{columns[9]}]" in sockets:
                address, port = columns[1].rsplit(":", 1)
                found.add((int(port, 16), address in _LOOPBACK))
    return found
