"""Training: each model with its evaluation and the gate, the features of past dates apart."""

from typing import Final

from homerec.bench.measuring import Measured
from homerec.bench.report import Line, Result
from homerec.bench.workbench import Trained, Workbench
from homerec.errors import BenchmarkError

_GOAL_SECONDS: Final = "minutes at 100,000"
_GOAL_MEMORY: Final = "under 4,096 at 100,000"
#: Parts of a training that are told.
_LONGEST: Final = 5


def run(bench: Workbench) -> Result:
    """Measure wall and CPU seconds and peak memory of each training, and say what the gate said.

    Raises
    ------
    BenchmarkError
        A model was skipped: nothing was trained.
    """
    past = bench.past.values()
    lines = [
        Line(f"features of {len(past)} past dates", "s", sum(one.seconds for one in past)),
        Line("the same, CPU", "s", sum(one.cpu_seconds for one in past)),
        Line("the same, peak memory", "MiB", max(one.peak_mib for one in past)),
    ]
    notes = [
        f"{bench.listeners:,} listeners, {bench.ingested.value.tables['events'].written:,} events "
        f"in {bench.days} days. Peaks are of homerec's process, Postgres apart."
    ]
    for name, trained in bench.trained.items():
        lines += _figures(name, trained)
        notes += _said(name, trained)
    return Result("training", tuple(lines), tuple(notes))


def _figures(name: str, trained: Measured[Trained]) -> list[Line]:
    return [
        Line(name, "s", trained.seconds, None, _GOAL_SECONDS),
        Line(f"{name}, CPU", "s", trained.cpu_seconds),
        Line(f"{name}, peak memory", "MiB", trained.peak_mib, None, _GOAL_MEMORY),
    ]


def _said(name: str, trained: Measured[Trained]) -> list[str]:
    """Write the gate's verdict, and the parts that took most."""
    report = trained.value.report
    if report.outcome == "skipped":
        raise BenchmarkError(
            f"Model {name} was skipped, {report.reason}: there is no training to measure. Take "
            "more listeners or days."
        )
    spans = sorted(trained.value.spans, key=lambda span: -span.cpu_seconds)[:_LONGEST]
    parts = (
        f"    {span.cpu_seconds:.1f} CPU s, {span.seconds:.1f} s, peak so far "
        f"{span.peak_mib:,.0f} MiB: {span.what.removeprefix(f'train {name}: ')}"
        for span in spans
    )
    return [f"{name}: {report.outcome}. {report.reason}", *parts]
