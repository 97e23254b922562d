"""The command ``python -m homerec.bench.quality``: which data, printed as it ends."""

import argparse
import importlib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from homerec.bench.measuring import calm_threads
from homerec.bench.report import say
from homerec.errors import HomerecError
from homerec.settings import Settings, load_settings

#: Seeds of demo worlds that no parameter was chosen on (101 made podcasts take two windows).
SEEDS: Final = (102, 103, 104, 105, 106)
#: Seeds of worlds that parameters may be chosen on.
TUNING_SEEDS: Final = (11, 12, 13, 14, 15, 16, 17, 18)
#: Enough for intervals that decide, in most segments too.
LISTENERS: Final = 3_000

#: Name on the command line, and the function that measures it: ``module:function``. A module is
#: imported when its name is asked for, so what one part needs is not needed for the others.
PARTS: Final[dict[str, str]] = {
    "demo": "homerec.bench.quality.demo:run_demo",
    "lastfm": "homerec.bench.quality.real:lastfm",
    "amazon": "homerec.bench.quality.real:amazon",
    "tuning": "homerec.bench.quality.tuning:run_tuning",
}
#: Parts that read data which is not made here.
OF_DATA: Final = ("lastfm", "amazon")
#: Part that answers a question of its own, and runs only when it is named.
TUNING: Final = "tuning"


@dataclass(frozen=True)
class Options:
    """What a part is told.

    Attributes
    ----------
    settings : Settings
        Threads, limits and models' parameters of the deployment at hand; its data is not used.
    work : Path
        Folder for what is made, and for finished figures.
    data : Path or None
        Folder of data sets that are not made but read.
    seeds : tuple of int
        Seeds of the demo worlds.
    listeners : int
        Listeners of each demo world.
    experiment : Path or None
        Tuning: file that says which configurations.
    source : str or None
        Tuning: judge this source alone instead of both stages.
    """

    settings: Settings
    work: Path
    data: Path | None = None
    seeds: tuple[int, ...] = SEEDS
    listeners: int = LISTENERS
    experiment: Path | None = None
    source: str | None = None


#: Measures one part, shows progress on standard error and returns its report.
Part = Callable[[Options], str]


def part(name: str) -> Part:
    """Import the function of a part.

    Raises
    ------
    ImportError
        What the part needs is not installed.
    """
    module, _, function = PARTS[name].partition(":")
    found: Part = getattr(importlib.import_module(module), function)
    return found


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m homerec.bench.quality",
        description="Measure how good the models are, against baselines, peers and the truth.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="PART",
        help=f"of {', '.join(PARTS)} (default: all that there is data for)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help=f"demo and tuning: seeds of the worlds (demo: {_listed(SEEDS)}; tuning: "
        f"{_listed(TUNING_SEEDS)})",
    )
    parser.add_argument(
        "--listeners",
        type=int,
        default=LISTENERS,
        help="demo and tuning: listeners a world (%(default)s)",
    )
    parser.add_argument(
        "--experiment",
        type=Path,
        metavar="FILE.yaml",
        help="tuning: file of an experiment, whose configurations are judged by the truth",
    )
    parser.add_argument(
        "--source", metavar="NAME", help="tuning: judge one candidate source alone, which is faster"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="real data: where it lies")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="work folder (quality in the data folder)"
    )
    parser.add_argument("--config", type=Path, metavar="TOML", help="settings file")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns
    -------
    int
        0 when every part was measured, whether or not its targets were reached; 1 when one could
        not be, 2 for wrong arguments, 130 when it was stopped.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.names) - set(PARTS))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; known are {', '.join(PARTS)}")
    if (TUNING in arguments.names) != (arguments.experiment is not None):
        parser.error("tuning needs --experiment FILE.yaml, and nothing else does")
    if arguments.source is not None and TUNING not in arguments.names:
        parser.error("--source is for tuning")
    if len(set(arguments.seeds or ())) < len(arguments.seeds or ()):
        parser.error(f"--seeds {_listed(arguments.seeds)} has a seed twice")
    if TUNING in arguments.names and (kept := sorted(set(arguments.seeds or ()) & set(SEEDS))):
        parser.error(
            f"seeds {_listed(kept)} are kept for the final figures; nothing may be tuned on them"
        )
    if arguments.listeners < 500:
        parser.error(f"--listeners {arguments.listeners}, at least 500 are needed")
    calm_threads()
    # A terminated run stops what it started, as an interrupted one does.
    signal.signal(signal.SIGTERM, _stop)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on where it was.", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments.config)
    options = Options(
        settings=settings,
        work=(arguments.work or settings.home / "quality").resolve(),
        data=arguments.data,
        listeners=arguments.listeners,
        experiment=arguments.experiment,
        source=arguments.source,
    )
    failed = 0
    usual = [n for n in PARTS if n != TUNING and (n not in OF_DATA or options.data)]
    names = arguments.names or usual
    if not arguments.names and not options.data:
        say(f"{' and '.join(OF_DATA)} are left out: --data DIR says where their data lies")
    for name in [n for n in PARTS if n in names]:
        began = time.perf_counter()
        seeds = arguments.seeds or (TUNING_SEEDS if name == TUNING else SEEDS)
        try:
            print(part(name)(replace(options, seeds=tuple(seeds))), flush=True)
        except (HomerecError, ImportError) as error:
            # The others may still say something.
            failed += 1
            print(f"{name}: FAILED, {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        print(f"\n{name} took {time.perf_counter() - began:.0f} s\n", flush=True)
    return 1 if failed else 0


def _listed(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))


def _stop(*signal_and_frame: object) -> NoReturn:
    del signal_and_frame
    raise KeyboardInterrupt
