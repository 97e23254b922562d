"""The parts of the command that read real data: told where it lies, they report as text."""

from pathlib import Path

from homerec.bench.quality.command import Options
from homerec.bench.quality.real_runs import bench_settings, run_amazon, run_lastfm
from homerec.bench.report import say
from homerec.errors import EmptyInput


def lastfm(options: Options) -> str:
    """Measure on lastfm-2k; see :func:`homerec.bench.quality.real_runs.run_lastfm`."""
    settings = bench_settings(options.settings)
    return run_lastfm(settings, _data(options), options.work, say).render()


def amazon(options: Options) -> str:
    """Measure on amazon-digital-music; see :func:`homerec.bench.quality.real_runs.run_amazon`."""
    settings = bench_settings(options.settings)
    return run_amazon(settings, _data(options), options.work, say).render()


def _data(options: Options) -> Path:
    if options.data is None:
        raise EmptyInput(
            "Real data is read, not made: say where it lies with --data DIR, the folder that holds "
            "lastfm-2k and amazon-digital-music (docs/real-data.md)."
        )
    return options.data
