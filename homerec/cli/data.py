"""Commands for data: world, ingest, features."""

import argparse
from datetime import date
from pathlib import Path
from typing import Any

from homerec.cli.common import Progress, add_as_of, parse_date, parse_moment, resolve_as_of, table
from homerec.lake import Lake
from homerec.settings import Settings


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    world = commands.add_parser("world", help="make the demo world: a simulated audio app")
    world.add_argument("--listeners", type=int, help="how many (default: config/world.toml)")
    world.add_argument("--days", type=int, help="days of events")
    world.add_argument("--start", type=parse_date, metavar="DATE", help="first day")
    world.add_argument("--seed", type=int, help="equal seeds make equal worlds")
    world.add_argument("--out", type=Path, metavar="DIR", help="default: the inbox")
    world.add_argument("--parameters", type=Path, metavar="TOML", help="instead of the default")
    world.add_argument("--replace", action="store_true", help="replace what is in the folder")
    world.add_argument("--if-missing", action="store_true", help="do nothing if it is there")
    world.set_defaults(run=_world)

    ingest = commands.add_parser("ingest", help="bring files into the lake, through a mapping")
    ingest.add_argument("source", nargs="?", type=Path, help="folder or file (default: the inbox)")
    ingest.add_argument(
        "--mapping",
        default="homerec",
        help="mapping file, or a name in config/mappings (default: homerec)",
    )
    ingest.add_argument("--dry-run", action="store_true", help="show the first rows, write nothing")
    ingest.add_argument("--rows", type=int, default=10, help="rows that a dry run shows")
    ingest.add_argument(
        "--set-aside-files", action="store_true", help="go on without unreadable files"
    )
    ingest.add_argument("--now", type=parse_moment, help=argparse.SUPPRESS)
    ingest.set_defaults(run=_ingest)

    lake = commands.add_parser("lake", help="look after the lake's files")
    actions = lake.add_subparsers(dest="action", metavar="ACTION", required=True)
    compacting = actions.add_parser(
        "compact",
        help="make one sorted file of a date's many; recent dates grow again, so do it seldom",
    )
    compacting.add_argument("--since", type=parse_date, metavar="DATE", help="first date")
    compacting.add_argument("--until", type=parse_date, metavar="DATE", help="end, exclusive")
    compacting.add_argument(
        "--most-files", type=int, default=1, metavar="N", help="leave dates with at most N (1)"
    )
    compacting.set_defaults(run=_compact)

    features = commands.add_parser("features", help="compute and verify the snapshot of a date")
    add_as_of(features)
    features.add_argument("--rebuild", action="store_true", help="compute it anew in any case")
    features.set_defaults(run=_features)


def _world(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.world import generate

    out = arguments.out or Lake(settings.home).inbox
    if arguments.if_missing and out.is_dir() and any(out.iterdir()):
        print(f"{out} is there already.")
        return 0
    report = generate(
        out,
        listeners=arguments.listeners,
        days=arguments.days,
        start=arguments.start,
        seed=arguments.seed,
        parameters=arguments.parameters,
        replace=arguments.replace,
        progress=not arguments.quiet,
    )
    print(report.render())
    return 0


def _ingest(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.ingest import dry_run, ingest

    source = arguments.source or Lake(settings.home).inbox
    if arguments.dry_run:
        print(dry_run(settings, source, arguments.mapping, arguments.rows).render())
        return 0
    report = ingest(
        settings,
        source=source,
        mapping=arguments.mapping,
        now=arguments.now,
        set_aside_files=arguments.set_aside_files,
        progress=Progress(arguments.quiet),
    )
    print(report.render())
    return 0


def _compact(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.ingest.compaction import compact

    report = compact(
        settings,
        most_files=arguments.most_files,
        since=arguments.since or date.min,
        until=arguments.until or date.max,
        progress=Progress(arguments.quiet),
    )
    print(report.render())
    return 0


def _features(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.features.recompute import verify_snapshot
    from homerec.features.snapshot import ensure_snapshot

    as_of = resolve_as_of(settings, arguments.as_of)
    progress = Progress(arguments.quiet)
    info = ensure_snapshot(
        settings, as_of, writer="night", rebuild=arguments.rebuild, progress=progress
    )
    compared = verify_snapshot(settings, info)
    print(f"Snapshot {info.folder}, known at {info.known_at:%Y-%m-%d %H:%M} UTC")
    print(table(("table", "rows"), [(k, f"{v:,}") for k, v in info.manifest["rows"].items()]))
    print(f"{compared:,} logged rows recomputed through the training path: all equal")
    return 0
