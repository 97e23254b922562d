# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Versions of rows: a changed row closes its key's version in force and opens a new one.

A version holds from its ``updated_at`` (the row's own, else the moment of its ingest) until the
next one's. The first version of a key has held since ever, so that a first load can serve past
as_of dates. Versions may come in any order: a late one lands between those it belongs to. A row
that says what holds already changes nothing.
"""

from homerec.ingest.contracts import Contract
from homerec.ingest.quoting import ident, text
from homerec.ingest.reading import versions_sql
from homerec.ingest.schema import (
    UPDATED,
    VALID_FROM,
    VALID_TO,
    lake_schema,
    order_columns,
    row_columns,
)
from homerec.ingest.state import Run


def merge_versions(run: Run, contract: Contract) -> int:
    """Stage a lake table with the rows of the temporary table ``fresh`` merged in.

    Parameters
    ----------
    run : Run
        The ingest; ``fresh`` has the columns of the lake's rows and ``updated_at``, at most one
        row for each key and moment.
    contract : Contract
        The table.

    Returns
    -------
    int
        How many rows of ``fresh`` became versions; nothing is staged where nothing changed.
    """
    lake = run.lake.table(contract.name)
    run.sql(f"CREATE OR REPLACE TEMP TABLE known AS {versions_sql(run.connection, contract, lake)}")
    _drop_what_holds(run, contract)
    _make_versions(run, contract)
    rows = ", ".join(ident(n) for n in [*row_columns(contract), UPDATED])
    names = ", ".join(ident(n) for n in lake_schema(contract))
    touched = f"(SELECT * FROM known o WHERE {_has_fresh(contract)})"
    written = run.number(
        f"SELECT count(*) FROM (SELECT {rows} FROM versions EXCEPT SELECT {rows} FROM {touched})"
    )
    moved = run.number(
        f"SELECT count(*) FROM (SELECT {names} FROM versions EXCEPT SELECT {names} FROM {touched})"
    )
    if moved or not lake.exists():
        order = ", ".join(f"{ident(n)} NULLS FIRST" for n in order_columns(contract))
        run.sql(
            f"""COPY (SELECT {names} FROM versions UNION ALL
                  SELECT {names} FROM known o WHERE NOT {_has_fresh(contract)} ORDER BY {order})
                TO {text(run.staged_table(contract.name))} (FORMAT parquet, COMPRESSION zstd)"""
        )
    run.sql("DROP TABLE known; DROP TABLE versions; DROP TABLE fresh")
    return written


def _keys(contract: Contract) -> list[str]:
    return [ident(contract.column(k).lake_name) for k in contract.key]


def _same_key(contract: Contract) -> str:
    return " AND ".join(f"n.{k} IS NOT DISTINCT FROM o.{k}" for k in _keys(contract))


def _has_fresh(contract: Contract) -> str:
    return f"EXISTS (SELECT 1 FROM fresh n WHERE {_same_key(contract)})"


def _drop_what_holds(run: Run, contract: Contract) -> None:
    """Drop fresh rows that are equal to the open version: a whole catalog comes every night."""
    keys = ", ".join(_keys(contract))
    equal = " AND ".join(
        f"n.{ident(c)} IS NOT DISTINCT FROM o.{ident(c)}" for c in row_columns(contract)
    )
    run.sql(
        f"""CREATE TEMP TABLE changing AS SELECT n.* EXCLUDE (n_of_key)
            FROM (SELECT *, count(*) OVER (PARTITION BY {keys}) AS n_of_key FROM fresh) n
            -- With two moments of one key, the later one may undo the earlier.
            WHERE n.n_of_key > 1 OR NOT EXISTS (
              SELECT 1 FROM known o WHERE o.{VALID_TO} IS NULL AND {equal}
              AND (o.{UPDATED} IS NULL OR o.{UPDATED} <= n.{UPDATED}))"""
    )
    run.sql("DROP TABLE fresh; ALTER TABLE changing RENAME TO fresh")


def _make_versions(run: Run, contract: Contract) -> None:
    """Make ``versions``: all versions of the keys that ``fresh`` has, in their order."""
    names = ", ".join(ident(n) for n in row_columns(contract))
    keys = ", ".join(_keys(contract))
    by_moment = f"PARTITION BY {keys} ORDER BY {UPDATED} NULLS FIRST"
    # Of two rows of the same moment the one delivered last is right.
    run.sql(
        f"""CREATE TEMP TABLE versions AS
            WITH every AS (
              SELECT {names}, {UPDATED}, false AS is_fresh FROM known o WHERE {_has_fresh(contract)}
              UNION ALL SELECT {names}, {UPDATED}, true FROM fresh),
            one AS (
              SELECT * EXCLUDE (is_fresh) FROM every QUALIFY row_number() OVER (
                PARTITION BY {keys}, {UPDATED} ORDER BY is_fresh DESC) = 1),
            packed AS (SELECT *, row({names}) AS whole FROM one),
            changed AS (
              SELECT * FROM packed
              QUALIFY lag(whole) OVER ({by_moment}) IS DISTINCT FROM whole)
            SELECT {names}, {UPDATED},
              CASE WHEN row_number() OVER ({by_moment}) > 1 THEN {UPDATED} END AS {VALID_FROM},
              lead({UPDATED}) OVER ({by_moment}) AS {VALID_TO}
            FROM changed"""
    )
