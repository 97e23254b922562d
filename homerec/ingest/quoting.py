"""Quoting for SQL made from a mapping: the only way names and values enter generated text."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path


def ident(name: str) -> str:
    """Quote a column or table name."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str | Path) -> str:
    """Quote a text literal."""
    return "'" + str(value).replace("'", "''") + "'"


def texts(values: Iterable[str | Path]) -> str:
    """Quote a list of text literals, as a DuckDB list."""
    return "[" + ", ".join(text(v) for v in values) + "]"


def instant(value: datetime) -> str:
    """Quote an aware datetime as a naive UTC TIMESTAMP literal."""
    utc = value.replace(tzinfo=None) - (value.utcoffset() or value - value)
    return f"TIMESTAMP {text(utc.isoformat(sep=' ', timespec='microseconds'))}"
