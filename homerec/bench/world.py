"""The simulated world: events a second, written as Parquet."""

from homerec.bench.report import Line, Result
from homerec.bench.workbench import Workbench


def run(bench: Workbench) -> Result:
    """Measure events/s simulated and written, the time to set up and compile apart."""
    measured = bench.world
    report = measured.value
    seconds = report.seconds - report.compile_seconds
    return Result(
        "world",
        (
            Line("simulate and write", "events/s", report.events / seconds, more_is_better=True),
            Line("simulate and write", "s", seconds),
            Line("set up, compile", "s", report.compile_seconds),
            Line("peak memory", "MiB", measured.peak_mib),
        ),
        (f"{report.events:,} events, {report.impressions:,} impressions, {report.items:,} items.",),
    )
