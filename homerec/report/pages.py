"""Data reports as one HTML page with drawings."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

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
from homerec.report.rendering import (
    COLUMN_HEADER,
    FLOW_HEADER,
    Data,
    column_rows,
    flow_rows,
    ingest_counts,
    number,
    share,
    size_rows,
    volume_rows,
)

_MAX_MARKETS: Final = 7


def data_page(
    ingest: Data | None = None, snapshot: Data | None = None, before: Data | None = None
) -> Page:
    """Draw data reports on one page.

    Parameters
    ----------
    ingest, snapshot : mapping, optional
        Data reports; at least one.
    before : mapping, optional
        Data report of the snapshot before, whose distributions are outlined.
    """
    about = []
    page = Page("homerec data report")
    if ingest is not None:
        about.append(f"ingest {ingest['ingest_id']}")
        page.sections += _ingest_sections(ingest)
    if snapshot is not None:
        about.append(f"snapshot as of {snapshot['as_of']}")
        page.sections += _snapshot_sections(snapshot, before)
    page.subtitle = " · ".join(about)
    return page


def _ingest_sections(data: Data) -> list[Section]:
    flow, events = data["flow"], data["events"]
    aside = sum(f["quarantined"] for f in flow.values())
    forgotten = sum(f["forgotten"] for f in flow.values())
    read = sum(f["read"] for f in flow.values())
    facts = [
        Fact("status", data["status"], "good" if data["status"] == "done" else "bad"),
        Fact("rows read", number(read)),
        Fact("events written", number(flow.get("events", {}).get("written", 0))),
        Fact("listeners in them", number(events["listeners"][0][0] if events else 0)),
        Fact(
            "quarantined", f"{number(aside)} {share(aside, read)}".strip(), "warn" if aside else ""
        ),
    ]
    if forgotten:
        facts.append(Fact("forgotten, left out", number(forgotten)))
    whole = Section(f"Ingest {data['ingest_id']}", [Facts(facts)])
    whole.blocks.append(Table(FLOW_HEADER, [tuple(map(number, row)) for row in flow_rows(data)]))
    sections = [whole, Section("Events", _event_blocks(data))]
    quarantine = Section("Quarantine")
    if data["quarantine"]:
        named = [(f"{table}: {rule}", n) for table, rule, n in data["quarantine"]]
        quarantine.blocks = [
            Figures([Drawing("Rows set aside, by rule", plots.bars(named, label="rows"))], 520),
            Table(("table", "rule", "rows"), [(t, r, number(n)) for t, r, n in data["quarantine"]]),
        ]
    else:
        quarantine.blocks = [Text("No row broke a rule.")]
    return [*sections, quarantine, *_table_sections("Lake", data, None)]


def _event_blocks(data: Data) -> list[Block]:
    drawings = []
    days = [(date.fromisoformat(d), n) for d, n in data["lake_days"]]
    if days:
        caption = "A gap or a step here is a gap or a step upstream."
        drawings.append(
            Drawing("Events per day, whole lake", plots.columns(days, label="events"), caption)
        )
    brought = [(date.fromisoformat(d), n) for d, n, _ in data["events"].get("days", [])]
    if brought:
        late = "Events of this ingest by the day they started on; late ones are to the left."
        drawings.append(
            Drawing("Events per day, this ingest", plots.columns(brought, label="events"), late)
        )
    drawings += [Drawing(title, plots.bars(rows)) for title, rows in ingest_counts(data)]
    if not drawings:
        return [Text("This ingest brought no events.")]
    return [Figures(drawings, 440)]


def _snapshot_sections(data: Data, before: Data | None) -> list[Section]:
    verdict = {True: ("passed", "good"), False: ("failed", "bad"), None: ("not checked yet", "")}
    said, tone = verdict[data["passed"]]
    tables = data["tables"]
    facts = [
        Fact("drift check", said, tone),  # type: ignore[arg-type]
        Fact("listeners", number(tables["listener"]["rows"])),
        Fact("items", number(tables["item"]["rows"])),
        Fact("listener-item pairs", number(tables["listener_item"]["rows"])),
        Fact("card plays, last day", number(data["volumes"].get("plays", 0))),
    ]
    whole = Section(f"Snapshot as of {data['as_of']}", [Facts(facts)])
    since = (
        f" Beside it stands the snapshot of {data['before']['as_of']}." if data["before"] else ""
    )
    whole.blocks += [
        Text(f"Events of {data['first_day']} to {data['last_day']}, known at "
             f"{data['known_at'][:16]} UTC, written by {data['writer']}.{since}", quiet=True),
        Table(("table", "rows", "before", "change"), size_rows(data), "Rows"),
    ]  # fmt: skip
    volumes = Section("Volumes")
    if len(data["history"]) > 1:
        drawing = plots.lines(_by_market(data["history"]), label="card plays")
        caption = "Card plays of the last day of each snapshot."
        volumes.blocks.append(Figures([Drawing("Card plays by market", drawing, caption)], 520))
    volumes.blocks.append(
        Table(("market", "card plays", "before", "change"), volume_rows(data), "Last day")
    )
    people = Section("Listeners and items")
    people.blocks.append(
        Figures(
            [
                Drawing("Listeners by market", plots.bars(data["markets"], label="listeners")),
                Drawing("Items by type", plots.bars(data["items"], label="items")),
            ],
            440,
        )
    )
    return [whole, volumes, people, *_table_sections("Features", data, before)]


def _by_market(history: Any) -> dict[str, list[tuple[date, float]]]:
    newest: Mapping[str, int] = history[-1][1]
    names = sorted((n for n in newest if n != "plays"), key=lambda n: -newest[n])[:_MAX_MARKETS]
    return {
        name.removeprefix("plays_"): [
            (date.fromisoformat(day), volumes.get(name, 0)) for day, volumes in history
        ]
        for name in names
    }


def _table_sections(kind: str, data: Data, before: Data | None) -> list[Section]:
    return [
        _table_section(f"{kind}: {name}", table, before["tables"].get(name) if before else None)
        for name, table in data["tables"].items()
    ]


def _table_section(title: str, table: Data, before: Data | None) -> Section:
    part = table["profiled"] < table["rows"]
    told = f"{table['rows']:,} rows."
    told += f" Distributions are of {table['profiled']:,} of them." if part else ""
    section = Section(title, [Text(told, quiet=True)])
    nulls = [
        (c["name"], round(100 * c["n_null"] / table["rows"], 2))
        for c in table["columns"]
        if table["rows"] and c["n_null"]
    ]
    if nulls:
        nulls.sort(key=lambda entry: -entry[1])
        drawing = plots.bars(nulls[:20], label="% of rows without a value")
        section.blocks.append(Figures([Drawing("Nulls", drawing)], 520))
    old = {c["name"]: c for c in before["columns"]} if before else {}
    drawings = [
        Drawing(c["name"], _histogram(c, old.get(c["name"])), _caption(c, table))
        for c in table["columns"]
        if c["counts"]
    ]
    if drawings:
        outlined = " The outline is the snapshot before." if before else ""
        note = f"From the 1% to the 99% quantile; the outer bins hold what lies beyond.{outlined}"
        section.blocks += [Heading("Distributions"), Text(note, quiet=True), Figures(drawings, 200)]
    texts = [
        Drawing(c["name"], plots.bars([(v or "(empty)", n) for v, n in c["top"]]))
        for c in table["columns"]
        if c["top"]
    ]
    if texts:
        section.blocks += [Heading("Most frequent values"), Figures(texts, 340)]
    section.blocks += [
        Heading("Columns"), Table(COLUMN_HEADER, column_rows(table, before)),
    ]  # fmt: skip
    return section


def _histogram(column: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    other = (old["edges"], old["counts"]) if old and old["counts"] else None
    return plots.histogram(column["edges"], column["counts"], other)


def _caption(column: Mapping[str, Any], table: Data) -> str:
    nulls = share(column["n_null"], table["rows"])
    told = f"median {number(column['quantiles'][2])}, mean {number(column['mean'])}"
    return f"{told}, {nulls} null" if nulls else told
