"""A page for people as one HTML file: sections of text, facts, tables and drawings.

Nothing is loaded from anywhere and no script runs, so that the file may be mailed, kept, and read
in light and dark. Whoever has a report to draw builds a :class:`Page`.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import jinja2

from homerec.lake import atomic_file

Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True)
class Text:
    """A paragraph; ``quiet`` ones are remarks."""

    text: str
    quiet: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Fact:
    """One number that is to be seen first."""

    label: str
    value: str
    tone: Tone = ""


@dataclass(frozen=True)
class Facts:
    """Numbers beside each other."""

    facts: Sequence[Fact]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Table:
    """Rows of cells; columns whose cells all are numbers, or look like some, go to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    kind: ClassVar[str] = "table"

    @property
    def numeric(self) -> frozenset[int]:
        """Places of the columns of numbers."""
        return frozenset(
            place
            for place in range(len(self.header))
            if self.rows and all(_looks_numeric(row[place]) for row in self.rows)
        )


def _looks_numeric(value: object) -> bool:
    return isinstance(value, int | float) or bool(
        re.fullmatch(r"|[-+]?[\d,]+(\.\d+)?(e[-+]?\d+)?( ?%)?|-", str(value))
    )


@dataclass(frozen=True)
class Drawing:
    """A drawing with its title.

    Attributes
    ----------
    title : str
    svg : str
        Of :mod:`homerec.report.plots`.
    caption : str
    """

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Figures:
    """Drawings in a grid whose columns are at least so many pixels wide."""

    drawings: Sequence[Drawing]
    least: int = 340
    kind: ClassVar[str] = "figures"


Block = Text | Heading | Facts | Table | Figures


@dataclass
class Section:
    """A part of a page, named in its table of contents."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Name of the section in the page's address."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def _own_names(svg: str, number: int) -> str:
    for name in set(re.findall(r'\bid="([^"]+)"', svg)):
        svg = re.sub(rf'(\bid="|#){re.escape(name)}\b', rf"\g<1>d{number}-{name}", svg)
    return svg


@dataclass
class Page:
    """A whole page."""

    title: str
    subtitle: str = ""
    sections: list[Section] = field(default_factory=list)

    def render(self) -> str:
        """Return the page as HTML."""
        template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        environment = jinja2.Environment(
            autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )
        return environment.from_string(template).render(page=self._numbered())

    def _numbered(self) -> "Page":
        """Copy the page so that no two drawings share a name inside, not even equal ones."""
        numbers = itertools.count()
        sections = [
            Section(
                section.title,
                [
                    replace(
                        block,
                        drawings=[
                            replace(d, svg=_own_names(d.svg, next(numbers))) for d in block.drawings
                        ],
                    )
                    if isinstance(block, Figures)
                    else block
                    for block in section.blocks
                ],
            )
            for section in self.sections
        ]
        return Page(self.title, self.subtitle, sections)

    def write(self, path: Path) -> None:
        """Write the page to a file, whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_text(self.render(), encoding="utf-8")
