"""Commands for what backends read: home."""

import argparse
from datetime import datetime
from typing import Any

import pandas as pd

from homerec.cli.common import parse_moment, table
from homerec.errors import ReleaseError
from homerec.settings import Settings


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    home = commands.add_parser("home", help="print a listener's Home, as a backend reads it")
    home.add_argument("listener", nargs="?", metavar="LISTENER", help="default: some listener")
    home.add_argument("--moment", type=parse_moment, help="instant it is read at (default: now)")
    home.add_argument("--market", help="two letters, for a listener that is not known")
    home.add_argument("--rows", action="store_true", help="every column of every card")
    home.set_defaults(run=_home)


def _home(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.release.reading import example_listener

    listener = arguments.listener or example_listener(settings)
    print_home(settings, listener, arguments.moment, arguments.market, rows=arguments.rows)
    return 0


def print_home(
    settings: Settings,
    listener: str,
    moment: datetime | None = None,
    market: str | None = None,
    *,
    rows: bool = False,
) -> None:
    """Print a listener's Home: shelves and cards, or every column of every card.

    Raises
    ------
    ReleaseError
        There is no live release.
    """
    from homerec.release import home

    cards = home(settings, listener, moment, market)
    if cards.empty:
        raise ReleaseError("There is no live release to read from. Make one: homerec night")
    if rows:
        told = cards.assign(sources=cards["sources"].map(", ".join))
        print(table(list(told.columns), told.itertuples(index=False)))
        return
    print(f"Home of {listener}, release {cards['release_id'].iloc[0]}", end="")
    print(f" as of {cards['as_of'].iloc[0]}")
    for _, shelf in cards.groupby("shelf_position", sort=True):
        print(f"\n{shelf['shelf_title'].iloc[0]}")
        print(_cards(shelf))
    quoted = listener.replace("'", "''")
    print(f"\nThe query:     SELECT * FROM home('{quoted}');")  # noqa: S608 - for people to copy


def _cards(shelf: pd.DataFrame) -> str:
    rows = [
        (f"  {place}.", title, kind, reason if isinstance(reason, str) else "")
        for place, title, kind, reason in zip(
            shelf["card_position"],
            shelf["item_title"],
            shelf["item_type"],
            shelf["reason"],
            strict=True,
        )
    ]
    return table(("", "", "", ""), rows).lstrip("\n")
