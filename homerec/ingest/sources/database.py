"""Queries of a database, over any SQLAlchemy URL: their rows, staged as Parquet.

As with text files, every value is staged as text, so that the staged file does not depend on which
rows came first, no number loses a digit, and a bad value is the fault of one row. The mapping turns
texts into the contract's types.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from homerec.errors import MalformedFile, SourceError, TransientError
from homerec.ingest.mapping import TableMap
from homerec.ingest.queries import SINCE, Query
from homerec.ingest.sources.found import Progress
from homerec.ingest.sources.hiding import scrubbed, shown_url
from homerec.ingest.sources.opening import Opened, check_columns, unused_columns

#: Rows held in memory at once, and of one row group of the staged file.
CHUNK_ROWS: Final = 20_000

#: First statements of the transaction, by dialect: one state of the data for all queries, read
#: only, with times in UTC.
_FIRST: Final[dict[str, tuple[str, ...]]] = {
    "postgresql": (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL TIME ZONE 'UTC'",
    ),
    "sqlite": ("PRAGMA query_only = ON",),
}
#: Driver where a URL of Postgres names none; homerec comes with it.
POSTGRES: Final = "postgresql+psycopg2"
_NEXT: Final = count()


class Database:
    """A database that queries are read from.

    Parameters
    ----------
    url : str
        SQLAlchemy URL.

    Raises
    ------
    SourceError
        It is not a URL, or of a database that SQLAlchemy has no dialect or driver for. No message
        of this class holds a password.
    """

    def __init__(self, url: str) -> None:
        self.url = parse(url)
        self.shown = shown_url(self.url)
        try:
            # No pool: the connection is used once. Parameters in errors could be data.
            self._engine = sa.create_engine(
                self.url, poolclass=sa.pool.NullPool, hide_parameters=True
            )
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            raise SourceError(
                f"{self.shown} cannot be opened: {scrubbed(str(error), self.url)}. Install the "
                "driver that the URL names, or correct the part before '://'."
            ) from None
        except (sa.exc.ArgumentError, TypeError, ValueError) as error:
            raise SourceError(
                f"{self.shown} cannot be opened: {scrubbed(str(error), self.url)}."
            ) from None

        if self._engine.dialect.is_async:
            raise SourceError(
                f"{self.shown} names an asynchronous driver. Name another one, for Postgres "
                f"{POSTGRES}://."
            )

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """Open one transaction, read only where the dialect can, and roll it back at the end.

        Raises
        ------
        SourceError
            The database refuses the user.
        TransientError
            It cannot be reached.
        """
        name = self.url.database or ":memory:"
        is_file = self.url.get_backend_name() == "sqlite" and not name.startswith((":", "file:"))
        if is_file and not Path(name).is_file():
            # SQLite would make an empty one.
            raise SourceError(f"{self.shown}: there is no file {name}. Correct the URL.")
        try:
            connection = self._engine.connect()
        except sa.exc.DBAPIError as error:
            said = self._said(error)
            if "authentication failed" in said or "no password supplied" in said:
                raise SourceError(
                    f"{self.shown} refuses the user: {said}. Check the user and the password in "
                    "the URL, or in the variable that holds it."
                ) from None
            raise TransientError(
                f"{self.shown} cannot be reached: {said}. Check that it runs, and try again."
            ) from None
        with connection:
            for statement in _FIRST.get(self._engine.dialect.name, ()):
                connection.execute(sa.text(statement))
            try:
                yield connection
            finally:
                # Nothing of ours is to stay, also where the dialect knows no read-only transaction.
                connection.rollback()

    def stage(
        self,
        connection: sa.Connection,
        table: TableMap,
        staging: Path,
        *,
        since: datetime,
        limit: int | None = None,
        progress: Progress,
    ) -> Opened:
        """Run a table's query and stage its rows in their order.

        Parameters
        ----------
        connection : sqlalchemy.Connection
            From :meth:`connected`.
        table : TableMap
            Whose query to run.
        staging : Path
            Folder for the staged file.
        since : datetime
            Value of ``:since``, aware.
        limit : int, optional
            Fetch no more rows than these.
        progress : callable
            Called with a line of text after each chunk.

        Returns
        -------
        Opened
            A Parquet file whose row numbers are those of the result.

        Raises
        ------
        MalformedFile
            The result lacks a column that the mapping needs, or names one twice.
        SourceError
            The database refuses the query, or a value of it does not fit Python's types.
        TransientError
            The connection broke.
        """
        query = table.query
        assert query is not None  # noqa: S101 - only tables with a query are staged
        what = f"{self.shown}, {query.name} of {table.table}"
        target = staging / f"rows{next(_NEXT)}.parquet"
        chunk = CHUNK_ROWS if limit is None else min(CHUNK_ROWS, limit)
        streamed = connection.execution_options(stream_results=True, yield_per=chunk)
        try:
            with streamed.execute(*self._statement(query, since)) as result:
                columns = list(result.keys())
                _check_names(what, columns)
                check_columns(what, columns, columns, table.source_columns)
                # Without the size here, SQLAlchemy fetches everything at once.
                _write(result.partitions(chunk), columns, target, limit, table.table, progress)
        except sa.exc.DBAPIError as error:
            said = self._said(error)
            if self._may_pass(error):
                raise TransientError(
                    f"{what} broke off: {said}. Nothing was written to the lake; try again."
                ) from None
            raise SourceError(f"{what} was refused: {said}. Correct the mapping.") from None
        except sa.exc.ResourceClosedError:
            raise SourceError(f"{what} gives no rows. A SELECT is needed.") from None
        except (ValueError, OverflowError) as error:
            if isinstance(error, MalformedFile):
                raise
            raise SourceError(
                f"{what} has a value that Python cannot hold: {scrubbed(str(error), self.url)}. "
                "Cast the column to text in the query."
            ) from None
        return Opened(
            target,
            target,
            dict.fromkeys(columns, "VARCHAR"),
            "parquet",
            name=query.name,
            label=what,
            unused=unused_columns(columns, table.source_columns),
            absent=tuple(sorted(set(table.source_columns) - set(columns))),
        )

    def _statement(self, query: Query, since: datetime) -> tuple[Any, ...]:
        if query.table is not None:
            schema, _, name = query.table.rpartition(".")
            named = sa.table(name, schema=schema or None)
            return (sa.select(sa.text("*")).select_from(named),)
        statement = sa.text(str(query.text))
        if not query.uses_since:
            return (statement,)
        # Naive, like every time in the lake: without an offset a time is UTC.
        moment = since.astimezone(UTC).replace(tzinfo=None)
        return statement.bindparams(sa.bindparam(SINCE, type_=sa.DateTime())), {SINCE: moment}

    def _may_pass(self, error: sa.exc.DBAPIError) -> bool:
        # For Postgres the class tells; others use it also for a table that is not there.
        operational = isinstance(error, sa.exc.OperationalError)
        return error.connection_invalidated or (
            operational and self._engine.dialect.name == "postgresql"
        )

    def _said(self, error: sa.exc.DBAPIError) -> str:
        lines = [line.strip() for line in str(error.orig).strip().splitlines()]
        return scrubbed(" ".join(line for line in lines if line), self.url)


def parse(url: str) -> URL:
    """Parse a SQLAlchemy URL.

    Raises
    ------
    SourceError
        It cannot be parsed; the message does not hold it.
    """
    scheme, _, rest = url.partition("://")
    try:
        if not rest.startswith("/") and rest.partition("?")[0].count("@") > 1:
            # A part of the password would be taken for the host's name, and shown.
            raise ValueError("more than one @")
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise SourceError(
            f"The URL {scheme}://... of the source cannot be read; needed is "
            "dialect+driver://user:password@host:port/database. In a user name or a password, "
            "write @ as %40, : as %3A and / as %2F."
        ) from None
    # What other tools write; SQLAlchemy would look for a driver that is not ours.
    plain = parsed.drivername in ("postgres", "postgresql")
    return parsed.set(drivername=POSTGRES) if plain else parsed


def _check_names(what: str, columns: Sequence[str]) -> None:
    folded = [c.casefold() for c in columns]
    twice = sorted({c for c in columns if folded.count(c.casefold()) > 1})
    if twice:
        raise MalformedFile(f"{what} gives {', '.join(twice)} more than once; name them with AS.")


def _write(
    chunks: Iterable[Sequence[Sequence[Any]]],
    columns: list[str],
    target: Path,
    limit: int | None,
    table: str,
    progress: Progress,
) -> None:
    schema = pa.schema([pa.field(name, pa.string()) for name in columns])
    n_rows = 0
    with pq.ParquetWriter(target, schema, compression="lz4") as writer:
        for chunk in chunks:
            rows = chunk if limit is None else chunk[: limit - n_rows]
            values = zip(*rows, strict=True) if rows else [()] * len(columns)
            arrays = [pa.array([rendered(v) for v in column], pa.string()) for column in values]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            n_rows += len(rows)
            progress(f"querying {table} ({n_rows:,} rows)")
            if limit is not None and n_rows >= limit:
                break


def rendered(value: Any) -> str | None:
    """Write a database's value as the text that a file would have.

    Instants are UTC, bytes hexadecimal, intervals seconds, arrays and objects JSON.

    >>> rendered(Decimal("1.50")), rendered(True), rendered(["a", "b"]), rendered(None)
    ('1.50', 'true', '["a", "b"]', None)
    """
    if value is None or type(value) is str:
        return value
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    return str(value)


def _instant(value: datetime) -> str:
    return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=rendered)


#: The first kind that fits writes the value; a bool is an int, and a datetime a date.
_WRITERS: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    (bool, lambda v: "true" if v else "false"),
    (int, str),
    (float, repr),
    (Decimal, lambda v: format(v, "f")),
    (datetime, _instant),
    ((date, time), lambda v: v.isoformat()),
    (timedelta, lambda v: repr(v.total_seconds())),
    ((bytes, bytearray, memoryview), lambda v: bytes(v).hex()),
    ((list, tuple, dict), _json),
    ((set, frozenset), lambda v: _json(sorted(v, key=str))),
)
