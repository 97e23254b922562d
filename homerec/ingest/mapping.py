"""Mapping files: how a source's own columns become the contract's; YAML, checked strictly.

Every key is described in ``config/mappings/README.md``. A misspelt key is an error, never ignored.
"""

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from homerec.columns import ITEM_TYPES
from homerec.errors import MappingError, SettingsError
from homerec.ingest.checks import (
    check_fits,
    check_literal,
    from_events,
    keys_of,
    moment_of,
    number_of,
    text_of,
    texts_of,
)
from homerec.ingest.contracts import CONTRACTS, Column, Contract
from homerec.ingest.queries import OF_FILES, OF_QUERIES, Query, query_of
from homerec.lake import checksum_text
from homerec.settings import resource

Format = Literal["parquet", "csv", "jsonl"]
FORMATS: Final = ("parquet", "csv", "jsonl")


@dataclass(frozen=True)
class CsvOptions:
    """How a text table is written.

    Attributes
    ----------
    delimiter : str or None
        One character; ``None`` means by suffix (tab for ``.tsv``, else comma).
    header : bool
        Whether the first line holds the names.
    names : tuple of str
        Names of the columns where there is no header.
    quote : str
        Quoting character, doubled inside quotes; empty for none.
    encoding : str
        ``utf-8``, ``latin-1`` or ``utf-16``.
    nulls : tuple of str
        Texts that mean "no value".
    """

    delimiter: str | None = None
    header: bool = True
    names: tuple[str, ...] = ()
    quote: str = '"'
    encoding: str = "utf-8"
    nulls: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Spread:
    """A deterministic pseudo-random instant in ``[start, end)`` from a hash of source columns."""

    start: datetime
    end: datetime
    by: tuple[str, ...]


@dataclass(frozen=True)
class ColumnMap:
    """Where one contract column comes from; exactly one of column, constant, spread is set."""

    target: str
    column: str | None = None
    constant: str | None = None
    spread: Spread | None = None
    unit: str | None = None
    multiply: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    default: str | None = None
    prefix: str = ""
    split: str = "|"
    values: tuple[tuple[str, str], ...] = ()
    optional: bool = False

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Columns of the source that it reads."""
        if self.column is not None:
            return (self.column,)
        return self.spread.by if self.spread else ()


@dataclass(frozen=True)
class TableMap:
    """How one contract table is read: from files, or with a query."""

    table: str
    files: tuple[str, ...]
    columns: dict[str, ColumnMap]
    format: Format | None = None
    csv: CsvOptions = CsvOptions()
    arrival: Literal["column", "ingest", "historical"] = "column"
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()
    query: Query | None = None

    @property
    def source_columns(self) -> dict[str, bool]:
        """Columns of the source that are read -> whether a file may lack them."""
        result: dict[str, bool] = {name: False for name, _ in self.only}
        for column in self.columns.values():
            for name in column.source_columns:
                result[name] = result.get(name, True) and column.optional
        return result


@dataclass(frozen=True)
class DeriveListeners:
    """Listeners made of the events' listener ids."""

    market: str
    time_zone: str


@dataclass(frozen=True)
class Titles:
    """A file with the titles of derived items."""

    file: str
    id: str
    title: str
    csv: CsvOptions = CsvOptions()


@dataclass(frozen=True)
class DeriveItems:
    """Items of one type made of the ids in one of the events' columns."""

    column: str
    type: str
    titles: Titles | None = None


@dataclass(frozen=True)
class SourceMapping:
    """A whole mapping file.

    Attributes
    ----------
    name, description : str
        For people; the name also stands in reports.
    tables : dict of str to TableMap
        By contract table, in the order of ingest.
    derive_listeners : DeriveListeners or None
        How listeners are made where the source has none.
    derive_items : tuple of DeriveItems
        How items are made where the source has none.
    url_env : str or None
        Environment variable with the SQLAlchemy URL that queries are run on.
    digest : str
        SHA-256 of the file's text.
    """

    name: str
    description: str
    tables: dict[str, TableMap]
    derive_listeners: DeriveListeners | None = None
    derive_items: tuple[DeriveItems, ...] = ()
    url_env: str | None = None
    digest: str = ""
    path: Path = field(default=Path(), compare=False)


def load_mapping(mapping: Path | str) -> SourceMapping:
    """Read and check a mapping file.

    Parameters
    ----------
    mapping : Path or str
        A path, or the name of a file in ``config/mappings/`` without ``.yaml``.

    Raises
    ------
    MappingError
        The file is missing, not YAML, has an unknown key, table, column or unit, or leaves a
        required column without a source.
    """
    path = _find(mapping)
    text = path.read_text(encoding="utf-8")
    try:
        node = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MappingError(f"{path} is not valid YAML: {error}") from error
    try:
        return _Reader(path).mapping(node, checksum_text([text]))
    except MappingError as error:
        raise MappingError(f"{path}: {error} See config/mappings/README.md.") from None


def _find(mapping: Path | str) -> Path:
    path = Path(mapping)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or len(path.parts) != 1:
        raise MappingError(f"The mapping file {path} does not exist.")
    try:
        return resource(f"config/mappings/{mapping}.yaml")
    except SettingsError:
        folder = resource("config/mappings")
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise MappingError(
            f"No mapping {mapping!r}; shipped are {known}. Name one of them or give a path."
        ) from None


class _Reader:
    """Turns parsed YAML into the classes above; ``where`` names the place for errors."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mapping(self, node: Any, digest: str) -> SourceMapping:
        keys = keys_of(node, ("name", "description", "url_env", "tables", "derive"), "the file")
        tables_node = keys_of(keys.get("tables"), tuple(CONTRACTS), "tables")
        if not tables_node:
            raise MappingError("'tables' names no table.")
        tables = {
            name: self.table(CONTRACTS[name], tables_node[name])
            for name in CONTRACTS
            if name in tables_node
        }
        derive = keys_of(keys.get("derive") or {}, ("listeners", "items"), "derive")
        if derive and "events" not in tables:
            raise MappingError("'derive' needs the table events.")
        items = derive.get("items") or []
        url_env = keys.get("url_env")
        if url_env is not None and not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", str(url_env)):
            # Not quoted in the message: it may be the URL itself, with its password.
            raise MappingError("'url_env' must be the name of an environment variable.")
        return SourceMapping(
            name=str(keys.get("name") or self.path.stem),
            description=str(keys.get("description") or ""),
            tables=tables,
            derive_listeners=(
                self.derive_listeners(derive["listeners"]) if "listeners" in derive else None
            ),
            derive_items=tuple(
                self.derive_items(n, tables["events"])
                for n in (items if isinstance(items, list) else [items])
            ),
            url_env=None if url_env is None else str(url_env),
            digest=digest,
            path=self.path,
        )

    def table(self, contract: Contract, node: Any) -> TableMap:
        where = f"tables.{contract.name}"
        known = (*OF_FILES, *OF_QUERIES, "columns", "arrival", "only")
        keys = keys_of(node, known, where)
        files = texts_of(keys.get("files"), f"{where}.files")
        query = query_of(contract, keys, where)
        outside = [f for f in files if Path(f).is_absolute() or ".." in Path(f).parts]
        if outside:
            raise MappingError(f"{where}.files must stay in the source folder, not {outside[0]!r}.")
        form = keys.get("format")
        if form is not None and form not in FORMATS:
            raise MappingError(f"{where}.format is {form!r}, allowed are {', '.join(FORMATS)}.")
        columns = self.columns(contract, keys.get("columns"), where)
        arrival = self.arrival(contract, keys.get("arrival"), columns, where)
        missing = [
            c.name
            for c in contract.columns
            if c.required and c.name not in columns
            and not (c.name == "arrived_at" and arrival != "column")
        ]  # fmt: skip
        if missing:
            raise MappingError(
                f"{where}.columns gives no source for the required {', '.join(missing)}. "
                "Add a column, or a constant."
            )
        only = keys.get("only") or {}
        if not isinstance(only, Mapping):
            raise MappingError(f"{where}.only must be 'source column: [values]'.")
        return TableMap(
            table=contract.name,
            files=files,
            columns=columns,
            format=form,
            csv=self.csv(keys.get("csv"), f"{where}.csv"),
            arrival=arrival,
            only=tuple((str(k), texts_of(v, f"{where}.only.{k}")) for k, v in only.items()),
            query=query,
        )

    def columns(self, contract: Contract, node: Any, where: str) -> dict[str, ColumnMap]:
        if node == "identity":
            return {
                c.name: ColumnMap(c.name, column=c.name, optional=not c.required)
                for c in contract.columns
            }
        keys = keys_of(node, contract.names, f"{where}.columns")
        return {
            name: self.column(contract.column(name), keys[name], f"{where}.columns.{name}")
            for name in contract.names
            if name in keys
        }

    def column(self, column: Column, node: Any, where: str) -> ColumnMap:
        if isinstance(node, str):
            return ColumnMap(column.name, column=node)
        known = ("column", "constant", "spread", "unit", "multiply", "min", "max", "default",
                 "prefix", "split", "values", "optional")  # fmt: skip
        keys = keys_of(node, known, where)
        if sum(k in keys for k in ("column", "constant", "spread")) != 1:
            raise MappingError(f"{where} needs exactly one of column, constant, spread.")
        check_fits(column, keys, where)
        default = keys.get("default")
        for given in (keys.get("constant"), default):
            if given is not None:
                check_literal(column, text_of(given), where)
        values = keys.get("values") or {}
        if not isinstance(values, Mapping):
            raise MappingError(f"{where}.values must be 'value in the source: value'.")
        return ColumnMap(
            column.name,
            column=None if keys.get("column") is None else str(keys["column"]),
            constant=text_of(keys["constant"]) if "constant" in keys else None,
            spread=self.spread(keys["spread"], f"{where}.spread") if "spread" in keys else None,
            unit=keys.get("unit"),
            multiply=number_of(keys, "multiply", where),
            minimum=number_of(keys, "min", where),
            maximum=number_of(keys, "max", where),
            default=None if default is None else text_of(default),
            prefix=str(keys.get("prefix") or ""),
            split=str(keys.get("split") or "|"),
            values=tuple((text_of(k), text_of(v)) for k, v in values.items()),
            optional=bool(keys.get("optional", False)),
        )

    def spread(self, node: Any, where: str) -> Spread:
        keys = keys_of(node, ("from", "to", "by"), where)
        by = texts_of(keys.get("by"), f"{where}.by")
        start, end = (moment_of(keys.get(k), f"{where}.{k}") for k in ("from", "to"))
        if not by or start >= end:
            raise MappingError(f"{where} needs 'by' (source columns), and 'from' before 'to'.")
        return Spread(start, end, by)

    def arrival(
        self, contract: Contract, node: Any, columns: dict[str, ColumnMap], where: str
    ) -> Literal["column", "ingest", "historical"]:
        if node is None:
            return "column"
        if not contract.has_arrival:
            raise MappingError(f"{where}.arrival: the table {contract.name} has no arrived_at.")
        if "arrived_at" in columns:
            raise MappingError(f"{where} gives both arrival and columns.arrived_at; keep one.")
        if node == "ingest" or node == "historical":
            return "ingest" if node == "ingest" else "historical"
        if not isinstance(node, Mapping):
            raise MappingError(
                f"{where}.arrival is {node!r}, allowed are ingest, historical, "
                "{column: ..., unit: ...}."
            )
        columns["arrived_at"] = self.column(contract.column("arrived_at"), node, f"{where}.arrival")
        return "column"

    def csv(self, node: Any, where: str) -> CsvOptions:
        if node is None:
            return CsvOptions()
        keys = keys_of(node, ("delimiter", "header", "names", "quote", "encoding", "nulls"), where)
        header = bool(keys.get("header", True))
        names = texts_of(keys.get("names"), f"{where}.names")
        if header == bool(names):
            raise MappingError(f"{where} needs 'names' if, and only if, 'header' is false.")
        encoding = str(keys.get("encoding", "utf-8"))
        if encoding not in ("utf-8", "latin-1", "utf-16"):
            raise MappingError(
                f"{where}.encoding is {encoding!r}, allowed are utf-8, latin-1, utf-16."
            )
        delimiter = keys.get("delimiter")
        if delimiter is not None and len(str(delimiter)) != 1:
            raise MappingError(f"{where}.delimiter is {delimiter!r}, one character is needed.")
        return CsvOptions(
            delimiter=delimiter,
            header=header,
            names=names,
            quote=str(keys.get("quote", '"') or ""),
            encoding=encoding,
            nulls=texts_of(keys.get("nulls"), f"{where}.nulls") or ("",),
        )

    def derive_listeners(self, node: Any) -> DeriveListeners:
        keys = keys_of(node, ("from", "market", "time_zone"), "derive.listeners")
        from_events(keys, "derive.listeners")
        for name in ("market", "time_zone"):
            if not keys.get(name):
                raise MappingError(f"derive.listeners needs {name}, for it is not in the events.")
        market, time_zone = str(keys["market"]), str(keys["time_zone"])
        if not re.fullmatch("[A-Z]{2}", market):
            raise MappingError(f"derive.listeners.market is {market!r}, not two capital letters.")
        zones = zoneinfo.available_timezones()
        if zones and time_zone not in zones:
            raise MappingError(
                f"derive.listeners.time_zone is {time_zone!r}, an IANA name such as Europe/Berlin "
                "is needed."
            )
        return DeriveListeners(market, time_zone)

    def derive_items(self, node: Any, events: TableMap) -> DeriveItems:
        where = "derive.items"
        keys = keys_of(node, ("from", "column", "type", "titles"), where)
        from_events(keys, where)
        column, kind = keys.get("column"), keys.get("type")
        allowed = ("context_id", "artist_id", "album_id", "show_id")
        if column not in allowed or column not in events.columns:
            raise MappingError(
                f"{where}.column is {column!r}; one of {', '.join(allowed)} that tables.events "
                "maps is needed."
            )
        if kind not in ITEM_TYPES:
            raise MappingError(f"{where}.type is {kind!r}, allowed are {', '.join(ITEM_TYPES)}.")
        needed = CONTRACTS["events"].column(str(column)).of_type
        if needed not in ("", kind):
            raise MappingError(
                f"{where}.type is {kind!r}, and what events.{column} names must be of type "
                f"{needed}. Map the ids to {kind}_id or context_id, or derive items of that type."
            )
        titles = None
        if keys.get("titles") is not None:
            t = keys_of(keys["titles"], ("file", "id", "title", "csv"), f"{where}.titles")
            absent = [k for k in ("file", "id", "title") if not t.get(k)]
            if absent:
                raise MappingError(f"{where}.titles needs {', '.join(absent)}.")
            titles = Titles(str(t["file"]), str(t["id"]), str(t["title"]),
                            self.csv(t.get("csv"), f"{where}.titles.csv"))  # fmt: skip
        return DeriveItems(str(column), str(kind), titles)
