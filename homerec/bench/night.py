"""The whole night: every step from the snapshot to the pointer, after a training."""

from homerec.bench.report import Line, Result
from homerec.bench.workbench import Workbench
from homerec.errors import BenchmarkError

_GOAL_SECONDS = "under 90 at 100,000"
_GOAL_MEMORY = "under 4,096 at 100,000"


def run(bench: Workbench) -> Result:
    """Measure wall time by step and peak memory; the trainings are a benchmark of their own.

    Raises
    ------
    BenchmarkError
        The night's release did not go live: it is not a whole night.
    """
    night = bench.night
    report = night.value
    lines = [Line(f"night: {step}", "s", value) for step, value in report.seconds.items()]
    lines.append(Line("night, from snapshot to pointer", "s", night.seconds))
    lines.append(Line("night, CPU", "s", night.cpu_seconds))
    lines.append(Line("ingest and night", "s", bench.ingested.seconds + night.seconds, None,
                      _GOAL_SECONDS))  # fmt: skip
    lines.append(Line("night, peak memory", "MiB", night.peak_mib, None, _GOAL_MEMORY))
    events = bench.ingested.value.tables["events"].written
    modes = ", ".join(f"{model.model} {model.mode}" for model in report.plan.models)
    release = report.release
    if release is None or not release.live:
        note = release.note if release else "nothing was published"
        raise BenchmarkError(f"The release of {report.as_of} is not live: {note}.")
    return Result(
        "night",
        tuple(lines),
        (
            f"{bench.listeners:,} listeners, {events:,} events in {bench.days} days; {modes}; "
            f"release {release.release_id} passed its audit and is live. "
            "Peaks are of homerec's process, Postgres apart.",
            "Ingest is of all days at once, as on a first night; later nights ingest one day.",
        ),
    )
