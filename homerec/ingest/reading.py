# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""The one way to read the lake's tables that keep their history: as of an instant, or as of now.

A lake written under an earlier contract is read too: columns that it lacks are NULL, and rows
without validity have always been in force.
"""

from datetime import datetime
from pathlib import Path

import duckdb

from homerec.errors import EmptyInput
from homerec.ingest.contracts import CONTRACTS, Contract
from homerec.ingest.quoting import ident, instant, text
from homerec.ingest.schema import VALID_FROM, VALID_TO, lake_schema, row_columns
from homerec.lake import Lake


def versions_sql(connection: duckdb.DuckDBPyConnection, contract: Contract, path: Path) -> str:
    """Build the SELECT of every version in a table's file, with all columns of today's contract.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Looks into the file for the columns that it has.
    contract : Contract
        The table.
    path : Path
        Its Parquet file; where it is missing the SELECT gives no row.
    """
    schema = lake_schema(contract)
    if not path.exists():
        nothing = ", ".join(f"CAST(NULL AS {kind}) AS {ident(n)}" for n, kind in schema.items())
        return f"SELECT {nothing} WHERE false"
    source = f"read_parquet({text(path)}, hive_partitioning = false)"
    present = {r[0] for r in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    columns = ", ".join(
        f"CAST({ident(name) if name in present else 'NULL'} AS {kind}) AS {ident(name)}"
        for name, kind in schema.items()
    )
    return f"SELECT {columns} FROM {source}"


def in_force_sql(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    path: Path,
    known_at: datetime | None,
) -> str:
    """Build the SELECT of the rows in force, one for each key, without the columns of history.

    Parameters
    ----------
    connection, contract, path
        As for :func:`versions_sql`.
    known_at : datetime or None
        Aware. As for events, what came at this instant or later does not count; ``None`` gives the
        open versions: today's rows.
    """
    columns = ", ".join(ident(n) for n in row_columns(contract))
    if known_at is None:
        where = f"{VALID_TO} IS NULL"
    else:
        at = instant(known_at)
        where = (
            f"({VALID_FROM} IS NULL OR {VALID_FROM} < {at}) "
            f"AND ({VALID_TO} IS NULL OR {VALID_TO} >= {at})"
        )
    return f"SELECT {columns} FROM ({versions_sql(connection, contract, path)}) WHERE {where}"


def expose_table(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    name: str,
    known_at: datetime | None,
    *,
    view: str = "",
    path: Path | None = None,
    required: bool = False,
) -> bool:
    """Make a lake table's rows in force readable by name, as a temporary view.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Gets the view.
    lake : Lake
        Where the table lies.
    name : str
        The table, one of those that keep their history.
    known_at : datetime or None
        Aware; as for :func:`in_force_sql`.
    view : str
        Name of the view, by default the table's.
    path : Path, optional
        Parquet file that stands for the table's.
    required : bool
        Whether a missing table is an error; else the view has no row.

    Returns
    -------
    bool
        Whether the table is there.

    Raises
    ------
    EmptyInput
        The table is required and not there.
    """
    path = path or lake.table(name)
    if required and not path.exists():
        raise EmptyInput(f"The lake has no {name} ({path}). Ingest them first: `homerec ingest`.")
    query = in_force_sql(connection, CONTRACTS[name], path, known_at)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {ident(view or name)} AS {query}")
    return path.exists()
