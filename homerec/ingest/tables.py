# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Tables in which the newest row of a key wins: items, contents, listeners, picks, editors' tables.

Also the dictionaries from text ids to dense keys, and rows derived from the events.
"""

from typing import Final

from homerec.ingest.contracts import CONTRACTS, Column, Contract
from homerec.ingest.mapping import DeriveItems, TableMap
from homerec.ingest.quoting import ident, text
from homerec.ingest.rules import TYPES, UNKNOWN, Rule, mapped_sql, rule_case
from homerec.ingest.sources import Opened, open_as, scan_of
from homerec.ingest.state import Run, rule_names

_LAKE_TYPES: Final = {**TYPES, "integer": "INTEGER"}


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
    """Move rows that refer to ids which nothing defines from ``rows_<name>`` to ``bad``."""
    for column in contract.columns:
        if column.references is None:
            continue
        known = f"SELECT id FROM keys_{column.references} WHERE id IS NOT NULL"
        if column.references == contract.defines:
            known += f" UNION ALL SELECT v_{contract.key[0]} FROM rows_{contract.name}"
        moved = 1
        # A row set aside may have defined the id that another row of the table refers to.
        while moved:
            broken = f"v_{column.name} IS NOT NULL AND v_{column.name} NOT IN ({known})"
            moved = run.number(
                f"""INSERT INTO bad SELECT {text(contract.name)}, filename, row,
                    {text(UNKNOWN[column.references])}, {text(column.name)}
                    FROM rows_{contract.name} WHERE {broken}"""
            )
            if moved:
                run.sql(f"DELETE FROM rows_{contract.name} WHERE {broken}")


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


def _lake_columns(contract: Contract) -> list[tuple[str, str, str]]:
    """List (name in the lake, type, SQL over ``rows_*`` and the dictionaries) of each column."""
    result: list[tuple[str, str, str]] = []
    for i, column in enumerate(contract.columns):
        if contract.defines and column.name == contract.key[0]:
            result.append((column.lake, "INTEGER", f"k{i}.key"))
            result.append((column.name, "VARCHAR", f"r.v_{column.name}"))
        elif column.references:
            result.append((column.lake, "INTEGER", f"k{i}.key"))
        else:
            sql = f"r.v_{column.name}"
            # No tags is an empty list; no markets is NULL, which means everywhere.
            sql = f"coalesce({sql}, [])" if column.name == "tags" else sql
            result.append((column.name, _LAKE_TYPES[column.kind], sql))
    return result


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
    columns = _lake_columns(contract)
    selected = ", ".join(f"CAST({sql} AS {kind}) AS {ident(n)}" for n, kind, sql in columns)
    joins = " ".join(
        f"LEFT JOIN keys_{dictionary} k{i} ON k{i}.id = r.v_{c.name}"
        for i, c in enumerate(contract.columns)
        if (dictionary := _dictionary_of(contract, c))
    )
    keys = ", ".join(f"r.v_{k}" for k in contract.key)
    order = "f.pos DESC, r.row DESC"
    run.sql(
        f"""CREATE OR REPLACE TEMP TABLE fresh AS SELECT {selected}
            FROM (SELECT r.* FROM rows_{name} r JOIN {_positions(run, name)}
                    ON f.scan = r.filename
                  QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1) r {joins}"""
    )
    report = run.report.tables[name]
    n_rows = run.number(f"SELECT count(*) FROM rows_{name}")
    report.written = _merge(run, contract, columns)
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


def _merge(run: Run, contract: Contract, columns: list[tuple[str, str, str]]) -> int:
    """Stage the lake's rows with ``fresh`` merged in; return how many are new or changed."""
    names = ", ".join(ident(n) for n, _, _ in columns)
    lake = run.lake.table(contract.name)
    keys = [contract.column(k).lake_name for k in contract.key]
    old = f"read_parquet({text(lake)})" if lake.exists() else "(SELECT * FROM fresh WHERE false)"
    changed = run.number(
        f"SELECT count(*) FROM (SELECT {names} FROM fresh EXCEPT SELECT {names} FROM {old})"
    )
    if not changed and lake.exists():
        return 0
    same = " AND ".join(f"n.{ident(k)} IS NOT DISTINCT FROM o.{ident(k)}" for k in keys)
    order = ", ".join(ident(k) for k in keys)
    run.sql(
        f"""COPY (SELECT {names} FROM fresh UNION ALL
              SELECT {names} FROM {old} o WHERE NOT EXISTS (SELECT 1 FROM fresh n WHERE {same})
              ORDER BY {order})
            TO {text(run.staged_table(contract.name))} (FORMAT parquet, COMPRESSION zstd)"""
    )
    return changed


def _stage_derived(run: Run, name: str, rows: str, n_keys_before: int) -> None:
    """Add derived rows, whose keys are new, to the table as it is staged or in the lake."""
    staged, lake = run.staged_table(name), run.lake.table(name)
    dictionary = CONTRACTS[name].defines
    n_keys = run.number(f"SELECT coalesce(max(key), 0) FROM keys_{dictionary}")
    run.report.derived[name] = run.report.derived.get(name, 0) + n_keys - n_keys_before
    if n_keys == n_keys_before:
        return
    old = staged if staged.exists() else lake
    more = f"UNION ALL BY NAME SELECT * FROM read_parquet({text(old)})" if old.exists() else ""
    target = run.staging / f"derived_{name}.parquet"
    contract = CONTRACTS[name]
    # Sorted by key, the first column, as the other tables are.
    run.sql(
        f"""COPY (SELECT * FROM (SELECT * FROM ({rows}) d WHERE d.{
            contract.column(contract.key[0]).lake
        } > {n_keys_before}) {more} ORDER BY 1)
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
        path = run.root / how.titles.file
        opened = open_as(run.connection, path, None, how.titles.csv, needed, run.staging)
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


def known_rules(contract: Contract, mapping: TableMap) -> list[Rule]:
    """Rules that an append table's ids are known; ``j_<column>`` is the key found for an id."""
    return [
        Rule(UNKNOWN[c.references], c.name, f"v_{c.name} IS NOT NULL AND j_{c.name} IS NULL")
        for c in contract.columns
        if c.references and c.name in mapping.columns
    ]
