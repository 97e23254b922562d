"""Data reports as text, for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from homerec.ingest.report import text_table

Data = Mapping[str, Any]


def number(value: Any) -> str:
    """Write a value of a profile in few letters."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def share(part: float, whole: float) -> str:
    """Write a share of a whole in percent, empty when there is none."""
    if not part or not whole:
        return ""
    ratio = part / whole
    return f"{ratio:.1%}" if ratio >= 0.001 else "<0.1%"


def change(now: float, before: float | None) -> str:
    """Write how far a number moved, in percent."""
    if before is None or before == now:
        return ""
    if not before:
        return "new"
    return f"{now / before - 1:+.1%}"


def column_rows(table: Data, before: Data | None = None) -> list[tuple[str, ...]]:
    """One row a column: type, nulls, distinct values, range, mean or most frequent values."""
    known = {c["name"]: c for c in before["columns"]} if before else {}
    rows = []
    for column in table["columns"]:
        old = known.get(column["name"])
        if column["mean"] is not None:
            told = number(column["mean"])
            moved = change(column["mean"], old["mean"]) if old and old["mean"] is not None else ""
        else:
            top = column["top"][:3]
            told = ", ".join(f"{value} {share(n, table['profiled'])}" for value, n in top)
            moved = ""
        if before is not None and old is None:
            moved = "new column"
        quantiles = column["quantiles"]
        rows.append(
            (
                column["name"],
                column["type"],
                share(column["n_null"], table["rows"]),
                number(column["n_distinct"]),
                _end(column["low"]),
                number(quantiles[2]) if quantiles else "",
                _end(column["high"]),
                told,
                moved,
            )
        )
    gone = [name for name in known if name not in {c["name"] for c in table["columns"]}]
    return [*rows, *((name, "", "", "", "", "", "", "", "no such column now") for name in gone)]


COLUMN_HEADER = (
    "column", "type", "nulls", "values", "least", "median", "most", "mean or most frequent",
    "change",
)  # fmt: skip


def _end(value: Any) -> str:
    told = number(value)
    return told if len(told) <= 26 else f"{told[:25]}…"


def render_ingest(data: Data) -> str:
    """Return the data report of an ingest as text."""
    lines = [f"Ingest {data['ingest_id']} ({data['source']}): {data['status']}", ""]
    lines.append(text_table(FLOW_HEADER, flow_rows(data)))
    if data["quarantine"]:
        lines += ["", "Quarantine", text_table(("table", "rule", "rows"), data["quarantine"])]
    for title, rows in ingest_counts(data):
        lines += ["", title, text_table(("", "rows"), rows)]
    for name, table in data["tables"].items():
        lines += ["", *_table(name, table, None)]
    return "\n".join(lines)


FLOW_HEADER = ("table", "read", "written", "duplicates", "quarantined", "forgotten")


def flow_rows(data: Data) -> list[tuple[Any, ...]]:
    """Where the rows of each table went."""
    return [(name, *(flow[key] for key in FLOW_HEADER[1:])) for name, flow in data["flow"].items()]


def ingest_counts(data: Data) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the counts that are shown by name: surfaces, dayparts, markets, types."""
    events = data["events"]
    found = [
        ("Events by surface", events.get("surfaces", [])),
        ("Plays by daypart, local time", events.get("dayparts", [])),
        ("Listeners by market", data["markets"]),
        ("Items by type", data["items"]),
    ]
    return [(title, [(str(k), int(n)) for k, n in rows]) for title, rows in found if rows]


def render_snapshot(data: Data, before: Data | None = None) -> str:
    """Return the data report of a snapshot as text, against the snapshot before it.

    Parameters
    ----------
    data : mapping
    before : mapping, optional
        Data report of the snapshot before.
    """
    verdict = {True: "passed", False: "FAILED", None: "not checked yet"}[data["passed"]]
    lines = [
        f"Snapshot as of {data['as_of']}, known at {data['known_at'][:16]}, written by "
        f"{data['writer']}; drift check: {verdict}",
        f"Events of {data['first_day']} to {data['last_day']}",
    ]
    against = f", and before, as of {data['before']['as_of']}" if data["before"] else ""
    header = ("table", "rows", "before", "change")
    lines += ["", f"Rows{against}", text_table(header, size_rows(data))]
    lines += ["", "Card plays of the last day", text_table(header, volume_rows(data))]
    for title, rows in (("Listeners by market", data["markets"]), ("Items by type", data["items"])):
        lines += ["", title, text_table(("", "rows"), rows)]
    for name, table in data["tables"].items():
        lines += ["", *_table(name, table, before["tables"].get(name) if before else None)]
    return "\n".join(lines)


def size_rows(data: Data) -> list[tuple[str, str, str, str]]:
    """Rows of each table, now and before."""
    old: Mapping[str, int] = (data["before"] or {}).get("rows", {})
    return [
        (
            name,
            number(table["rows"]),
            number(old.get(name)),
            change(table["rows"], old.get(name)),
        )
        for name, table in data["tables"].items()
    ]


def volume_rows(data: Data) -> list[tuple[str, str, str, str]]:
    """Card plays of the last day by market, now and in the snapshot before."""
    old: Mapping[str, int] = data["history"][-2][1] if len(data["history"]) > 1 else {}
    names: Sequence[str] = sorted({*data["volumes"], *old}, key=lambda n: (n == "plays", n))
    return [
        (
            "all markets" if name == "plays" else name.removeprefix("plays_"),
            number(data["volumes"].get(name, 0)),
            number(old.get(name)),
            change(data["volumes"].get(name, 0), old.get(name)),
        )
        for name in names
    ]


def _table(name: str, table: Data, before: Data | None) -> list[str]:
    part = f", distributions from {table['profiled']:,} of them" if table["profiled"] < table[
        "rows"
    ] else ""  # fmt: skip
    return [
        f"{name}: {table['rows']:,} rows{part}",
        text_table(COLUMN_HEADER, column_rows(table, before)),
    ]
