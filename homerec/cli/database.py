"""Commands for Postgres: db."""

import argparse
from typing import TYPE_CHECKING, Any

from homerec.settings import Settings

if TYPE_CHECKING:
    from homerec.database.state import ServerStatus


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    database = commands.add_parser("db", help="the embedded Postgres: start, stop, status")
    actions = database.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser(
        "start", help="start it; the first time make databases, roles and schema"
    ).set_defaults(run=_start)
    actions.add_parser("stop", help="stop it").set_defaults(run=_stop)
    actions.add_parser("status", help="say whether it runs, and where").set_defaults(run=_status)
    actions.add_parser(
        "migrate", help="bring the schema up to date, also of a Postgres of your own"
    ).set_defaults(run=_migrate)
    url = actions.add_parser("url", help="print the URL of a role, its password in it")
    url.add_argument("role", choices=("app", "reader"), nargs="?", default="reader")
    url.set_defaults(run=_url)
    remove = actions.add_parser("remove", help="stop it and delete its data")
    remove.add_argument("--yes", action="store_true", required=True, help="yes, delete it")
    remove.set_defaults(run=_remove)


def _said(found: "ServerStatus") -> str:
    if not found.initialised:
        return "Postgres has no data yet. Make it: homerec db start"
    state = f"runs on 127.0.0.1:{found.port} (pid {found.pid})" if found.running else "is stopped"
    return f"Postgres {state}, data in {found.data}"


def _start(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.database.embedded import start

    print(_said(start(settings)))
    return 0


def _stop(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.database.embedded import stop

    print(_said(stop(settings)))
    return 0


def _status(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.database.embedded import status

    found = status(settings)
    print(_said(found))
    return 0 if found.running else 3


def _migrate(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.database.migrations import migrate
    from homerec.database.urls import app_url

    print(f"The schema is at {migrate(app_url(settings))}.")
    return 0


def _url(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.database.urls import app_url, reader_url

    found = app_url(settings) if arguments.role == "app" else reader_url(settings)
    # Without the driver's name, so that psql and every other client takes it.
    print(found.replace("+psycopg2", "", 1) if found else "HOMEREC_READER_URL is not set.")
    return 0 if found else 1


def _remove(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.database.embedded import remove

    remove(settings)
    print("The embedded Postgres and its data are gone.")
    return 0
