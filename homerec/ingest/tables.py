# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Tables that keep their history by key: items, contents, listeners, picks, editors' tables.

Also the dictionaries from text ids to dense keys, and rows derived from the events.
"""

from homerec.columns import ITEM_TYPES
from homerec.ingest.contracts import CONTRACTS, Column, Contract
from homerec.ingest.history import merge_versions
from homerec.ingest.mapping import DeriveItems, TableMap
from homerec.ingest.quoting import ident, instant, text
from homerec.ingest.reading import in_force_sql, versions_sql
from homerec.ingest.rules import TYPES, UNKNOWN, WRONG_TYPE, mapped_sql, rule_case
from homerec.ingest.schema import UPDATED, lake_schema, row_columns
from homerec.ingest.sources import Opened, open_as, scan_of
from homerec.ingest.state import Run, rule_names


def load_rows(run: Run, name: str) -> None:
    """Map a table's files into ``rows_<name>``; rows that break a rule go to ``bad``."""
    contract, mapping = run.parts(name)
    columns = ", ".join(f"v_{c.name} {TYPES[c.kind]}" for c in contract.columns)
    run.sql(f"CREATE TEMP TABLE rows_{name} ({columns}, filename VARCHAR, row BIGINT)")
    run.each_batch(name, lambda files: _load_batch(run, contract, mapping, files))
    _check_references(run, contract)


def _load_batch(run: Run, contract: Contract, mapping: TableMap, files: list[Opened]) -> None:
    name = contract.name
    rules = run.local_rules(name, files)
    mapped = mapped_sql(contract, mapping, files, run.now, run.limit)
    run.sql(
        "CREATE OR REPLACE TEMP TABLE batch AS "
        f"SELECT *, {rule_case(rules)} AS rule FROM ({mapped})"
    )
    rule, column = rule_names(rules, "rule")
    run.sql(
        f"INSERT INTO bad SELECT {text(name)}, filename, file_row_number, {rule}, {column} "
        "FROM batch WHERE rule IS NOT NULL"
    )
    values = ", ".join(f"v_{c.name}" for c in contract.columns)
    run.sql(
        f"INSERT INTO rows_{name} SELECT {values}, filename, file_row_number FROM batch "
        "WHERE rule IS NULL"
    )
    run.report.tables[name].read += run.number("SELECT count(*) FROM batch")
    run.sql("DROP TABLE batch")


def _check_references(run: Run, contract: Contract) -> None:
    """Move rows from ``rows_<name>`` to ``bad`` that refer to what nothing defines as such."""
    checks: list[tuple[str, str, str]] = []
    for column in contract.columns:
        if column.references is None:
            continue
        known = f"SELECT id FROM keys_{column.references} WHERE id IS NOT NULL"
        if column.references == contract.defines:
            known += f" UNION ALL SELECT v_{contract.key[0]} FROM rows_{contract.name}"
        checks.append((UNKNOWN[column.references], column.name, known))
        if column.of_type:
            types = _item_types(run, "rows_items" if contract.name == "items" else "")
            typed = f"SELECT id FROM ({types}) WHERE type = {text(column.of_type)}"
            checks.append((WRONG_TYPE, column.name, typed))
    moved = 1
    # A row set aside may have defined the id that another row of the table refers to.
    while moved:
        moved = 0
        for rule, name, known in checks:
            broken = f"v_{name} IS NOT NULL AND v_{name} NOT IN ({known})"
            found = run.number(
                f"""INSERT INTO bad SELECT {text(contract.name)}, filename, row, {text(rule)},
                    {text(name)} FROM rows_{contract.name} WHERE {broken}"""
            )
            if found:
                run.sql(f"DELETE FROM rows_{contract.name} WHERE {broken}")
            moved += found


def _item_types(run: Run, rows: str = "") -> str:
    """Build the SQL of (id, type) of the items: those in ``rows``, and those staged or kept."""
    staged = run.staged_table("items")
    path = staged if staged.exists() else run.lake.table("items")
    kept = in_force_sql(run.connection, CONTRACTS["items"], path, None)
    types = f"SELECT item_id AS id, type FROM ({kept})"
    if not rows:
        return types
    return f"SELECT v_item_id AS id, v_type AS type FROM {rows} UNION ALL {types}"


def type_items(run: Run) -> None:
    """Make the temporary table ``typed_items``: the items' dictionary, with each item's type."""
    kinds = f"list_position({[*ITEM_TYPES]!r}, t.type) - 1"
    run.sql(
        f"CREATE OR REPLACE TEMP TABLE typed_items AS SELECT k.key, k.id, "
        f"CAST({kinds} AS TINYINT) AS kind "
        f"FROM keys_items k LEFT JOIN ({_item_types(run)}) t ON t.id = k.id"
    )


def extend_dictionary(run: Run, name: str, ids: str) -> None:
    """Give keys to new ids: the next ones, in the order of the ids, and stage the dictionary.

    A key whose id is NULL (forgotten) stays taken.

    Parameters
    ----------
    run : Run
        The ingest.
    name : {"listeners", "items", "contents"}
        Which dictionary.
    ids : str
        SQL of a query with one column ``id``.
    """
    added = run.number(
        f"""INSERT INTO keys_{name}
            SELECT (SELECT coalesce(max(key), 0) FROM keys_{name}) + row_number() OVER (ORDER BY
            id),
                   id
            FROM (SELECT DISTINCT id FROM ({ids}) WHERE id IS NOT NULL
                  EXCEPT SELECT id FROM keys_{name})"""
    )
    run.report.new_keys[name] = run.report.new_keys.get(name, 0) + added
    if added:
        run.sql(
            f"COPY (SELECT key, id FROM keys_{name} ORDER BY key) "
            f"TO {text(run.staged_dictionary(name))} (FORMAT parquet, COMPRESSION zstd)"
        )


def _sources(contract: Contract) -> dict[str, str]:
    """Build the SQL of each of the lake's columns, over ``rows_*`` and the dictionaries."""
    sources: dict[str, str] = {}
    for i, column in enumerate(contract.columns):
        sql = f"r.v_{column.name}"
        if _dictionary_of(contract, column):
            sources[column.lake_name] = f"k{i}.key"
        if column.name == "tags":
            sql = f"coalesce({sql}, [])"
        elif column.name == "markets":
            # No markets is NULL, which means everywhere; an empty list would read as nowhere.
            sql = f"CASE WHEN len({sql}) > 0 THEN {sql} END"
        sources.setdefault(column.name, sql)
    return sources


def _dictionary_of(contract: Contract, column: Column) -> str | None:
    if contract.defines and column.name == contract.key[0]:
        return contract.defines
    return column.references


def stage_upsert(run: Run, name: str) -> None:
    """Merge ``rows_<name>`` into the lake's table and stage the result; keys must exist."""
    contract = CONTRACTS[name]
    if contract.defines:
        extend_dictionary(
            run, contract.defines, f"SELECT v_{contract.key[0]} AS id FROM rows_{name}"
        )
    schema, sources = lake_schema(contract), _sources(contract)
    selected = ", ".join(
        f"CAST({sources[n]} AS {schema[n]}) AS {ident(n)}" for n in row_columns(contract)
    )
    joins = " ".join(
        f"LEFT JOIN keys_{dictionary} k{i} ON k{i}.id = r.v_{c.name}"
        for i, c in enumerate(contract.columns)
        if (dictionary := _dictionary_of(contract, c))
    )
    moment = instant(run.now)
    if UPDATED in contract.names:
        moment = f"coalesce(r.v_{UPDATED}, {moment})"
    keys = ", ".join(f"r.v_{k}" for k in contract.key)
    run.sql(
        f"""CREATE TEMP TABLE fresh AS SELECT {selected}, r.moment AS {UPDATED}
            FROM (SELECT r.*, {moment} AS moment FROM rows_{name} r
                  JOIN {_positions(run, name)} ON f.scan = r.filename
                  QUALIFY row_number() OVER (
                    PARTITION BY {keys}, moment ORDER BY f.pos DESC, r.row DESC) = 1) r {joins}"""
    )
    report = run.report.tables[name]
    n_rows = run.number(f"SELECT count(*) FROM rows_{name}")
    report.written = merge_versions(run, contract)
    report.duplicates = n_rows - report.written
    if contract.time:
        span = run.sql(
            f"SELECT min(v_{contract.time})::DATE, max(v_{contract.time})::DATE FROM rows_{name}"
        )
        report.first, report.last = span[0]  # type: ignore[assignment]
    run.sql(f"DROP TABLE rows_{name}")


def _positions(run: Run, name: str) -> str:
    """Build the SQL of the order of a table's files: later names are newer."""
    values = ", ".join(
        f"({text(opened.scan)}, {position})"
        for position, opened in enumerate(sorted(run.opened[name], key=lambda o: o.path))
    )
    return f"(VALUES {values or '(NULL, 0)'}) AS f(scan, pos)"


def _stage_derived(run: Run, name: str, rows: str, n_keys_before: int) -> None:
    """Add derived rows, whose keys are new, to the table as it is staged or in the lake."""
    staged, lake = run.staged_table(name), run.lake.table(name)
    dictionary = CONTRACTS[name].defines
    n_keys = run.number(f"SELECT coalesce(max(key), 0) FROM keys_{dictionary}")
    run.report.derived[name] = run.report.derived.get(name, 0) + n_keys - n_keys_before
    if n_keys == n_keys_before:
        return
    old = staged if staged.exists() else lake
    target = run.staging / f"derived_{name}.parquet"
    contract = CONTRACTS[name]
    key = contract.column(contract.key[0]).lake
    # What is made up has no moment: whatever a source says of the key comes after it.
    run.sql(
        f"""COPY ({versions_sql(run.connection, contract, old)} UNION ALL BY NAME
              SELECT * FROM ({rows}) d WHERE d.{key} > {n_keys_before}
              ORDER BY {key}, {UPDATED} NULLS FIRST)
            TO {text(target)} (FORMAT parquet, COMPRESSION zstd)"""
    )
    target.replace(staged)


def _first_seen(run: Run, column: str) -> str:
    """Make the temporary table (id, first start) of the events' ids in one column."""
    contract, mapping = run.parts("events")
    run.sql("CREATE OR REPLACE TEMP TABLE seen (id VARCHAR, first TIMESTAMP)")

    def collect(files: list[Opened]) -> None:
        rules = run.local_rules("events", files)
        mapped = mapped_sql(contract, mapping, files, run.now, run.limit)
        run.sql(
            f"""INSERT INTO seen SELECT v_{column}, min(v_started_at)
                FROM (SELECT *, {rule_case(rules)} AS rule FROM ({mapped}))
                WHERE rule IS NULL AND v_{column} IS NOT NULL GROUP BY 1"""
        )

    run.each_batch("events", collect)
    return "(SELECT id, min(first) AS first FROM seen GROUP BY id)"


def derive_items(run: Run, how: DeriveItems) -> None:
    """Add an item for every id in a column of the events that is not known yet."""
    seen = _first_seen(run, how.column)
    before = run.number("SELECT coalesce(max(key), 0) FROM keys_items")
    extend_dictionary(run, "items", f"SELECT id FROM {seen}")
    title, join = "s.id", ""
    if how.titles is not None:
        needed = {how.titles.id: False, how.titles.title: False}
        path, label = run.side_file(how.titles.file)
        opened = open_as(run.connection, path, None, how.titles.csv, needed, run.staging, label)
        prefix = run.mapping.tables["events"].columns[how.column].prefix
        title = "coalesce(t.title, s.id)"
        join = f"""LEFT JOIN (
                     SELECT {text(prefix)} || CAST({ident(how.titles.id)} AS VARCHAR) AS id,
                     max(CAST({ident(how.titles.title)} AS VARCHAR)) AS title
                     FROM {scan_of([opened])} GROUP BY 1) t ON t.id = s.id"""
    rows = f"""SELECT k.key AS item, s.id AS item_id, {text(how.type)} AS type, {title} AS title,
                 CAST(NULL AS VARCHAR) AS language, CAST([] AS VARCHAR[]) AS tags,
                 CAST(date_trunc('day', s.first) AS TIMESTAMP) AS released_at,
                 CAST(NULL AS INTEGER) AS artist, CAST(NULL AS VARCHAR[]) AS markets
               FROM {seen} s JOIN keys_items k ON k.id = s.id {join}"""
    _stage_derived(run, "items", rows, before)


def derive_listeners(run: Run) -> None:
    """Add a listener for every listener id of the events that is not known yet."""
    how = run.mapping.derive_listeners
    if how is None:
        return
    seen = _first_seen(run, "listener_id")
    before = run.number("SELECT coalesce(max(key), 0) FROM keys_listeners")
    extend_dictionary(run, "listeners", f"SELECT id FROM {seen}")
    rows = f"""SELECT k.key AS listener, s.id AS listener_id, {text(how.market)} AS market,
                 {text(how.time_zone)} AS time_zone, s.first AS registered_at
               FROM {seen} s JOIN keys_listeners k ON k.id = s.id"""
    _stage_derived(run, "listeners", rows, before)
