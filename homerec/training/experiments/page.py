"""An experiment as one HTML page with drawings."""

from collections.abc import Sequence
from typing import Final

from homerec.report import plots
from homerec.report.html import (
    Block,
    Drawing,
    Fact,
    Facts,
    Figures,
    Heading,
    Page,
    Section,
    Table,
    Text,
)
from homerec.training.experiments.comparing import Row
from homerec.training.experiments.keeping import Record
from homerec.training.experiments.measures import shown
from homerec.training.experiments.planning import BASELINE, CHAMPION
from homerec.training.experiments.rendering import (
    cells_of,
    header,
    interval_text,
    looks_text,
    values_text,
    windows_text,
)

#: Lines of a drawing; the table has all.
_DRAWN: Final = 25
#: A parameter whose values span more than this factor is drawn on a logarithmic scale.
_WIDE: Final = 20


def experiment_page(record: Record) -> Page:
    """Draw an experiment on one page; nothing of a single listener is on it."""
    page = Page(
        f"Experiment {record.name}",
        f"{record.model} · {record.n_configurations} configurations tried · {record.created_at}",
    )
    page.sections = [_summary(record), _validation(record)]
    if record.winner is not None and record.test_rows:
        page.sections.append(_test(record))
    parameters = _parameters(record)
    if parameters:
        page.sections.append(Section("Parameters", parameters))
    failures = [row for row in record.rows if row.error]
    if failures:
        rows = [(row.name, values(row), row.error) for row in failures]
        page.sections.append(Section("Failures", [Table(("", "what", "why"), rows)]))
    lines = [(number, line) for number, line in enumerate(record.text.splitlines(), start=1)]
    page.sections.append(Section("The file", [Table(("line", "text"), lines)]))
    return page


def values(row: Row) -> str:
    """Write what a failed configuration changes."""
    return ", ".join(f"{k}={v}" for k, v in row.values.items())


def _summary(record: Record) -> Section:
    best = _row(record.rows, record.winner)
    whom = CHAMPION if record.champion else BASELINE
    interval = best.against.get(whom) if best else None
    tested = record.test_intervals.get(whom)
    facts = [
        Fact("configurations tried", str(record.n_configurations)),
        Fact("failed", str(record.n_failed), "bad" if record.n_failed else ""),
        Fact("winner", record.winner or "none"),
        Fact(f"to the {whom}, on validation", interval_text(interval)),
        Fact(
            f"to the {whom}, on test",
            interval_text(tested),
            "good" if tested and tested.low > 0 else "warn",
        ),
    ]
    blocks: list[Block] = [Facts(facts)]
    if record.about:
        blocks.append(Text(record.about))
    blocks += [
        Text(
            f"Every configuration was fitted and judged on the validation window: "
            f"{windows_text(record.validation)}. The one with the best {record.metrics[0]} was "
            f"then fitted anew and judged once on the test window, {windows_text([record.test])}, "
            "which chose nothing. The winner of many looks better on validation than it is; the "
            "test window tells."
        ),
        Text(
            "Intervals hold 95% of the paired bootstrap over listeners; differences are those of "
            f"{record.metrics[0]}. Seeds: {', '.join(map(str, record.seeds))}; a listener's value "
            "is the mean over them.",
            quiet=True,
        ),
    ]
    if record.champion:
        blocks.append(Text(f"Compared with {record.champion}."))
    if record.earlier_looks:
        blocks.append(Text(looks_text(record)))
    return Section("Summary", blocks)


def _validation(record: Record) -> Section:
    rows = [cells_of(record, row) for row in record.rows]
    blocks: list[Block] = []
    against = CHAMPION if any(CHAMPION in r.against for r in record.rows) else BASELINE
    drawn = [
        (row.name, found.mean, found.low, found.high)
        for row in record.rows
        # The baseline lies so far off that nothing else could be told apart.
        if row.name != BASELINE and (found := row.against.get(against)) is not None
    ][:_DRAWN]
    if drawn:
        title = f"Difference to the {against}, the best {len(drawn)}"
        svg = plots.spans(drawn, label=record.metrics[0], mark=record.winner or "")
        blocks.append(Figures([Drawing(title, svg)], 520))
    blocks.append(Table(header(record), rows))
    return Section("Validation", blocks)


def _test(record: Record) -> Section:
    rows = [
        (
            f"{row.name}{' (winner)' if row.name == record.winner else ''}",
            *(shown(row.means.get(m)) for m in record.metrics),
            interval_text(record.test_intervals.get(row.name)),
            values_text(row),
        )
        for row in record.test_rows
    ]
    blocks: list[Block] = [Table(("", *record.metrics, "winner's difference", "what"), rows)]
    if record.segment_rows:
        blocks.append(Heading("By segment"))
        for who in dict.fromkeys(s.who for s in record.segment_rows):
            drawn = [
                (s.segment, s.difference.mean, s.difference.low, s.difference.high)
                for s in record.segment_rows
                if s.who == who
            ]
            svg = plots.spans(drawn, label=record.metrics[0])
            blocks.append(Figures([Drawing(f"The winner's difference to {who}", svg)], 520))
        found = [
            (s.segment, s.who, s.n, f"{s.mean:.4f}", f"{s.theirs:.4f}", interval_text(s.difference))
            for s in record.segment_rows
        ]
        blocks.append(Table(("segment", "against", "n", "winner", "other", "difference"), found))
        blocks.append(
            Text(
                "Intervals of single segments are not corrected for their number: of twenty, one "
                "leaves out the truth.",
                quiet=True,
            )
        )
    return Section("Test", blocks)


def _parameters(record: Record) -> list[Block]:
    """Draw the deciding metric against each parameter that took several numbers."""
    fine = [row for row in record.rows if row.values and not row.error]
    metric, drawings, texts = record.metrics[0], [], []
    for name in sorted({key for row in fine for key in row.values}):
        has = [(row.values[name], row) for row in fine if name in row.values]
        if len({str(value) for value, _ in has}) < 2:
            continue
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v, _ in has):
            numbers = [float(v) for v, _ in has]
            svg = plots.dots(
                [(float(v), row.means[metric]) for v, row in has],
                x=name,
                y=metric,
                marked=[(float(v), r.means[metric]) for v, r in has if r.name == record.winner],
                logarithmic=min(numbers) > 0 and max(numbers) > _WIDE * min(numbers),
            )
            drawings.append(Drawing(name, svg))
        else:
            texts.append(_by_value(name, has, metric))
    blocks: list[Block] = [Figures(drawings, 300)] if drawings else []
    return blocks + texts


def _by_value(name: str, has: Sequence[tuple[object, Row]], metric: str) -> Table:
    groups: dict[str, list[float]] = {}
    for value, row in has:
        groups.setdefault(str(value), []).append(row.means[metric])
    rows = [
        (value, len(found), f"{sum(found) / len(found):.4f}", f"{max(found):.4f}")
        for value, found in groups.items()
    ]
    return Table((name, "configurations", f"mean {metric}", f"best {metric}"), rows)


def _row(rows: Sequence[Row], name: str | None) -> Row | None:
    return next((row for row in rows if row.name == name), None)
