"""Drawings as SVG to stand inside a page: its text takes the page's colour, in light and dark."""

import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

#: Stand-ins that are replaced by the page's own colours.
_INK: Final = "#010203"
_LINE: Final = "#040506"
_ACCENT: Final = "#070809"
_COLOURS: Final = {_INK: "currentColor", _LINE: "var(--line)", _ACCENT: "var(--accent)"}
#: Of several series: told apart also by those who see few colours, on white and on black.
_SERIES: Final = ("#2f6fde", "#d9822b", "#2a9d6f", "#b0529c", "#c0392b", "#7a7f87", "#c2a613")
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
_WIDTH: Final = 5.2
_MANY_DAYS: Final = 10


def bars(values: Sequence[tuple[str, float]], *, label: str = "") -> str:
    """Draw a bar for each name, the first on top.

    Parameters
    ----------
    values : sequence of (str, float)
    label : str
        What is counted.
    """

    def draw(axes: Any) -> None:
        names = [name if len(name) <= 28 else f"{name[:27]}…" for name, _ in values]
        places = range(len(values))
        axes.barh(places, [value for _, value in values], color=_ACCENT, height=0.7)
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        for place, (_, value) in zip(places, values, strict=True):
            axes.annotate(
                _short(value), (value, place), xytext=(3, 0), textcoords="offset points",
                va="center", fontsize=8,
            )  # fmt: skip
        axes.set_xlim(0, 1.14 * max((v for _, v in values), default=1) or 1)
        axes.set_xlabel(label)
        whole = all(float(value).is_integer() for _, value in values)
        axes.xaxis.set_major_locator(_locator(7, whole=whole))
        axes.xaxis.set_major_formatter(_formatter())

    return _svg(draw, 0.55 + 0.24 * max(len(values), 1), "bars" + label + repr(values))


def columns(days: Sequence[tuple[date, float]], *, label: str = "") -> str:
    """Draw a column for each day.

    Parameters
    ----------
    days : sequence of (date, float)
        Ascending.
    label : str
        What is counted.
    """

    def draw(axes: Any) -> None:
        axes.bar([d for d, _ in days], [v for _, v in days], color=_ACCENT, width=0.85)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(label)
        axes.set_ylim(0, None)
        axes.yaxis.set_major_formatter(_formatter())
        _date_ticks(axes, [day for day, _ in days])

    return _svg(draw, 1.9, "columns" + label + repr(days))


def lines(series: Mapping[str, Sequence[tuple[date, float]]], *, label: str = "") -> str:
    """Draw a line for each series over days; many series share the colours in turn."""

    def draw(axes: Any) -> None:
        for number, (name, points) in enumerate(series.items()):
            axes.plot(
                [d for d, _ in points], [v for _, v in points], label=name, lw=1.5,
                marker="o", markersize=2.5, color=_SERIES[number % len(_SERIES)],
            )  # fmt: skip
        axes.set_ylim(0, None)
        axes.set_ylabel(label)
        axes.yaxis.set_major_formatter(_formatter())
        _date_ticks(axes, sorted({day for points in series.values() for day, _ in points}))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)

    return _svg(draw, 2.1, "lines" + label + repr(series))


def histogram(
    edges: Sequence[float],
    counts: Sequence[float],
    other: tuple[Sequence[float], Sequence[float]] | None = None,
) -> str:
    """Draw shares by bin, small; another histogram is an outline over it.

    Parameters
    ----------
    edges : sequence of float
        One more than there are counts, ascending.
    counts : sequence of float
    other : (edges, counts), optional
        To compare with.
    """

    def draw(axes: Any) -> None:
        axes.stairs(_density(edges, counts), edges, fill=True, color=_ACCENT, alpha=0.75)
        if other is not None:
            axes.stairs(_density(*other), other[0], color=_INK, lw=1.1)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(_locator(4))
        axes.xaxis.set_major_formatter(_formatter())

    return _svg(draw, 1.0, "histogram" + repr((edges, counts)), width=2.7)


def spans(
    rows: Sequence[tuple[str, float, float, float]], *, label: str = "", mark: str = ""
) -> str:
    """Draw a value with its interval for each name, the first on top, and a line at 0.

    Parameters
    ----------
    rows : sequence of (str, float, float, float)
        Name, value, lower and upper bound.
    label : str
        What is measured.
    mark : str
        Name that is drawn in the page's accent.
    """

    def draw(axes: Any) -> None:
        places = range(len(rows))
        axes.axvline(0, color=_INK, lw=0.8)
        for place, (name, value, low, high) in zip(places, rows, strict=True):
            colour = _ACCENT if name == mark else _INK
            axes.plot([low, high], [place, place], color=colour, lw=1.4)
            axes.plot([value], [place], color=colour, marker="o", markersize=4)
        names = [name if len(name) <= 28 else f"{name[:27]}…" for name, *_ in rows]
        axes.set_yticks(places, names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(_locator(6))

    return _svg(draw, 0.6 + 0.22 * max(len(rows), 1), "spans" + label + mark + repr(rows))


def dots(
    points: Sequence[tuple[float, float]],
    *,
    x: str = "",
    y: str = "",
    marked: Sequence[tuple[float, float]] = (),
    logarithmic: bool = False,
) -> str:
    """Draw a dot for each pair of values; marked ones are larger.

    Parameters
    ----------
    points, marked : sequence of (float, float)
    x, y : str
        What the axes show.
    logarithmic : bool
        Scale of x, whose values must then lie above 0.
    """

    def draw(axes: Any) -> None:
        if logarithmic:
            axes.set_xscale("log")
        axes.plot(*zip(*points, strict=True), color=_ACCENT, marker="o", ls="", markersize=3.5)
        if marked:
            axes.plot(
                *zip(*marked, strict=True), color=_INK, marker="o", ls="", markersize=7,
                fillstyle="none",
            )  # fmt: skip
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.yaxis.set_major_locator(_locator(5))

    return _svg(draw, 2.1, "dots" + x + y + repr((points, marked, logarithmic)), width=3.4)


def _density(edges: Sequence[float], counts: Sequence[float]) -> list[float]:
    total = sum(counts) or 1
    widths = [b - a for a, b in itertools.pairwise(edges)]
    return [n / total / (w or 1) for n, w in zip(counts, widths, strict=True)]


def _svg(draw: Callable[[Any], None], height: float, salt: str, width: float = _WIDTH) -> str:
    """Draw on one pair of axes; equal drawings are equal texts."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = io.StringIO()
    # Names inside a drawing are made from the salt: two of one page must not share them.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(
            out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for stand_in, colour in _COLOURS.items():
        text = text.replace(stand_in, colour)
    # Size comes from the page; black is what matplotlib says nothing about.
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" ([^>]*)height="[^"]*"', r"<svg \1\2", text, count=1)
    referred = set(re.findall(r"#([\w-]+)", text))
    named = re.compile(r' id="([^"]*)"')
    text = named.sub(lambda found: found[0] if found[1] in referred else "", text)
    return re.sub(r"\n\s*", "\n", text)


def _short(value: float) -> str:
    """Write a number with few letters."""
    size = abs(value)
    for limit, factor, suffix in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= limit:
            return f"{value / factor:.3g}{suffix}"
    return f"{value:,.0f}" if size >= 100 or value == int(value) else f"{value:.3g}"


def _formatter() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: _short(value))


def _locator(n: int, *, whole: bool = False) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(n, integer=whole)


def _date_ticks(axes: Any, days: Sequence[date]) -> None:
    from matplotlib import dates

    library: Any = dates
    if len(days) <= _MANY_DAYS:
        axes.set_xticks(days, [f"{day:%b} {day.day}" for day in days])
        return
    locator = library.AutoDateLocator(maxticks=_MANY_DAYS)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(library.ConciseDateFormatter(locator))
