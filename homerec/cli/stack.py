"""Commands for the Airflow stack: up, down, status, logs."""

import argparse
import os
from typing import Any

from homerec.cli.common import Progress, table
from homerec.settings import Settings


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    up = commands.add_parser("up", help="start Postgres and Airflow, and run the main job by them")
    up.add_argument("--no-job", action="store_true", help="only start: no demo world, no run")
    up.set_defaults(run=_up)
    commands.add_parser("down", help="stop Airflow and Postgres").set_defaults(run=_down)
    commands.add_parser("status", help="say what runs").set_defaults(run=_status)
    logs = commands.add_parser("logs", help="the last lines that Airflow's processes wrote")
    logs.add_argument("component", nargs="?", help="api-server, scheduler, dag-processor, ...")
    logs.add_argument("-n", type=int, default=20, metavar="LINES", help="lines of each")
    logs.set_defaults(run=_logs)


def _up(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.cli.serving import print_home
    from homerec.release.reading import example_listener
    from homerec.stack.config import admin_password
    from homerec.stack.run import main_job, up

    if arguments.config:
        # The tasks run in other processes; they are to read the same file.
        os.environ["HOMEREC_CONFIG"] = str(arguments.config.resolve())
    progress = Progress(arguments.quiet)
    config = up(settings, progress, world=not arguments.no_job)
    if not arguments.no_job:
        as_of = main_job(settings, config, progress)
        print()
        listener = example_listener(settings)
        print_home(settings, listener)
        print('As a backend:  psql "$(.venv/bin/homerec db url reader)"')
        print(f"A night by hand: trigger nightly with as_of {as_of}; the events end the day before")
    print(f"The web UI:    {config.url}")
    print(f"Log in as:     admin, password {admin_password(settings)}")
    print(f"               (kept in {config.passwords_file}; viewer may only look)")
    print("Stop it all:   make down")
    return 0


def _down(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.stack.run import down

    stopped = down(settings)
    print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")
    return 0


def _status(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.database.embedded import status
    from homerec.stack.config import COMPONENTS, read_config
    from homerec.stack.processes import pid_of

    config = read_config(settings)
    pids = {c: pid_of(config, c) if config else None for c in COMPONENTS}
    rows = [(c, f"runs (pid {pid})" if pid else "stopped") for c, pid in pids.items()]
    postgres = status(settings)
    rows.insert(0, ("postgres", f"runs (pid {postgres.pid})" if postgres.running else "stopped"))
    print(table(("part", "state"), rows))
    if config and all(pids.values()):
        print(f"The web UI: {config.url}")
    return 0 if postgres.running and all(pids.values()) else 3


def _logs(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.errors import StackError
    from homerec.stack.config import COMPONENTS, read_config
    from homerec.stack.processes import tail

    config = read_config(settings)
    if config is None:
        raise StackError("The stack was never started here. Start it: make up")
    known = (*COMPONENTS, "migrate")
    if arguments.component and arguments.component not in known:
        raise StackError(f"There is no {arguments.component}; known are {', '.join(known)}.")
    for component in [arguments.component] if arguments.component else known:
        print(f"==> {config.log_file(component)}")
        print(tail(config.log_file(component), arguments.n))
    return 0
