"""Rows and mentions of a listener out of every table of a database, found by reflection."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from homerec.columns import LISTENER, LISTENER_ID
from homerec.forget.report import Finding
from homerec.forget.targets import Targets

logger = logging.getLogger(__name__)

_PAGE: Final = 40
_BATCH: Final = 1_000
_LOCK_SECONDS: Final = 5
_HOMES: Final = "home_shelf"
#: A database may be shared: a key in somebody else's table is somebody else.
_OWNED: Final = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
      AND (c.relowner = current_user::regrole OR n.nspname IN ('homerec', 'mlflow'))
"""


@dataclass
class DatabaseSearch:
    """The tables of one database.

    Attributes
    ----------
    engine : sqlalchemy.Engine
    targets : Targets
    place : str
        What its findings are called, such as ``postgres``.
    apply : bool
        Change rows; otherwise only count.
    keyed : bool
        Whether a column ``listener`` holds dense keys.
    dags : sequence of str, optional
        Where a table has a ``dag_id``, only rows of these (LIKE patterns) are overwritten.
    touched : list of sqlalchemy.Table
        Tables in which something was found.
    """

    engine: sa.Engine
    targets: Targets
    place: str
    apply: bool
    keyed: bool = True
    dags: Sequence[str] | None = None
    findings: list[Finding] = field(default_factory=list)
    touched: list[sa.Table] = field(default_factory=list)

    def run(self) -> list[Finding]:
        """Go through every table of every schema; returns what was found."""
        tables = list(self.tables())
        # Rows first: a row that goes as a whole needs no overwriting.
        for table in tables:
            with self.engine.begin() as connection:
                self._rows(connection, table)
        for table in tables:
            with self.engine.begin() as connection:
                self._mentions(connection, table)
        return self.findings

    def tables(self) -> Iterator[sa.Table]:
        """Yield the tables of every schema but the system's."""
        inspector = sa.inspect(self.engine)
        owned = self._owned()
        names: list[str | None] = [None] if self._sqlite else list(inspector.get_schema_names())
        for schema in names:
            if schema is not None and (schema == "information_schema" or schema.startswith("pg_")):
                continue
            meta = sa.MetaData(schema=schema)
            reflected = set(inspector.get_table_names(schema))
            names_here = reflected if owned is None else reflected & owned.get(schema or "", set())
            if names_here:
                meta.reflect(self.engine, only=sorted(names_here), resolve_fks=False)
            yield from (meta.tables[name] for name in sorted(meta.tables))

    def _owned(self) -> dict[str, set[str]] | None:
        """Tables of Postgres by schema that are this role's; ``None`` elsewhere: all are."""
        if not self._postgres:
            return None
        found: dict[str, set[str]] = {}
        with self.engine.connect() as connection:
            for schema, table in connection.execute(sa.text(_OWNED)):
                found.setdefault(schema, set()).add(table)
        return found

    @property
    def _sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def _postgres(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def _rows(self, connection: sa.Connection, table: sa.Table) -> None:
        conditions: list[sa.ColumnElement[bool]] = []
        if LISTENER_ID in table.c:
            name = sa.cast(table.c[LISTENER_ID], sa.Text)
            conditions += [name.in_(part) for part in _parts(sorted(self.targets.ids), _BATCH)]
        if LISTENER in table.c and self.keyed and isinstance(table.c[LISTENER].type, sa.Integer):
            key = table.c[LISTENER]
            conditions += [key.in_(part) for part in _parts(sorted(self.targets.keys), _BATCH)]
        if not conditions:
            return
        mine = sa.or_(*conditions)
        if self.apply:
            n = connection.execute(sa.delete(table).where(mine)).rowcount
        else:
            count = sa.select(sa.func.count()).select_from(table).where(mine)
            n = int(connection.execute(count).scalar_one())
        self._note(table, "rows", n)

    def _mentions(self, connection: sa.Connection, table: sa.Table) -> None:
        columns = [c for c in table.c if _is_text(c.type) or isinstance(c.type, sa.LargeBinary)]
        wanted = [*self.targets.variants, *(f"listener%{n}" for n in self.targets.numbered)]
        if not columns or not wanted:
            return
        where = self._locator(table)
        if where is None:
            logger.warning("%s has no key; its texts were not searched", table.fullname)
            self._note(table, "left", 1)
            return
        for part in _parts(wanted, _PAGE):
            query = sa.select(*where, *(_readable(c) for c in columns)).where(
                sa.or_(*(self._holds(c, w) for c in columns for w in part))
            )
            if self.dags is not None and "dag_id" in table.c:
                query = query.where(_of_dags(table, self.dags))
            if self.apply and not self._sqlite:
                query = query.with_for_update()
            for row in connection.execute(query).fetchall():
                self._one(connection, table, columns, where, tuple(row))

    def _holds(self, column: sa.Column[Any], wanted: str) -> sa.ColumnElement[bool]:
        if isinstance(column.type, sa.LargeBinary):
            code = wanted.encode().hex()
            if self._postgres:
                return sa.func.encode(column, "hex").contains(code)
            return sa.func.lower(sa.func.hex(column)).contains(code)
        text = sa.cast(column, sa.Text)
        pattern = "%" in wanted
        return text.like(f"%{wanted}%") if pattern else text.contains(wanted, autoescape=True)

    def _locator(self, table: sa.Table) -> list[Any] | None:
        """Say what names one row: Postgres and SQLite name each, others have a primary key."""
        if self._postgres:
            return [sa.cast(sa.literal_column("ctid"), sa.Text)]
        keys: list[Any] = list(table.primary_key.columns)
        if not keys and self._sqlite:
            keys = [sa.literal_column("rowid")]
        return keys or None

    def _one(
        self,
        connection: sa.Connection,
        table: sa.Table,
        columns: list[sa.Column[Any]],
        where: list[Any],
        row: tuple[Any, ...],
    ) -> None:
        """Overwrite the mentions in one row."""
        changes: dict[str, Any] = {}
        total = 0
        for column, value in zip(columns, row[len(where) :], strict=True):
            new, n = self._redacted(column, value)
            total += n
            if n:
                changes[column.name] = new
        if not total:
            return
        if not self.apply:
            self._note(table, "mentions", total)
            return
        named = zip(where, row[: len(where)], strict=True)
        matches = (
            sa.text("ctid = CAST(:row AS tid)").bindparams(row=row[0])
            if self._postgres
            else sa.and_(*(part == value for part, value in named))
        )
        try:
            with connection.begin_nested():
                connection.execute(sa.update(table).where(matches).values(changes))
        except sa.exc.IntegrityError as error:
            # Such as the id of a run that other rows refer to.
            logger.warning("a row of %s keeps its mention: %s", table.fullname, error.orig)
            self._note(table, "left", total)
            return
        self._note(table, "mentions", total)

    def _redacted(self, column: sa.Column[Any], value: Any) -> tuple[Any, int]:
        if value is None:
            return None, 0
        if isinstance(column.type, sa.LargeBinary):
            raw = bytes(value)
            # Byte for byte: a length may stand beside it.
            text, n = self.targets.redact(raw.decode("utf-8", "surrogateescape"), same_length=True)
            return text.encode("utf-8", "surrogateescape"), n
        text, n = self.targets.redact(str(value))
        limit = getattr(column.type, "length", None)
        if n and limit and len(text) > limit:
            text, _ = self.targets.redact(str(value), same_length=True)
        given = sa.literal(text, sa.Text)
        # SQLite would read a text cast to JSON as a number.
        return given if self._sqlite else sa.cast(given, column.type), n

    def _note(self, table: sa.Table, what: Any, n: int) -> None:
        if not n:
            return
        place = f"{self.place} {table.schema}" if table.schema else self.place
        self.findings.append(Finding(place, table.name, what, n))
        if table not in self.touched:
            self.touched.append(table)


def _parts(values: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(values[i : i + size]) for i in range(0, len(values), size)]


def _is_text(kind: Any) -> bool:
    inner = kind.item_type if isinstance(kind, sa.ARRAY) else kind
    return isinstance(inner, sa.String | sa.JSON) and not isinstance(inner, sa.Enum)


def _readable(column: sa.Column[Any]) -> Any:
    return column if isinstance(column.type, sa.LargeBinary) else sa.cast(column, sa.Text)


def _of_dags(table: sa.Table, dags: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.or_(*(sa.cast(table.c.dag_id, sa.Text).like(d, escape="\\") for d in dags))


def compact(engine: sa.Engine, tables: Sequence[sa.Table]) -> list[str]:
    """Write tables of Postgres anew without their deleted rows, and their statistics with them.

    Statistics keep values of a column as examples. A table that readers use is locked for as long
    as it is written; one that cannot be had within some seconds is vacuumed without a lock.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    tables : sequence of sqlalchemy.Table

    Returns
    -------
    list of str
        Tables that were not written anew.
    """
    waited = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"SET lock_timeout = '{_LOCK_SECONDS}s'"))
        preparer = engine.dialect.identifier_preparer
        for table in tables:
            name = preparer.format_table(table)
            # Homes hold keys alone, and are the one table that must never be locked.
            full = any(_is_text(c.type) for c in table.c) and table.name != _HOMES
            try:
                connection.execute(sa.text(f"VACUUM ({'FULL, ' if full else ''}ANALYZE) {name}"))
            except sa.exc.OperationalError as error:
                logger.warning("%s is in use, it is vacuumed without a lock: %s", name, error.orig)
                connection.execute(sa.text(f"VACUUM (ANALYZE) {name}"))
                waited.append(name)
    return waited
