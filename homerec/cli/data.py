"""Commands for data: world, ingest, features."""

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import Any

from homerec.cli.common import Progress, add_as_of, parse_date, parse_moment, resolve_as_of, table
from homerec.lake import Lake
from homerec.settings import Settings

_INGEST = """\
Bring rows into the lake. What a source calls its columns, and where they go, stands in a mapping
file; config/mappings/README.md describes it. SOURCE is one of

  a folder, or one file in it       /data/log, /data/log/events/monday.csv.gz
  a URI that fsspec can open        s3://bucket/prefix, gs://bucket/prefix, memory://folder
  a database's SQLAlchemy URL       postgresql+psycopg2://reader@host/log

and without one the inbox is read or, for queries, the database whose URL stands in the environment
variable that the mapping names (url_env). A password on a command line can be seen by other users:
prefer the variable. Credentials for S3 come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or
AWS_PROFILE), another endpoint from AWS_ENDPOINT_URL.

The same rows again change nothing, and a file that the lake holds already is skipped. On any error
the lake stays as it was."""


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

    ingest = commands.add_parser(
        "ingest",
        help="bring files or a database's rows into the lake, through a mapping",
        description=_INGEST,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ingest.add_argument(
        "source", nargs="?", help="folder, file, URI or SQLAlchemy URL (default: the inbox)"
    )
    ingest.add_argument(
        "--mapping",
        default="homerec",
        help="mapping file, or a name in config/mappings (default: homerec)",
    )
    ingest.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing; show the first rows as the mapping makes them, each broken rule with "
        "an example, what is assumed, and the source's columns that are not mapped",
    )
    ingest.add_argument("--rows", type=int, default=10, help="rows that a dry run shows")
    ingest.add_argument(
        "--set-aside-files", action="store_true", help="go on without unreadable files"
    )
    ingest.add_argument(
        "--again", action="store_true", help="read also the files that the lake holds already"
    )
    ingest.add_argument(
        "--since",
        type=parse_moment,
        metavar="MOMENT",
        help="value of :since in queries (default: shortly before the newest row of the lake)",
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
    from homerec.report import report_ingest

    hide_in_process_list(arguments.source)
    if arguments.dry_run:
        found = dry_run(
            settings, arguments.source, arguments.mapping, arguments.rows, since=arguments.since
        )
        print(found.render())
        return 0
    report = ingest(
        settings,
        source=arguments.source,
        mapping=arguments.mapping,
        now=arguments.now,
        set_aside_files=arguments.set_aside_files,
        again=arguments.again,
        since=arguments.since,
        progress=Progress(arguments.quiet),
    )
    print(report.render())
    problem = report_ingest(settings, report.ingest_id)
    print(problem or f"What it brought: homerec report ingest {report.ingest_id}")
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


def hide_in_process_list(source: str | None) -> None:
    """Take the password of a source that was typed as an argument out of this process's title.

    Raises
    ------
    SourceError
        The source is no URL that could be read.
    """
    from homerec.ingest.sources import shown

    if source is None or source not in sys.argv or shown(source) == source:
        return
    # It comes with Airflow, which titles its own processes with it.
    from setproctitle import setproctitle

    setproctitle(" ".join(shown(source) if word == source else word for word in sys.argv))


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
