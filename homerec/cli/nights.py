"""Commands for nights: night, releases."""

import argparse
from typing import Any

from homerec.cli.common import Progress, add_as_of, current_user, resolve_as_of, table
from homerec.settings import Settings


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    night = commands.add_parser("night", help="compute and publish every listener's Home")
    add_as_of(night)
    night.add_argument("--models", nargs="+", metavar="MODEL", help="default: all")
    night.add_argument("--no-publish", action="store_true", help="leave the bundle in its folder")
    night.add_argument(
        "--force-older",
        action="store_true",
        help="make it live even if it is older than the live release",
    )
    night.set_defaults(run=_night)

    releases = commands.add_parser("releases", help="list releases; roll back, resume, drop old")
    actions = releases.add_subparsers(dest="action", metavar="ACTION")
    releases.set_defaults(run=_list)
    actions.add_parser("list", help="newest first").set_defaults(run=_list)
    back = actions.add_parser("rollback", help="make an earlier release live, and hold it there")
    back.add_argument("--to", type=int, metavar="RELEASE", help="default: the one before")
    back.add_argument("--reason", required=True, help="why; it is kept")
    back.add_argument("--who", default=current_user(), help="default: the user who runs this")
    back.set_defaults(run=_rollback)
    resume = actions.add_parser("resume", help="lift the hold: the next night goes live again")
    resume.add_argument("--who", default=current_user())
    resume.set_defaults(run=_resume)
    keep = actions.add_parser("keep", help="drop the Homes of all but the newest N releases")
    keep.add_argument("n", type=int, metavar="N")
    keep.set_defaults(run=_keep)


def _night(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.night import run_night

    report = run_night(
        settings,
        resolve_as_of(settings, arguments.as_of),
        models=arguments.models,
        publish_release=not arguments.no_publish,
        force_older=arguments.force_older,
        progress=Progress(arguments.quiet),
    )
    print(report.render())
    return 0


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.release import releases

    rows = [
        (
            r.release_id,
            r.as_of,
            r.status + (" (degraded)" if r.degraded else ""),
            f"{r.counts.get('listeners', 0):,}" if r.counts else "",
            f"{r.created_at:%Y-%m-%d %H:%M}",
            r.note or "; ".join(r.reasons),
        )
        for r in releases(settings)
    ]
    header = ("release", "as_of", "status", "listeners", "created (UTC)", "note")
    print(table(header, rows) if rows else "No release yet. Make one: homerec night")
    return 0


def _rollback(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.release import rollback

    info = rollback(settings, arguments.to, who=arguments.who, why=arguments.reason)
    print(f"Release {info.release_id} (as of {info.as_of}) is live, and held there.")
    print("Nights go on but do not go live until: homerec releases resume")
    return 0


def _resume(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.release import resume

    was_held = resume(settings, who=arguments.who)
    print("The hold is lifted: the next night goes live." if was_held else "There was no hold.")
    return 0


def _keep(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.release import keep

    dropped = keep(settings, arguments.n)
    named = ", ".join(str(number) for number in dropped) or "none"
    print(f"Dropped the Homes of releases: {named}")
    return 0
