"""What forgetting found and removed, place by place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from homerec.ingest.report import text_table

#: ``rows`` were deleted, ``mentions`` overwritten, ``files`` deleted, ``keys`` retired; what is
#: ``left`` homerec cannot remove by itself.
What = Literal["rows", "mentions", "files", "keys", "left"]
_DONE: Final[dict[What, str]] = {
    "rows": "rows removed",
    "mentions": "mentions overwritten",
    "files": "files removed",
    "keys": "keys retired",
    "left": "LEFT: remove it by hand",
}
_PLANNED: Final[dict[What, str]] = {
    **_DONE,
    "rows": "rows to remove",
    "mentions": "mentions to overwrite",
    "files": "files to remove",
    "keys": "keys to retire",
}


@dataclass(frozen=True)
class Finding:
    """Something of a listener, in one place.

    Attributes
    ----------
    place : str
        Area, such as ``lake``, ``inbox``, ``postgres homerec``.
    where : str
        File or table within it.
    what : str
        What was done with it.
    count : int
        How many.
    """

    place: str
    where: str
    what: What
    count: int


@dataclass
class ForgetReport:
    """What one run of forgetting did.

    Attributes
    ----------
    n_listeners : int
        Listeners asked for.
    n_known : int
        How many of them had a key.
    findings : list of Finding
        What was removed, or would be.
    notes : list of str
        What was not searched, and why; what is beyond reach.
    dry_run : bool
        Nothing was changed.
    """

    n_listeners: int
    n_known: int
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False

    @property
    def left(self) -> list[Finding]:
        """What could not be removed."""
        return [f for f in self.findings if f.what == "left"]

    def count(self, what: What) -> int:
        """How many of a kind, over all places."""
        return sum(f.count for f in self.findings if f.what == what)

    def render(self) -> str:
        """Write as a table of places and counts; no listener is named."""
        verb = "Would forget" if self.dry_run else "Forgot"
        who = "listener" if self.n_listeners == 1 else "listeners"
        rows = by_place(self.findings, _PLANNED if self.dry_run else _DONE)
        head = f"{verb} {self.n_listeners:,} {who}; the lake knows {self.n_known:,} of them."
        if not self.n_known and not rows:
            ids = "the id" if self.n_listeners == 1 else f"any of the {self.n_listeners:,} ids"
            head = f"Nobody to forget: the lake does not know {ids}."
        lines = [head]
        if rows:
            lines += ["", text_table(("place", "where", "what", "count"), rows)]
        else:
            lines.append("Nothing of them was found in any file, table or log that is searched.")
        if self.n_known < self.n_listeners:
            lines.append(self._about_unknown())
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _about_unknown(self) -> str:
        """Say what an id that the lake does not know may be, and what happens to it anyway."""
        unknown = self.n_listeners - self.n_known
        kept = "would be kept" if self.dry_run else "are kept"
        return (
            f"Not known: {unknown:,} of the ids. Either nothing of them ever came in, or they are "
            "misspelt: an id is compared letter by letter with what its producer writes, such as "
            f"listener-0000007. They {kept} as forgotten too (as a hash): rows of theirs that "
            "arrive later are left out, and that cannot be taken back."
        )


def by_place(
    findings: Iterable[Finding], words: Mapping[What, str] = _DONE
) -> list[tuple[str, str, str, int]]:
    """Sum findings over files that differ only in a date or a number."""
    totals: dict[tuple[str, str, str], int] = {}
    for found in findings:
        name = found.where if found.what == "left" else _general(found.where)
        key = (found.place, name, words[found.what])
        totals[key] = totals.get(key, 0) + found.count
    return [(*key, count) for key, count in sorted(totals.items())]


def _general(where: str) -> str:
    parts = Path(where).parts
    if len(parts) == 1:
        return where
    return "/".join("*" if any(c.isdigit() for c in part) else part for part in parts)
