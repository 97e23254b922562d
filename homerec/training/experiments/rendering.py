"""An experiment as text."""

from collections.abc import Sequence

from homerec.ingest.report import text_table
from homerec.registry.bootstrap import Interval
from homerec.training.experiments.comparing import Row
from homerec.training.experiments.keeping import Record
from homerec.training.experiments.measures import shown
from homerec.training.experiments.planning import BASELINE, CHAMPION


def interval_text(found: Interval | None) -> str:
    """Write a difference with its bounds."""
    if found is None:
        return "-"
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def values_text(row: Row) -> str:
    """Write what a configuration changes."""
    if row.error:
        return row.error
    told = ", ".join(f"{k}={_value(v)}" for k, v in row.values.items())
    return told or {BASELINE: "the heuristic", CHAMPION: "the version in production"}.get(
        row.name, "the model as it stands"
    )


def _value(value: object) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def header(record: Record) -> tuple[str, ...]:
    """Columns of a comparison."""
    return ("", *record.metrics, "vs baseline", "vs champion", "s", "what")


def cells_of(record: Record, row: Row) -> tuple[str, ...]:
    """Cells of one line of a comparison."""
    mark = "*" if row.name == record.winner else ""
    means = [shown(row.means.get(metric)) for metric in record.metrics]
    against = [interval_text(row.against.get(who)) for who in (BASELINE, CHAMPION)]
    state = "failed" if row.error else f"{row.seconds:.1f}"
    return (f"{row.name}{mark}", *means, *against, state, values_text(row))


def windows_text(windows: Sequence[tuple[str, str]]) -> str:
    """Write windows as days, the end not among them."""
    return ", ".join(f"{first} to before {end}" for first, end in windows)


def render(record: Record, limit: int | None = None) -> str:
    """Write an experiment for people.

    Parameters
    ----------
    record : Record
    limit : int, optional
        Lines of the comparison; the baseline, the champion and failures are always there.
    """
    lines = [
        f"Experiment {record.name} of {record.model}: {record.status}, "
        f"{record.n_configurations} configurations tried, {record.n_failed} failed; "
        f"{record.n_computed} fits made in {record.seconds:.0f} s by {record.processes} "
        f"processes, {record.n_kept} were finished before.",
        f"Chosen by {record.metrics[0]} on {windows_text(record.validation)} "
        f"(validation; seeds {', '.join(map(str, record.seeds))}).",
    ]
    if record.champion:
        lines.append(f"Compared with {record.champion}.")
    rows = record.rows
    if limit is not None:
        named = [r for r in rows if r.name not in record_others(record) and not r.error][limit:]
        rows = [r for r in rows if r not in named]
        if named:
            lines.append(f"The best {limit} are shown; {len(named)} others are in the report.")
    lines += ["", text_table(header(record), [cells_of(record, r) for r in rows])]
    if record.winner is not None and record.test_rows:
        lines += ["", *_test(record)]
    return "\n".join(lines)


def record_others(record: Record) -> tuple[str, ...]:
    """Names that are no configuration, and that of the winner."""
    return (BASELINE, CHAMPION, "current", record.winner or "")


def _test(record: Record) -> list[str]:
    lines = [
        f"The winner, {record.winner}, judged once on {windows_text([record.test])} (test; these "
        "days chose nothing):"
    ]
    if record.earlier_looks:
        lines.append(looks_text(record))
    cells = [
        (r.name, *(shown(r.means.get(m)) for m in record.metrics),
         interval_text(record.test_intervals.get(r.name)), r.error)
        for r in record.test_rows
    ]  # fmt: skip
    lines.append(text_table(("", *record.metrics, "winner's difference", ""), cells))
    if record.segment_rows:
        found = [
            (s.segment, s.who, str(s.n), f"{s.mean:.4f}", f"{s.theirs:.4f}",
             interval_text(s.difference))
            for s in record.segment_rows
        ]  # fmt: skip
        lines += [
            "",
            text_table(("segment", "against", "n", "winner", "other", "difference"), found),
        ]
    return lines


def looks_text(record: Record) -> str:
    """Warn that a test window has been used before."""
    times = "once" if record.earlier_looks == 1 else f"{record.earlier_looks} times"
    return (
        f"This test window was looked at {times} before for other configurations of "
        f"{record.model}: the more looks, the less it proves. Take a later one."
    )
