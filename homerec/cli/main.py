"""The entry point: parse, run one command, say errors as one readable message."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from homerec import __version__
from homerec.cli import (
    data,
    database,
    editors,
    experiments,
    keeping,
    models,
    newmodel,
    nights,
    serving,
    stack,
)
from homerec.errors import HomerecError, TransientError
from homerec.settings import load_settings

#: Exit codes: 1 for an error that homerec explains, 75 (EX_TEMPFAIL) for one worth a retry.
_FAILED: Final = 1
_TRY_AGAIN: Final = 75


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="homerec",
        description="Precompute every listener's Home page, night after night.",
        epilog="`homerec COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"homerec {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="TOML", help="settings file (default: homerec.toml)"
    )
    parser.add_argument("--home", type=Path, metavar="DIR", help="data folder (default: ./var)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens inside")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress lines")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (
        data, models, experiments, newmodel, nights, serving, editors, keeping, database, stack,
    ):  # fmt: skip
        module.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 when it did what was asked; 1 with a message on standard error when it could not, 75 when
        the same call may succeed later; 2 for wrong arguments.
    """
    # implicit runs its own threads; BLAS threads inside them would fight for the same cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Waiting OpenMP threads spin by default: beside other work that makes a fit ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    try:
        environ = dict(os.environ)
        if arguments.home:
            environ["HOMEREC_HOME"] = str(arguments.home)
        settings = load_settings(arguments.config, environ)
        return int(arguments.run(settings, arguments) or 0)
    except TransientError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return _TRY_AGAIN
    except HomerecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return _FAILED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept; run the command again.", file=sys.stderr)
        return 130
