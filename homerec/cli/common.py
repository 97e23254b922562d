"""What the commands share: dates, progress lines, tables."""

import argparse
import getpass
import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from homerec.errors import EmptyInput
from homerec.lake import Lake
from homerec.settings import Settings


def parse_date(text: str) -> date:
    """Read a date for argparse, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date; write YYYY-MM-DD") from error


def parse_moment(text: str) -> datetime:
    """Read an instant for argparse, ISO 8601; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not an instant; write YYYY-MM-DDTHH:MM, in UTC or with an offset"
        raise argparse.ArgumentTypeError(message) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def current_user() -> str:
    """Name of the user who runs this, or the number where the system knows no name (containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def add_as_of(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--as-of``."""
    parser.add_argument(
        "--as-of",
        type=parse_date,
        metavar="DATE",
        help="events before this UTC date count (default: the day after the newest event)",
    )


def resolve_as_of(settings: Settings, given: date | None) -> date:
    """Return the date given, else the day after the newest event of the lake.

    Raises
    ------
    EmptyInput
        Neither is there.
    """
    if given is not None:
        return given
    dates = Lake(settings.home).event_dates()
    if not dates:
        raise EmptyInput("The lake has no events. Ingest some: `homerec ingest`.")
    return dates[-1] + timedelta(days=1)


class Progress:
    """Lines on standard error with the seconds since the start."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._start = time.monotonic()

    def __call__(self, line: str) -> None:
        """Write a line."""
        if not self._quiet:
            elapsed = time.monotonic() - self._start
            print(f"[{elapsed:6.1f} s] {line}", file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay rows out in columns."""
    cells = [[str(value) for value in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)
