"""What the lake's tables look like: their columns and types, made from the contracts."""

from typing import Final

from homerec.ingest.contracts import CONTRACTS, Contract

_TYPES: Final = {
    "text": "VARCHAR", "integer": "INTEGER", "instant": "TIMESTAMP", "texts": "VARCHAR[]",
}  # fmt: skip
#: Recognises a row of an append table that is delivered again.
EVENT_HASH: Final = "event_hash"
#: When a version of a row became true: its own ``updated_at``, else the moment of its ingest; NULL
#: for what homerec made up itself.
UPDATED: Final = "updated_at"
#: A version is in force in [valid_from, valid_to); NULL is without bound, and NULL as valid_to
#: marks the one open version of a key.
VALID_FROM: Final = "valid_from"
VALID_TO: Final = "valid_to"
HISTORY: Final = (UPDATED, VALID_FROM, VALID_TO)


def lake_schema(contract: Contract) -> dict[str, str]:
    """Columns of a lake table, in order, with their DuckDB types.

    Parameters
    ----------
    contract : Contract
        The table; ``upsert`` tables end in the columns of :data:`HISTORY`.
    """
    schema: dict[str, str] = {}
    for column in contract.columns:
        if contract.defines and column.name == contract.key[0]:
            schema |= {column.lake: "INTEGER", column.name: "VARCHAR"}
        elif column.references:
            schema[column.lake_name] = "INTEGER"
        elif column.name not in (UPDATED, "event_id"):
            schema[column.lake_name] = _TYPES[column.kind]
    if contract.write == "append":
        return {**schema, EVENT_HASH: "UBIGINT"}
    return {**schema, **dict.fromkeys(HISTORY, "TIMESTAMP")}


def row_columns(contract: Contract) -> list[str]:
    """Names of the columns that tell two versions of a row apart, or two rows."""
    return [name for name in lake_schema(contract) if name not in HISTORY]


def order_columns(contract: Contract) -> list[str]:
    """Columns that a lake table's rows are sorted by, so that queries skip row groups."""
    if contract.write == "append":
        return ["listener", contract.time, EVENT_HASH]
    return [*(contract.column(k).lake_name for k in contract.key), UPDATED]


#: Lake schema by table.
SCHEMAS: Final = {name: lake_schema(contract) for name, contract in CONTRACTS.items()}
