"""Checks on what a mapping file says; each names the place, what was found and what is allowed."""

import difflib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from homerec.errors import MappingError
from homerec.ingest.contracts import Column

INSTANT_UNITS: Final = ("iso8601", "unix_seconds", "unix_ms", "unix_us")
#: Unit of an integer column -> factor to the contract's milliseconds.
INTEGER_UNITS: Final[dict[str, int]] = {"ms": 1, "seconds->ms": 1_000, "minutes->ms": 60_000}


def text_of(value: Any) -> str:
    """Turn a YAML scalar into the text that a source would have."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def keys_of(node: Any, known: Iterable[str], where: str) -> Mapping[str, Any]:
    """Return a YAML node's keys and values; any key that is not known is an error."""
    known = tuple(known)
    if not isinstance(node, Mapping):
        raise MappingError(f"{where} must be keys and values, with keys from {', '.join(known)}.")
    for key in node:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise MappingError(
                f"unknown key {key!r} in {where}; {hint}known are {', '.join(known)}."
            )
    return node


def texts_of(node: Any, where: str) -> tuple[str, ...]:
    """Return a text or a list of texts as a tuple."""
    if node is None:
        return ()
    values = node if isinstance(node, list) else [node]
    if any(isinstance(v, Mapping | list) for v in values):
        raise MappingError(f"{where} must be a text or a list of texts.")
    return tuple(text_of(v) for v in values)


def number_of(keys: Mapping[str, Any], name: str, where: str) -> float | None:
    """Return the number under a key, if there is one."""
    value = keys.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MappingError(f"{where}.{name} is {value!r}, a number is needed.")
    return float(value)


def moment_of(value: Any, where: str) -> datetime:
    """Return a date or a time as an aware UTC datetime."""
    # Without a zone it is UTC: reports and the lake know no other.
    try:
        moment = datetime.fromisoformat(text_of(value))
    except ValueError:
        raise MappingError(f"{where} is {value!r}, a date such as 2011-01-01 is needed.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def from_events(keys: Mapping[str, Any], where: str) -> None:
    """Refuse to derive from anything but the events."""
    if keys.get("from") != "events":
        raise MappingError(f"{where}.from is {keys.get('from')!r}, only 'events' can be used.")


def check_literal(column: Column, value: str, where: str) -> None:
    """Refuse a constant or default that is not of the column's type."""
    try:
        if column.kind == "integer":
            int(value)
        elif column.kind == "instant":
            datetime.fromisoformat(value)
    except ValueError:
        needed = "a whole number" if column.kind == "integer" else "a time such as 2011-01-01"
        raise MappingError(f"{where} gives {value!r}, {needed} is needed.") from None


def check_fits(column: Column, keys: Mapping[str, Any], where: str) -> None:
    """Refuse conversions that mean nothing for the column's type."""
    fitting = {
        "unit": ("instant", "integer"),
        "multiply": ("integer",),
        "min": ("integer",),
        "max": ("integer",),
        "spread": ("instant",),
        "prefix": ("text",),
        "split": ("texts",),
        "values": ("text",),
    }
    for key, kinds in fitting.items():
        if key in keys and column.kind not in kinds:
            raise MappingError(
                f"{where}.{key} does not apply to a column of type {column.kind} "
                f"(only to {' and '.join(kinds)})."
            )
    unit = keys.get("unit")
    allowed = INSTANT_UNITS if column.kind == "instant" else tuple(INTEGER_UNITS)
    if unit is not None and unit not in allowed:
        raise MappingError(f"{where}.unit is {unit!r}, allowed are {', '.join(allowed)}.")
