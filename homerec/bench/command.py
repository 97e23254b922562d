"""The command ``python -m homerec.bench``: which benchmarks, at what size, printed as they end."""

import argparse
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from homerec.bench import features, ingest, night, publish, read, topk, training, world
from homerec.bench.measuring import calm_threads
from homerec.bench.report import Result, conditions
from homerec.bench.workbench import DEFAULT_DAYS, DEFAULT_LISTENERS, Workbench
from homerec.errors import HomerecError
from homerec.settings import load_settings

#: In the order in which they run.
BENCHMARKS: Final[dict[str, Callable[[Workbench], Result]]] = {
    "world": world.run,
    "ingest": ingest.run,
    "features": features.run,
    "topk": topk.run,
    "training": training.run,
    "night": night.run,
    "publish": publish.run,
    "read": read.run,
}
#: The label windows of training need them.
_MIN_DAYS: Final = 46


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m homerec.bench",
        description="Measure homerec against the naive way, in one run, on a world of its own.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks (default: all)")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument(
        "--listeners", type=_at_least(1000), default=DEFAULT_LISTENERS, help="default: %(default)s"
    )
    parser.add_argument(
        "--days", type=_at_least(_MIN_DAYS), default=DEFAULT_DAYS, help="default: %(default)s"
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="folder for the temporary deployment (default: tmp in the data folder)",
    )
    parser.add_argument("--config", type=Path, metavar="TOML", help="settings file")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value}, at least {least} is needed")
        return value

    return integer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns
    -------
    int
        0 when every benchmark ran, 1 when one did not or its two ways differ, 2 for wrong
        arguments.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.list:
        for name, benchmark in BENCHMARKS.items():
            summary = (sys.modules[benchmark.__module__].__doc__ or "").partition("\n")[0]
            print(f"{name:<10}{summary}")
        return 0
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; known are {', '.join(BENCHMARKS)}")
    calm_threads()
    # A terminated run removes its database as an interrupted one does.
    signal.signal(signal.SIGTERM, _stop)
    try:
        return _run(arguments)
    except HomerecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; what it made is removed.", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments.config)
    chosen = [name for name in BENCHMARKS if not arguments.names or name in arguments.names]
    failed = 0
    began = time.perf_counter()
    sizes = f"{arguments.listeners:,} listeners, {arguments.days} days, seed {settings.seed}"
    print(conditions(sizes), end="\n\n", flush=True)
    with Workbench.make(settings, arguments.listeners, arguments.days, arguments.work) as bench:
        for name in chosen:
            try:
                print(BENCHMARKS[name](bench).render(), end="\n\n", flush=True)
            except HomerecError as error:
                # The others may still say something.
                failed += 1
                print(f"{name}\nFAILED, {type(error).__name__}: {error}", end="\n\n", flush=True)
    print(f"all took {time.perf_counter() - began:.0f} s")
    return 1 if failed else 0


def _stop(*signal_and_frame: object) -> NoReturn:
    del signal_and_frame
    for child in multiprocessing.active_children():
        # Else the end of a training would be waited for.
        child.terminate()
    raise KeyboardInterrupt
