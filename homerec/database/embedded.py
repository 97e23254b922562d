"""The embedded Postgres: started, stopped and removed with one call each.

The server listens on the loopback address alone, without a Unix socket, and every login needs a
password (SCRAM). Its data lies below ``Settings.home``; where root's helper account cannot reach
that folder, in a place that it can, remembered in a state file under ``Settings.home``.
"""

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path

from homerec.database import binaries, secrets
from homerec.database.ports import FIRST_PORT, HOST, PORT_VARIABLE, checked, free_port, wanted_port
from homerec.database.state import (
    ServerStatus,
    State,
    clear_stale_pid,
    locked,
    read_state,
    running_pid,
    state_file,
    status,
    write_state,
)
from homerec.errors import DatabaseError
from homerec.settings import Settings

logger = logging.getLogger(__name__)

__all__ = ["remove", "start", "status", "stop"]

START_TIMEOUT_S = 60
ORPHANS_TIMEOUT_S = 20

#: Given at every start, so that a newer homerec changes them. With wal_level=minimal a release is
#: written without WAL, which doubles the speed of publishing; a crash then loses only that
#: unfinished release.
OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "log_min_messages": "warning",
}


def start(settings: Settings) -> ServerStatus:
    """Start the server if it does not run, and bring its roles, database and schema up to date.

    Returns
    -------
    ServerStatus
        Of the server that now accepts connections.

    Raises
    ------
    DatabaseError
        The port is taken, the data is of another major version, or the server does not come up;
        nothing was changed in the first two cases.
    """
    from homerec.database import (
        bootstrap,
    )  # imports Alembic, which `status` and `stop` need not wait for

    with locked(settings):
        state = read_state(settings) or _place(settings)
        wanted = wanted_port()
        if running_pid(state) is None:
            _check_version(state)
            state = _start_stopped(settings, _placed_again(settings, state), wanted)
        elif wanted is not None and wanted != state.port:
            raise DatabaseError(
                f"The embedded Postgres runs on port {state.port}, {PORT_VARIABLE} asks for "
                f"{wanted}. "
                "Stop it first: homerec db stop."
            )
        try:
            bootstrap.prepare(settings, HOST, _port(settings, state))
        except DatabaseError:
            if not _ends_soon(state):
                raise
            # It was killed a moment ago and still looked alive.
            state = _start_stopped(settings, state, wanted)
            bootstrap.prepare(settings, HOST, _port(settings, state))
        return status(settings)


def _port(settings: Settings, state: State) -> int:
    if state.port is None:
        raise DatabaseError(f"{state_file(settings)} names no port of the running server.")
    return state.port


def _ends_soon(state: State) -> bool:
    """Say whether the server's process is gone, or goes within two seconds."""
    for _ in range(20):
        if running_pid(state) is None:
            return True
        time.sleep(0.1)
    return False


def stop(settings: Settings) -> ServerStatus:
    """Stop the server, ending its connections; nothing happens when it does not run."""
    with locked(settings):
        state = read_state(settings)
        if state is not None and running_pid(state) is not None:
            _stop(state)
        return status(settings)


def remove(settings: Settings) -> None:
    """Stop the server and delete its data, its copied programs and its state; the secrets stay."""
    with locked(settings):
        state = read_state(settings)
        if state is None:
            return
        if running_pid(state) is not None:
            _stop(state)
        shutil.rmtree(state.root, ignore_errors=True)
        if state.place is not None:
            shutil.rmtree(state.place, ignore_errors=True)
        left = [
            path for path in (state.root, state.place) if path is not None and Path(path).exists()
        ]
        if left:
            raise DatabaseError(f"{', '.join(left)} cannot be deleted. Delete it by hand.")
        state_file(settings).unlink(missing_ok=True)


def _stop(state: State) -> None:
    result = binaries.run(
        state.bin / "pg_ctl", ["-D", str(state.data), "-m", "fast", "-w", "-t", "60", "stop"]
    )
    if result.returncode != 0:
        raise DatabaseError(f"The embedded Postgres does not stop: {result.stderr.strip()}")


def _place(settings: Settings) -> State:
    """Decide where data and programs go, and make those folders."""
    install = binaries.packaged()
    root = settings.home / "postgres"
    reaches_data, reaches_programs = binaries.traversable(root), binaries.works(install)
    place = None if reaches_data and reaches_programs else binaries.make_place()
    try:
        if place is not None and not reaches_programs:
            install = binaries.copy_into(place)
            if not binaries.works(install):
                raise DatabaseError(
                    f"The Postgres copied to {install} does not run. Set HOMEREC_DATABASE_URL."
                )
        if place is not None and not reaches_data:
            root = place / "postgres"
        state = State(
            root=str(root), install=str(install), place=None if place is None else str(place)
        )
        return write_state(settings, state)
    except BaseException:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        raise


def _placed_again(settings: Settings, state: State) -> State:
    """Find the programs anew when the environment they were in has moved."""
    if (state.bin / "postgres").exists():
        return state
    install = binaries.packaged()
    if binaries.works(install):
        return write_state(settings, replace(state, install=str(install)))
    place = (
        Path(state.place) if state.place and Path(state.place).is_dir() else binaries.make_place()
    )
    install = binaries.copy_into(place)
    return write_state(settings, replace(state, install=str(install), place=str(place)))


def _check_version(state: State) -> None:
    version = state.data / "PG_VERSION"
    if not version.exists():
        return
    found = version.read_text(encoding="ascii").strip()
    if found != str(binaries.MAJOR):
        raise DatabaseError(
            f"The data in {state.data} is of Postgres {found}, the embedded server is "
            f"{binaries.MAJOR}. Dump it "
            "with the older one and load it, or delete the embedded database and publish again."
        )


def _start_stopped(settings: Settings, state: State, wanted: int | None) -> State:
    fixed = wanted or state.port
    port = checked(fixed) if fixed else free_port(FIRST_PORT)
    state = _initialise(settings, state)
    clear_stale_pid(state)
    deadline = time.monotonic() + ORPHANS_TIMEOUT_S
    while True:
        problem = _launch(state, port)
        if problem is None:
            return write_state(settings, replace(state, port=port))
        if "is still in use" in problem and time.monotonic() < deadline:
            # Children of a server that was killed take a moment to notice.
            time.sleep(0.3)
        elif "Address already in use" in problem and not fixed:
            port = free_port(port + 1)
        else:
            raise DatabaseError(
                f"The embedded Postgres does not start on port {port}; {state.log} ends: {problem}"
            )


def _initialise(settings: Settings, state: State) -> State:
    """Make the data folder under another name and rename it: it is whole or absent."""
    if state.initialised:
        if not (state.data / "global" / "pg_control").exists():
            raise DatabaseError(
                f"The data folder {state.data} is no longer complete. Restore it from a backup, "
                "or delete the "
                "embedded database and publish again."
            )
        return state
    root, unfinished = Path(state.root), Path(state.root) / "data.unfinished"
    for leftover in (unfinished, state.data):
        shutil.rmtree(leftover, ignore_errors=True)
    root.mkdir(parents=True, exist_ok=True)
    binaries.give_to_service_user(root, 0o700)
    password = root / "initdb.password"
    password.touch(mode=0o600)
    password.write_text(
        secrets.ensure_secrets(settings, secrets.SUPERUSER)[secrets.SUPERUSER], encoding="ascii"
    )
    binaries.give_to_service_user(password, 0o600)
    try:
        result = binaries.run(
            state.bin / "initdb",
            [
                *("-D", str(unfinished), "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8"),
                *(
                    "--auth-host=scram-sha-256",
                    "--auth-local=scram-sha-256",
                    f"--pwfile={password}",
                ),
            ],
        )
    finally:
        password.unlink()
    if result.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise DatabaseError(f"initdb in {unfinished} failed: {result.stderr.strip()[-800:]}")
    unfinished.rename(state.data)
    return write_state(settings, replace(state, initialised=True))


def _launch(state: State, port: int) -> str | None:
    """Start the server, wait until it accepts connections; return what went wrong, if anything."""
    length = state.log.stat().st_size if state.log.exists() else 0
    settings = " ".join(f"-c {name}='{value}'" for name, value in OPTIONS.items())
    result = binaries.run(
        state.bin / "pg_ctl",
        [
            *("-D", str(state.data), "-w", "-t", str(START_TIMEOUT_S), "-l", str(state.log)),
            *("-o", f"-p {port} {settings}", "start"),
        ],
        timeout_s=START_TIMEOUT_S + 30,
    )
    if result.returncode == 0:
        return None
    if not state.log.exists():
        return result.stderr.strip()
    with state.log.open("rb") as stream:
        stream.seek(length)
        return stream.read()[-1500:].decode("utf-8", "replace").strip() or result.stderr.strip()
