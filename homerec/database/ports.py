"""The embedded server's port: asked for, remembered, or found."""

import os
import socket

from homerec.errors import DatabaseError, SettingsError

HOST = "127.0.0.1"
FIRST_PORT = 55432
PORT_VARIABLE = "HOMEREC_DB_PORT"


def wanted_port() -> int | None:
    """Port that the environment asks for.

    Raises
    ------
    SettingsError
        It is not a port that an ordinary user may open.
    """
    given = os.environ.get(PORT_VARIABLE)
    if not given:
        return None
    if not given.isdigit() or not 1024 <= int(given) <= 65535:
        raise SettingsError(f"{PORT_VARIABLE} is {given!r}, a port from 1024 to 65535 is needed.")
    return int(given)


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Postgres does: a port in TIME_WAIT after a restart is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def checked(port: int) -> int:
    """Return ``port`` when it is free.

    Raises
    ------
    DatabaseError
        It is taken.
    """
    if not is_free(port):
        raise DatabaseError(
            f"Port {port} on {HOST} is taken by another process, the embedded Postgres cannot use "
            "it. Stop that "
            f"process, or choose another port: {PORT_VARIABLE}={port + 1} homerec db start."
        )
    return port


def free_port(first: int) -> int:
    """Return the first free port from ``first`` on, of the next 200.

    Raises
    ------
    DatabaseError
        All are taken.
    """
    for port in range(first, min(first + 200, 65536)):
        if is_free(port):
            return port
    raise DatabaseError(f"No port from {first} to {first + 199} is free. Set {PORT_VARIABLE}.")
