"""Commands for editors: pin and block cards; a Home shows it at the next read."""

import argparse
from typing import Any

from homerec.cli.common import parse_moment
from homerec.settings import Settings


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    editors = commands.add_parser("editors", help="pin or block cards, effective at once")
    actions = editors.add_subparsers(dest="action", metavar="ACTION", required=True)
    pin = actions.add_parser("pin", help="put an item on an editors' shelf")
    pin.add_argument("item", metavar="ITEM", help="item id")
    pin.add_argument("--shelf", default="Editors' picks", help="title of the shelf")
    pin.add_argument("--position", type=int, default=1, help="1 is first")
    pin.add_argument("--market", help="two letters (default: all markets)")
    pin.add_argument("--from", dest="starts_at", type=parse_moment, help="default: now")
    pin.add_argument("--until", dest="ends_at", type=parse_moment, help="default: no end")
    pin.set_defaults(run=_pin)
    unpin = actions.add_parser("unpin", help="take a pinned card away")
    unpin.add_argument("card", metavar="CARD", type=int, help="number that pin printed")
    unpin.set_defaults(run=_unpin)
    block = actions.add_parser("block", help="take an item off every Home")
    block.add_argument("item", metavar="ITEM", help="item id")
    block.add_argument("--market", help="two letters (default: all markets)")
    block.add_argument("--reason", required=True, help="why; it is kept")
    block.set_defaults(run=_block)
    unblock = actions.add_parser("unblock", help="lift a block")
    unblock.add_argument("item", metavar="ITEM", help="item id")
    unblock.add_argument("--market", help="as it was blocked")
    unblock.set_defaults(run=_unblock)


def _pin(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.release.live import pin

    card = pin(
        settings,
        arguments.shelf,
        arguments.item,
        position=arguments.position,
        market=arguments.market,
        starts_at=arguments.starts_at,
        ends_at=arguments.ends_at,
    )
    print(f"Pinned as card {card}. Take it away with: homerec editors unpin {card}")
    return 0


def _unpin(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.release.live import unpin

    print("Taken away." if unpin(settings, arguments.card) else "There is no such card.")
    return 0


def _block(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.release.live import block

    block(settings, arguments.item, arguments.market, reason=arguments.reason)
    print(f"{arguments.item} is off every Home in {arguments.market or 'every market'}.")
    return 0


def _unblock(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.release.live import unblock

    was_there = unblock(settings, arguments.item, arguments.market)
    print("The block is lifted." if was_there else "There was no such block.")
    return 0
