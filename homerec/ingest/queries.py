"""Tables that a mapping reads with a query, in place of files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from homerec.errors import MappingError
from homerec.ingest.checks import number_of
from homerec.ingest.contracts import Contract

#: Keys of a table in a mapping that belong to files, and to queries.
OF_FILES: Final = ("files", "format", "csv")
OF_QUERIES: Final = ("query", "table", "overlap_hours")
#: The parameter that a query may use: from when on rows are wanted.
SINCE: Final = "since"


@dataclass(frozen=True)
class Query:
    """Rows of a database: a query's, or a whole table's; exactly one of the two is set.

    Attributes
    ----------
    text : str or None
        SQL; may use ``:since``.
    table : str or None
        Name of a table or view, with its schema where it is not the user's own.
    uses_since : bool
        Whether the query has the parameter.
    overlap_hours : float
        How far ``:since`` lies before the newest row that the lake has.
    """

    text: str | None = None
    table: str | None = None
    uses_since: bool = False
    overlap_hours: float = 24.0

    @property
    def name(self) -> str:
        """What stands in reports and quarantine in a file's place."""
        return f"table {self.table}" if self.table else "query"


def query_of(contract: Contract, keys: Mapping[str, Any], where: str) -> Query | None:
    """Read the keys of a table that is not made of files.

    Parameters
    ----------
    contract : Contract
        The table.
    keys : mapping
        All keys of the table in the mapping.
    where : str
        Place in the mapping, for messages.

    Returns
    -------
    Query or None
        ``None`` where the table is made of files.

    Raises
    ------
    MappingError
        Keys of both kinds, or a parameter that a query does not get.
    """
    given = [k for k in ("files", "query", "table") if keys.get(k)]
    if len(given) > 1:
        raise MappingError(f"{where} has {' and '.join(given)}; exactly one of them is needed.")
    if not given:
        raise MappingError(
            f"{where} needs 'files', a pattern such as '{contract.name}/*.csv', or 'query' or "
            "'table' of a database."
        )
    of_other = OF_QUERIES if given == ["files"] else OF_FILES
    for key in of_other:
        if key in keys:
            raise MappingError(f"{where}.{key} does not go with '{given[0]}'.")
    if given == ["files"]:
        return None
    overlap = number_of(keys, "overlap_hours", where)
    text = str(keys["query"]).strip().rstrip(";") if given == ["query"] else None
    uses_since = text is not None and _uses_since(text, contract, f"{where}.query")
    if overlap is not None and (overlap < 0 or not uses_since):
        raise MappingError(
            f"{where}.overlap_hours is {overlap:g}: it must be 0 or more, and goes with a query "
            "that uses :since."
        )
    return Query(
        text=text,
        table=None if text is not None else str(keys["table"]),
        uses_since=uses_since,
        overlap_hours=Query.overlap_hours if overlap is None else overlap,
    )


def _uses_since(text: str, contract: Contract, where: str) -> bool:
    names = sorted(sa.text(text).compile().params)
    unknown = [name for name in names if name != SINCE]
    if unknown:
        raise MappingError(
            f"{where} uses the parameter :{unknown[0]}; only :since is there. Write \\: for a "
            "colon that starts no parameter."
        )
    if names and not contract.time:
        raise MappingError(
            f"{where} uses :since, and rows of {contract.name} have no time that the lake could "
            "compare. Read the whole table; what has not changed changes nothing."
        )
    return bool(names)
