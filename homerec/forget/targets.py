"""Whom to forget, and how to recognise them in a column or in running text."""

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import quote

from homerec.ingest.mapping import ColumnMap

#: Stands where an id stood in a text.
MASK: Final = "[forgotten]"
#: A shorter id, or one of digits alone, also occurs where it means something else.
_DISTINCTIVE_LENGTH: Final = 6


@dataclass(frozen=True)
class Targets:
    """The listeners to forget.

    Attributes
    ----------
    ids : frozenset of str
        Their ids.
    keys : frozenset of int
        The dense keys that they have or had.
    """

    ids: frozenset[str]
    keys: frozenset[int]

    def raw(self, how: ColumnMap) -> frozenset[str]:
        """Ids as a source writes them that a mapping reads through ``how``."""
        stripped = {i.removeprefix(how.prefix) for i in self.ids if i.startswith(how.prefix)}
        return frozenset(stripped | {k for k, v in how.values if how.prefix + v in self.ids})

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """Distinctive ids as they may stand in a text: plain, in JSON, in HTML, in a URL."""
        found: set[str] = set()
        for one in self.ids:
            if distinctive(one):
                found |= {one, html.escape(one), quote(one), quote(one, safe="")}
                found |= {json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1]}
        return tuple(sorted(found, key=lambda v: (-len(v), v)))

    @cached_property
    def numbered(self) -> tuple[str, ...]:
        """Keys, and ids that are not distinctive: told by the word before them only."""
        plain = {i for i in self.ids if not distinctive(i)}
        return tuple(sorted({*map(str, self.keys), *plain}))

    def mentions(self, text: str) -> int:
        """How often a text names a listener."""
        return self.redact(text)[1]

    def redact(self, text: str, *, same_length: bool = False) -> tuple[str, int]:
        """Overwrite every mention of a listener.

        Parameters
        ----------
        text : str
        same_length : bool
            Overwrite letter by letter, so that a file may be changed in place.

        Returns
        -------
        str, int
            The text, and how many mentions it had.

        Examples
        --------
        >>> Targets(frozenset({"listener-12"}), frozenset({7})).redact("listener-12, listener-123")
        ('[forgotten], listener-123', 1)
        >>> Targets(frozenset(), frozenset({7})).redact("first for listener 7, listener 70")
        ('first for listener 0, listener 70', 1)
        >>> short = Targets(frozenset({"12"}), frozenset({7}))
        >>> short.redact('{"listener": 7, "listener_id": "12"}')
        ('{"listener": 7, "listener_id": "0"}', 1)
        """
        total = 0

        def masked(found: re.Match[str]) -> str:
            return "*" * len(found[0].encode("utf-8", "surrogateescape")) if same_length else MASK

        def blanked(found: re.Match[str]) -> str:
            # A 0 keeps JSON whole, where the number is one.
            return found[1] + ("*" * len(found[2]) if same_length else "0")

        for variant in self.variants:
            if variant in text:
                text, n = re.subn(_bounded(variant), masked, text)
                total += n
        if self.numbered and "listener" in text:
            text, n = self._numbered_pattern.subn(blanked, text)
            total += n
        return text, total

    @cached_property
    def _numbered_pattern(self) -> re.Pattern[str]:
        either = "|".join(re.escape(n) for n in self.numbered)
        # Not '"listener": 12': so a manifest counts rows of the table of that name.
        before = r"\blistener(?:_id|_key)?[ =]|\blistener_id[\"']?\s?:\s?[\"']?"
        return re.compile(rf"({before})({either})(?![\w-]|\.\d)")

    def re2(self) -> str | None:
        """Regular expression for DuckDB that finds the distinctive ids; ``None`` without any."""
        if not self.variants:
            return None
        either = "|".join(re.escape(v) for v in self.variants)
        return rf"(^|[^\w-])(?:{either})($|[^\w-])"


def distinctive(listener_id: str) -> bool:
    """Whether an id can be told from other text wherever it stands."""
    return len(listener_id) >= _DISTINCTIVE_LENGTH and not listener_id.isdigit()


def _bounded(text: str) -> str:
    return rf"(?<![\w-]){re.escape(text)}(?![\w-])"


def merge_columns(
    parts: Iterable[Mapping[str, frozenset[str]]],
) -> dict[str, frozenset[str]]:
    """Unite maps of a column to the values that name a listener in it."""
    merged: dict[str, frozenset[str]] = {}
    for part in parts:
        for column, values in part.items():
            merged[column] = merged.get(column, frozenset()) | values
    return merged
