# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""From a mapping and a file's columns to SQL: mapped values, and the rules for each row.

Of a mapped column ``x``, the SQL carries ``v_x`` (the value in the contract's type) and, where a
value can fail to convert, ``g_x`` (whether the source gave one).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from homerec.columns import ITEM_TYPES
from homerec.ingest.checks import INTEGER_UNITS
from homerec.ingest.contracts import FIRST_PLAUSIBLE, Column, Contract
from homerec.ingest.mapping import ColumnMap, Spread, TableMap
from homerec.ingest.quoting import ident, instant, text
from homerec.ingest.sources import FILE_COLUMN, JSON_FLAG, ROW_COLUMN, Opened, scan_of

TYPES: Final = {
    "text": "VARCHAR", "integer": "BIGINT", "instant": "TIMESTAMP", "texts": "VARCHAR[]",
}  # fmt: skip
_INTEGERS: Final = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
}  # fmt: skip
_PER_SECOND: Final = {"unix_seconds": 1, "unix_ms": 1_000, "unix_us": 1_000_000}
#: Beyond this a DOUBLE holds no exact integer.
_EXACT: Final = "9.0e15"

#: Temporary table of the time zones that both Python and DuckDB know.
TIME_ZONES: Final = "known_time_zones"
MALFORMED_LINE: Final = "malformed_line"
NOT_JSON: Final = "not_json"
NO_ITEM: Final = "no_item"
WRONG_TYPE: Final = "wrong_type"
UNKNOWN: Final = {
    "listeners": "unknown_listener",
    "items": "unknown_item",
    "contents": "unknown_content",
}
#: Every blank that may surround a text, beside the space: tabs, line breaks, no-break spaces, ...
_BLANKS: Final = "'" + "".join(
    map(chr, (9, 10, 11, 12, 13, 32, 133, 160, 8203, 8232, 8233, 8239, 12288, 65279))
) + "'"  # fmt: skip
#: Control characters; in labels line breaks and tabs are legal.
_CONTROLS: Final = {"id": r"'\p{Cc}'", "label": r"'[^\P{Cc}\t\n\r]'"}
_CHECKS: Final = {
    "market": "NOT regexp_full_match({value}, '[A-Z]{2}')",
    # Language, script, region, variants: what BCP 47 calls well-formed, without extensions.
    "language": "NOT regexp_full_match({value}, '[A-Za-z]{2,3}(-[A-Za-z]{4})?"
    "(-([A-Za-z]{2}|[0-9]{3}))?(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*')",
    "time_zone": f"{{value}} NOT IN (SELECT name FROM {TIME_ZONES})",
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """A rule: its name, its contract column (empty: the whole row), SQL that is true if broken."""

    name: str
    column: str
    broken: str


@dataclass(frozen=True)
class MappedColumn:
    """SQL of one mapped column: its value, and whether one was given (empty: cannot fail)."""

    value: str
    given: str = ""


def map_column(column: Column, how: ColumnMap | None, types: dict[str, str]) -> MappedColumn:
    """Build the SQL of one contract column.

    Parameters
    ----------
    column : Column
        The contract's column.
    how : ColumnMap or None
        Where it comes from; ``None`` gives NULL.
    types : dict of str to str
        DuckDB type by source column.
    """
    kind = TYPES[column.kind]
    if how is None or (how.column is not None and how.column not in types):
        default = how.default if how else None
        return MappedColumn(_literal(default, column) if default else f"CAST(NULL AS {kind})")
    if how.constant is not None:
        return MappedColumn(_literal(how.constant, column))
    if how.spread is not None:
        return MappedColumn(_spread_sql(how.spread))
    assert how.column is not None  # noqa: S101 - exactly one source is set, checked by the mapping
    source, type_ = ident(how.column), types[how.column]
    if column.kind == "text":
        return MappedColumn(_text_sql(source, how, column.form == "label"))
    given = f"coalesce(trim({source}) <> '', false)" if type_ == "VARCHAR" else (
        f"{source} IS NOT NULL"
    )  # fmt: skip
    converted = {"integer": _integer_sql, "instant": _instant_sql, "texts": _texts_sql}[
        column.kind
    ](source, type_, how)
    if how.default is not None:
        converted = f"CASE WHEN {given} THEN {converted} ELSE {_literal(how.default, column)} END"
    # Every text is a list of at least one entry: a list cannot fail to convert.
    return MappedColumn(converted, "" if column.kind == "texts" else given)


def _literal(value: str, column: Column) -> str:
    if column.kind == "texts":
        return f"CAST(string_split({text(value)}, '|') AS VARCHAR[])"
    if column.kind == "instant":
        return f"(TRY_CAST({text(value)} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    return f"CAST({text(value)} AS {TYPES[column.kind]})"


def _text_sql(source: str, how: ColumnMap, is_label: bool) -> str:
    # Cutting blanks of every kind costs five times what cutting spaces does: not for ids in events.
    blanks = f", {_BLANKS}" if is_label else ""
    sql = f"nullif(trim(CAST({source} AS VARCHAR){blanks}), '')"
    if how.values:
        cases = " ".join(f"WHEN {text(k)} THEN {text(v)}" for k, v in how.values)
        sql = f"CASE {sql} {cases} ELSE {sql} END"
    if how.prefix:
        sql = f"({text(how.prefix)} || {sql})"
    return f"coalesce({sql}, {text(how.default)})" if how.default is not None else sql


def _integer_sql(source: str, type_: str, how: ColumnMap) -> str:
    factor = (how.multiply or 1.0) * INTEGER_UNITS[how.unit or "ms"]
    scaled = how.multiply is not None or factor != 1
    if type_ in _INTEGERS and not scaled:
        sql = f"CAST({source} AS BIGINT)" if type_ != "UBIGINT" else f"TRY_CAST({source} AS BIGINT)"
    else:
        number = f"TRY_CAST({source} AS DOUBLE)"
        # A fraction is a fault where the source claims whole units, and legal where it is scaled.
        whole = "true" if scaled else f"{number} = round({number})"
        product = f"round({number} * {factor!r})" if scaled else number
        sql = f"CASE WHEN abs({product}) < {_EXACT} AND {whole} THEN CAST({product} AS BIGINT) END"
    if how.minimum is not None:
        sql = f"greatest({sql}, CAST({how.minimum!r} AS BIGINT))"
    if how.maximum is not None:
        sql = f"least({sql}, CAST({how.maximum!r} AS BIGINT))"
    # greatest and least skip NULL: a value that does not convert must stay NULL.
    if how.minimum is not None or how.maximum is not None:
        sql = f"CASE WHEN TRY_CAST({source} AS DOUBLE) IS NOT NULL THEN {sql} END"
    return sql


def _instant_sql(source: str, type_: str, how: ColumnMap) -> str:
    if how.unit in _PER_SECOND:
        micros = 1_000_000 // _PER_SECOND[how.unit]
        number = f"TRY_CAST({source} AS DOUBLE) * {micros}"
        # Bounds: years 1 to 9999, within what a TIMESTAMP holds; else it does not convert.
        return (
            f"CASE WHEN {number} BETWEEN -6.2e16 AND 2.5e17 "
            f"THEN make_timestamp(CAST(round({number}) AS BIGINT)) END"
        )
    if type_.startswith("TIMESTAMP") and "ZONE" not in type_:
        return f"TRY_CAST({source} AS TIMESTAMP)"
    # Text without an offset is read in the session's zone, which is UTC.
    return f"(TRY_CAST({source} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"


def _texts_sql(source: str, type_: str, how: ColumnMap) -> str:
    if type_.endswith("]"):
        found = f"CAST({source} AS VARCHAR[])"
    else:
        as_text = f"CAST({source} AS VARCHAR)"
        is_json = f"{as_text} LIKE '[%' AND json_valid({as_text})"
        found = (
            f"CASE WHEN {is_json} THEN TRY_CAST(TRY_CAST({as_text} AS JSON) AS VARCHAR[]) "
            f"ELSE string_split({as_text}, {text(how.split)}) END"
        )
    # An entry that is nothing but blanks says nothing.
    return f"list_filter(list_transform({found}, lambda p: trim(p, {_BLANKS})), lambda p: p <> '')"


def _spread_sql(spread: Spread) -> str:
    seconds = int((spread.end - spread.start).total_seconds())
    drawn = f"{stable_hash([f'CAST({ident(c)} AS VARCHAR)' for c in spread.by])} % {seconds}"
    return f"({instant(spread.start)} + to_seconds(CAST({drawn} AS BIGINT)))"


def stable_hash(parts: list[str]) -> str:
    """Build the SQL of a hash that no DuckDB version changes: MD5's last 8 bytes, little-endian."""
    # concat_ws would skip NULL, so that (a, NULL) and (NULL, a) would be equal.
    joined = ", ".join(f"coalesce({p}, chr(30))" for p in parts)
    return f"md5_number_lower(concat_ws(chr(31), {joined}))"


def event_hash(contract: Contract, mapping: TableMap) -> str:
    """Build the SQL of the hash that recognises a row delivered twice.

    It is taken over the listener and the event's own id where there is one, else over all mapped
    columns but the arrival, which may differ between two deliveries of the same row.
    """
    whole = stable_hash(
        [f"CAST(v_{c.name} AS VARCHAR)" for c in contract.columns
         if c.name not in ("arrived_at", "event_id")]
    )  # fmt: skip
    if "event_id" not in mapping.columns:
        return whole
    return f"CASE WHEN v_event_id IS NOT NULL THEN {stable_hash(['v_listener_id', 'v_event_id'])} ELSE {whole} END"  # noqa: E501


def mapped_sql(
    contract: Contract,
    mapping: TableMap,
    files: list[Opened],
    now: datetime,
    limit: int | None = None,
) -> str:
    """SELECT of the mapped rows of files of one schema.

    Columns are ``v_*`` and ``g_*``, the file and row number, and the JSON flag where there is one.
    """
    types = files[0].columns
    parts: list[str] = []
    for column in contract.columns:
        mapped = map_column(column, mapping.columns.get(column.name), types)
        if column.name == "arrived_at" and mapping.arrival == "ingest":
            mapped = MappedColumn(instant(now))
        elif column.name == "arrived_at" and mapping.arrival == "historical":
            time = contract.column(contract.time)
            mapped = map_column(time, mapping.columns[contract.time], types)
            mapped = MappedColumn(mapped.value)
        parts.append(f"{mapped.value} AS v_{column.name}")
        if mapped.given:
            parts.append(f"{mapped.given} AS g_{column.name}")
    is_json = JSON_FLAG in types
    wheres = [f"{JSON_FLAG} IS NOT NULL"] if is_json else []
    for name, values in mapping.only:
        matches = f"CAST({ident(name)} AS VARCHAR) IN ({', '.join(text(v) for v in values)})"
        wheres.append(f"(NOT {JSON_FLAG} OR {matches})" if is_json else matches)
    if is_json:
        parts.append(JSON_FLAG)
    if limit is not None:
        wheres.append(f"{ROW_COLUMN} < {limit:d}")
    where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
    parts += [f"{FILE_COLUMN} AS filename", ROW_COLUMN]
    whole = f"SELECT {', '.join(parts)} FROM {scan_of(files)}{where}"
    drop = sorted({listener for opened in files for listener in opened.drop})
    if not drop:
        return whole
    return (
        f"SELECT * FROM ({whole}) WHERE v_listener_id IS NULL "
        f"OR v_listener_id NOT IN ({', '.join(text(listener) for listener in drop)})"
    )


def local_rules(
    contract: Contract,
    mapping: TableMap,
    types: dict[str, str],
    now: datetime,
    tolerance_minutes: int,
) -> list[Rule]:
    """Rules that a row is held to by itself, the most telling first.

    Parameters
    ----------
    contract, mapping, types
        The table, how it is mapped, and the DuckDB types of the source's columns.
    now : datetime
        Moment of the ingest.
    tolerance_minutes : int
        Clock skew allowed between start and arrival, and between start and now.
    """
    rules = [Rule(NOT_JSON, "", f"NOT {JSON_FLAG}")] if JSON_FLAG in types else []
    skew = f"INTERVAL {tolerance_minutes:d} MINUTE"
    for column in contract.columns:
        given = map_column(column, mapping.columns.get(column.name), types).given
        rules += _column_rules(column, bool(given))
        if column.past:
            ahead = f"v_{column.name} > {instant(now)} + {skew}"
            rules.append(Rule("from_the_future", column.name, ahead))
    if contract.has_arrival:
        time = contract.time
        rules.append(Rule("after_arrival", time, f"v_{time} > v_arrived_at + {skew}"))
    if contract.window:
        start, end = contract.window
        rules.append(Rule("ends_before_start", end, f"v_{end} < v_{start}"))
    return rules


def _column_rules(column: Column, can_fail: bool) -> list[Rule]:
    name, value = column.name, f"v_{column.name}"
    rules: list[Rule] = []
    if can_fail:
        rules.append(Rule("not_castable", name, f"g_{name} AND {value} IS NULL"))
    if column.required:
        blank = f" OR trim({value}, {_BLANKS}) = ''" if column.form == "id" else ""
        rules.append(Rule("missing", name, f"{value} IS NULL{blank}"))
    bounds = [
        f"{value} {operator} {instant(bound) if isinstance(bound, datetime) else bound}"
        for operator, bound in (("<", column.low), (">", column.high))
        if bound is not None
    ]
    if bounds:
        rules.append(Rule("out_of_range", name, " OR ".join(bounds)))
    if column.allowed:
        allowed = ", ".join(text(a) for a in column.allowed)
        rules.append(Rule(f"unknown_{name}", name, f"{value} NOT IN ({allowed})"))
    if column.check:
        rules.append(Rule(f"bad_{column.check}", name, _each(column, _CHECKS[column.check])))
    return rules + _text_rules(column)


def _text_rules(column: Column) -> list[Rule]:
    """Rules on how long a text is and which characters it holds."""
    name, rules = column.name, []
    if column.longest is not None:
        too_long = _each(column, f"length({{value}}) > {column.longest}")
        rules.append(Rule("too_long", name, too_long))
    if column.most is not None:
        rules.append(Rule("too_many", name, f"len(v_{name}) > {column.most}"))
    if column.form is not None:
        odd = _each(column, f"regexp_matches({{value}}, {_CONTROLS[column.form]})")
        if column.usual:
            usual = ", ".join(text(u) for u in column.usual)
            odd = f"CASE WHEN v_{name} IN ({usual}) THEN false ELSE {odd} END"
        rules.append(Rule("control_character", name, odd))
    return rules


def _each(column: Column, broken: str) -> str:
    """Build the SQL of a test of a value, or of any entry of a list; ``{value}`` stands for it."""
    value = f"v_{column.name}"
    if column.kind != "texts":
        return broken.replace("{value}", value)
    entry = broken.replace("{value}", "t")
    return f"len(list_filter({value}, lambda t: {entry})) > 0"


def known_rules(contract: Contract, mapping: TableMap) -> list[Rule]:
    """Rules on the ids that an append table refers to.

    ``j_<column>`` is the key found for an id, ``t_<column>`` the number of the item's type.
    """
    rules: list[Rule] = []
    for c in contract.columns:
        if c.references and c.name in mapping.columns:
            unknown = f"v_{c.name} IS NOT NULL AND j_{c.name} IS NULL"
            rules.append(Rule(UNKNOWN[c.references], c.name, unknown))
            if c.of_type:
                wrong = f"t_{c.name} <> {ITEM_TYPES.index(c.of_type)}"
                rules.append(Rule(WRONG_TYPE, c.name, wrong))
    return rules


def possible_rules(contract: Contract) -> list[tuple[str, str]]:
    """Every (rule, column) under which a row of a table can be set aside, in no order.

    Parameters
    ----------
    contract : Contract
        The table; taken to come from text files in which every column is mapped.
    """
    columns = {c.name: ColumnMap(c.name, column=c.name) for c in contract.columns}
    mapping = TableMap(contract.name, ("*",), columns)
    types = {**dict.fromkeys(columns, "VARCHAR"), JSON_FLAG: "BOOLEAN"}
    rules = local_rules(contract, mapping, types, FIRST_PLAUSIBLE, 0)
    rules += known_rules(contract, mapping)
    found = [(MALFORMED_LINE, ""), *((rule.name, rule.column) for rule in rules)]
    return [*found, (NO_ITEM, "")] if contract.name == "events" else found


def rule_case(rules: list[Rule]) -> str:
    """Build the SQL of the 0-based number of the first broken rule, NULL where none is broken."""
    whens = " ".join(f"WHEN {rule.broken} THEN {i}" for i, rule in enumerate(rules))
    return f"CAST(CASE {whens} END AS SMALLINT)"
