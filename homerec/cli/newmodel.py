"""The command that begins a new model."""

import argparse
from datetime import UTC, datetime
from typing import Any

from homerec.columns import ITEM_TYPES
from homerec.settings import Settings

_NEW_MODEL = """\
Write a new model into the project: the one file in homerec/models that makes it a model, its test,
its page of the docs and a first experiment. Its DAG, its shelf and its rows in every list appear by
themselves. --remove takes the files out of the project again, into removed/ in the data folder."""


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    new = commands.add_parser(
        "new-model",
        help="write a new model's files, or remove them",
        description=_NEW_MODEL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    new.add_argument("name", metavar="NAME", help="such as albums or morning_news")
    new.add_argument("--shelf", metavar="TITLE", help="what listeners read above the cards")
    new.add_argument(
        "--type",
        action="append",
        metavar="TYPE",
        help=f"{', '.join(ITEM_TYPES)}; may be given several times (default: show)",
    )
    new.add_argument("--dry-run", action="store_true", help="write nothing, show what would be")
    new.add_argument("--remove", action="store_true", help="take the files that it made away")
    new.set_defaults(run=_new_model)


def _new_model(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.home.rules import EDITORIAL_POSITION, RULES
    from homerec.models.scaffold import draft, removable, remove, write

    name = arguments.name
    if arguments.remove:
        kept = settings.home / "removed" / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        paths = removable(name) if arguments.dry_run else remove(name, kept)
        verb = "Would remove" if arguments.dry_run else "Removed"
        print(f"{verb}, into {kept}:", *(f"  {path}" for path in paths), sep="\n")
        print(
            "\nThe next night makes pages without its shelf; until then the live release shows it. "
            "Its\nversions stay in MLflow."
        )
        return 0
    model = draft(
        name,
        shelf=arguments.shelf,
        types=tuple(arguments.type or ("show",)),
        reserved=[rule.name for rule in RULES],
        positions=[EDITORIAL_POSITION, *(rule.position for rule in RULES)],
    )
    if arguments.dry_run:
        for path, text in model.files.items():
            print(f"--- {path}\n{text}")
        print("Nothing was written.")
        return 0
    write(model)
    print("Written:", *(f"  {path}" for path in model.files), sep="\n")
    print(
        f"""
What to do next
  1. Read homerec/models/{name}.py: sources, features, thresholds.
  2. make .venv/.ready-dev                       # what tests need
     .venv/bin/python -m pytest tests/unit/models/test_{name}.py tests/contracts/test_models.py
  3. homerec train {name}                        # a first version, and the gate's verdict
  4. homerec experiment experiments/{name}.yaml  # what would be better
  5. homerec night                               # "{model.shelf}" is on every Home
Without a champion the shelf is filled by its baseline, and the release is marked degraded.
To undo it: homerec new-model {name} --remove"""
    )
    return 0
