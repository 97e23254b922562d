"""Commands for what is kept: report, housekeeping, forget."""

import argparse
import sys
from pathlib import Path
from typing import Any

from homerec.cli.common import Progress, parse_date
from homerec.errors import SettingsError
from homerec.settings import Settings


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    report = commands.add_parser("report", help="what an ingest brought, what a snapshot holds")
    _html_argument(report)
    report.set_defaults(run=_report, what="both")
    kinds = report.add_subparsers(dest="kind", metavar="KIND")
    one = kinds.add_parser("ingest", help="one ingest (default: the newest)")
    one.add_argument("ingest_id", nargs="?", metavar="ID")
    _html_argument(one)
    one.set_defaults(run=_report, what="ingest")
    one = kinds.add_parser("snapshot", help="one snapshot (default: the newest)")
    one.add_argument("as_of", nargs="?", type=parse_date, metavar="DATE")
    _html_argument(one)
    one.set_defaults(run=_report, what="snapshot")

    housekeeping = commands.add_parser(
        "housekeeping", help="remove what is older than the settings say and nothing needs"
    )
    housekeeping.add_argument("--dry-run", action="store_true", help="say what would be removed")
    housekeeping.set_defaults(run=_housekeeping)

    forget = commands.add_parser(
        "forget", help="remove listeners from everything homerec owns, for good"
    )
    forget.add_argument("listeners", nargs="*", metavar="LISTENER_ID", help="as it was ingested")
    forget.add_argument("--file", type=Path, metavar="FILE", help="more ids, one a line")
    forget.add_argument("--reason", default="", help="why; kept, so it must not name the listener")
    forget.add_argument("--dry-run", action="store_true", help="say what would be removed")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    forget.add_argument(
        "--mapping",
        action="append",
        default=[],
        help="mapping of a past ingest that is not in config/mappings any more",
    )
    forget.set_defaults(run=_forget)


def _html_argument(parser: argparse.ArgumentParser) -> None:
    # A default here would overwrite what was given before the kind.
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="write a page with drawings, into a folder that is there",
    )


def _report(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.report import (
        has_snapshot,
        ingest_report,
        newest_ingest,
        newest_snapshot,
        snapshot_before,
        snapshot_report,
    )
    from homerec.report.rendering import render_ingest, render_snapshot

    file: Path | None = getattr(arguments, "html", None)
    if file is not None:
        _check_writable(file)
    ingest = snapshot = before = None
    parts = []
    if arguments.what in ("both", "ingest"):
        number = getattr(arguments, "ingest_id", None) or newest_ingest(settings)
        ingest = ingest_report(settings, number)
        parts.append(render_ingest(ingest))
    as_of = getattr(arguments, "as_of", None)
    if arguments.what == "snapshot" or (arguments.what == "both" and has_snapshot(settings)):
        snapshot = snapshot_report(settings, as_of or newest_snapshot(settings))
        before = snapshot_before(settings, snapshot)
        parts.append(render_snapshot(snapshot, before))
    if file is None:
        print("\n\n".join(parts))
        return 0
    from homerec.report.pages import data_page

    data_page(ingest, snapshot, before).write(file)
    print(f"Written: {file} ({file.stat().st_size / 1e6:.1f} MB)")
    return 0


def _check_writable(file: Path) -> None:
    """Refuse a page that nobody would find: a misspelt path, or a folder's own name."""
    if file.is_dir():
        raise SettingsError(f"{file} is a folder. Name the page, such as {file / 'report.html'}.")
    if not file.parent.is_dir():
        raise SettingsError(
            f"The folder {file.parent} of the page does not exist, so nothing was written. Make "
            "it, or name a FILE elsewhere."
        )


def _housekeeping(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.retention import retain

    progress = Progress(arguments.quiet)
    print(retain(settings, dry_run=arguments.dry_run, progress=progress).render())
    return 0


def _forget(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.forget import forget

    ids = [*arguments.listeners, *_listed(arguments.file)]
    progress = Progress(arguments.quiet)
    if arguments.dry_run or not arguments.yes:
        found = forget(
            settings, ids, dry_run=True, mappings=arguments.mapping,
            reason=arguments.reason, progress=progress,
        )  # fmt: skip
        print(found.render())
        if arguments.dry_run:
            return 0
        _confirm(len(set(ids)))
    report = forget(
        settings, ids, mappings=arguments.mapping, reason=arguments.reason, progress=progress
    )
    print(report.render())
    return 0


def _listed(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The list of listeners {file} cannot be read: {error}.") from error
    return [line.strip() for line in lines if line.strip()]


def _confirm(n: int) -> None:
    if not sys.stdin.isatty():
        raise SettingsError(
            f"Forgetting {n} listeners cannot be undone, and nobody is there to ask. Say --yes."
        )
    if input(f"\nThis cannot be undone. Forget {n} listeners? Type yes: ").strip() != "yes":
        raise SettingsError("Nothing was changed.")
