"""An experiment's file: YAML whose every mistake is named with its line, before anything runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from homerec.errors import ExperimentError

#: Path of a value in the file, such as ``("grid", "als.factors", 0)``.
Place = tuple[str | int, ...]

_KEYS: Final = (
    "name", "model", "about", "metrics", "segments", "seeds", "as_of", "include_current", "fixed",
    "grid", "random",
)  # fmt: skip
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
#: YAML 1.1 reads 1e-3, which has no dot, as a text.
_EXPONENT: Final = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
#: More than this is no evening's run but a typing mistake.
MAX_CONFIGURATIONS: Final = 5_000


@dataclass(frozen=True)
class Source:
    """Text of a file with the line of every value.

    Attributes
    ----------
    name : str
        For messages.
    text : str
    lines : mapping of Place to int
        1-based.
    """

    name: str
    text: str
    lines: Mapping[Place, int] = field(repr=False)

    def error(self, place: Place, message: str) -> ExperimentError:
        """Make an error that names the line of a value, or of what encloses it."""
        while place and place not in self.lines:
            place = place[:-1]
        return ExperimentError(f"{self.name}:{self.lines.get(place, 1)}: {message}")


@dataclass(frozen=True)
class ExperimentFile:
    """What a file says, checked for form; names are checked against the model later.

    Attributes
    ----------
    source : Source
    name, model, about : str
    metrics : tuple of str
        The first decides; a name with a colon is a function.
    segments : tuple of str or None
        ``None`` means all.
    seeds : tuple of int
        Empty means the deployment's.
    validation : tuple of date, or int
        Dates, or how many windows before the test's.
    test : date or None
        ``None`` means the day after the newest event.
    include_current : bool
        Whether the model as it stands is a configuration too.
    fixed : mapping of str to value
        For every configuration.
    grids : tuple of mapping of str to list
    random : tuple of mapping of str to distribution
    n_random, random_seed : int
        How many are drawn, and the seed of it.
    """

    source: Source
    name: str
    model: str
    about: str = ""
    metrics: tuple[str, ...] = ("ndcg",)
    segments: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = ()
    validation: tuple[date, ...] | int = 1
    test: date | None = None
    include_current: bool = True
    fixed: Mapping[str, Any] = field(default_factory=dict)
    grids: tuple[Mapping[str, list[Any]], ...] = ()
    random: tuple[Mapping[str, Any], ...] = ()
    n_random: int = 0
    random_seed: int = 0


def read_experiment(path: Path) -> ExperimentFile:
    """Read an experiment's file.

    Raises
    ------
    ExperimentError
        It cannot be read, a key is unknown, missing or there twice, or a value has another type
        than is needed; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} cannot be read: {error}.") from error
    return parse_experiment(text, path.name)


def parse_experiment(text: str, name: str) -> ExperimentFile:
    """Read an experiment from its text; see :func:`read_experiment`."""
    values, source = _load(text, name)
    if not isinstance(values, dict):
        raise source.error((), f"an experiment is a mapping with the keys {', '.join(_KEYS)}.")
    _known(source, (), values, _KEYS)
    for key in ("name", "model"):
        if key not in values:
            raise source.error((), f"{key} is missing.")
    return _file(_Reader(source), values)


def _file(read: "_Reader", values: Mapping[str, Any]) -> ExperimentFile:
    source = read.source
    name = read.text(("name",), values["name"])
    if not _NAME.fullmatch(name):
        raise source.error(
            ("name",),
            f"name is {name!r}; small letters, digits, '-' and '_' are allowed, 63 at most.",
        )
    segments = values.get("segments")
    grids = read.spaces(("grid",), values.get("grid"), lists=True)
    draws = _random(read, values.get("random"))
    include = values.get("include_current", True)
    if not isinstance(include, bool):
        raise source.error(("include_current",), f"include_current is {include!r}, not a yes/no.")
    if not grids and not draws[0]:
        raise source.error((), "nothing is to be tried: give a grid, a random search, or both.")
    when = _as_of(read, values.get("as_of"))
    return ExperimentFile(
        source=source,
        name=name,
        model=read.text(("model",), values["model"]),
        about=read.text(("about",), values.get("about", "")),
        metrics=tuple(read.texts(("metrics",), values.get("metrics", ["ndcg"]))),
        segments=None if segments is None else tuple(read.texts(("segments",), segments, True)),
        seeds=tuple(read.wholes(("seeds",), values["seeds"]) if "seeds" in values else ()),
        validation=when[0],
        test=when[1],
        include_current=include,
        fixed=read.mapping(("fixed",), values.get("fixed", {})),
        grids=grids,
        random=draws[0],
        n_random=draws[1],
        random_seed=draws[2],
    )


def _as_of(read: "_Reader", given: Any) -> tuple[tuple[date, ...] | int, date | None]:
    if given is None:
        return 1, None
    values = read.mapping(("as_of",), given)
    _known(read.source, ("as_of",), values, ("validation", "test"))
    test = values.get("test")
    if test is not None and type(test) is not date:
        raise read.source.error(("as_of", "test"), f"test is {test!r}; write YYYY-MM-DD.")
    place, found = ("as_of", "validation"), values.get("validation", 1)
    if isinstance(found, int) and not isinstance(found, bool):
        if not 1 <= found <= 100:
            raise read.source.error(place, f"validation is {found}, 1 to 100 windows are allowed.")
        return found, test
    if not isinstance(found, list) or not found or any(type(d) is not date for d in found):
        raise read.source.error(
            place, f"validation is {found!r}; a list of dates or a number of windows is needed."
        )
    if len(set(found)) < len(found):
        raise read.source.error(place, "a date of validation is there twice.")
    return tuple(sorted(found)), test


def _random(read: "_Reader", given: Any) -> tuple[tuple[Mapping[str, Any], ...], int, int]:
    if given is None:
        return (), 0, 0
    values = read.mapping(("random",), given)
    _known(read.source, ("random",), values, ("n", "seed", "space"))
    for key in ("n", "space"):
        if key not in values:
            raise read.source.error(("random",), f"random needs {key}.")
    n = read.whole(("random", "n"), values["n"])
    if not 1 <= n <= MAX_CONFIGURATIONS:
        raise read.source.error(
            ("random", "n"), f"n is {n}, 1 to {MAX_CONFIGURATIONS:,} are allowed."
        )
    seed = read.whole(("random", "seed"), values.get("seed", 0))
    if not 0 <= seed < 2**32:
        raise read.source.error(("random", "seed"), f"seed is {seed}, 0 to 2^32 - 1 are allowed.")
    return read.spaces(("random", "space"), values["space"], lists=False), n, seed


class _Reader:
    """Takes values of one type, or says where another one stands."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def text(self, place: Place, value: Any) -> str:
        if not isinstance(value, str):
            raise self.source.error(place, f"{place[-1]} is {value!r}; a text is needed.")
        return value

    def texts(self, place: Place, value: Any, empty: bool = False) -> list[str]:
        if not isinstance(value, list) or (not value and not empty):
            raise self.source.error(place, f"{place[-1]} is {value!r}; a list is needed.")
        found = [self.text((*place, n), one) for n, one in enumerate(value)]
        if len(set(found)) < len(found):
            raise self.source.error(place, f"{place[-1]} has a name twice: {', '.join(found)}.")
        return found

    def whole(self, place: Place, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.source.error(place, f"{place[-1]} is {value!r}; a whole number is needed.")
        return value

    def wholes(self, place: Place, value: Any) -> list[int]:
        if not isinstance(value, list) or not value:
            raise self.source.error(place, f"{place[-1]} is {value!r}; a list is needed.")
        found = [self.whole((*place, n), one) for n, one in enumerate(value)]
        if any(not 0 <= one < 2**32 for one in found) or len(set(found)) < len(found):
            raise self.source.error(
                place, f"seeds are {found}; different ones from 0 to 2^32 - 1 are needed."
            )
        return found

    def mapping(self, place: Place, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.source.error(place, f"{place[-1]} is {value!r}; a mapping is needed.")
        return value

    def spaces(self, place: Place, value: Any, *, lists: bool) -> tuple[dict[str, Any], ...]:
        """Read one mapping of parameters or several, each with something to try."""
        if value is None:
            return ()
        several = value if isinstance(value, list) else [value]
        if not several:
            raise self.source.error(place, f"{place[-1]} is empty: it gives nothing to try.")
        for n, one in enumerate(several):
            here = (*place, n) if isinstance(value, list) else place
            if not self.mapping(here, one):
                raise self.source.error(here, f"{place[-1]} is empty: it gives nothing to try.")
            for key, tried in one.items() if lists else ():
                if not isinstance(tried, list) or not tried:
                    raise self.source.error(
                        (*here, key), f"{key} is {tried!r}; a list of values to try is needed."
                    )
        return tuple(several)


def _known(source: Source, place: Place, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            raise source.error(
                (*place, key), f"{key} is not known here; allowed are {', '.join(known)}."
            )


def _load(text: str, name: str) -> tuple[Any, Source]:
    lines: dict[Place, int] = {}
    source = Source(name, text, lines)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return (None if node is None else _value(node, (), lines, source)), source
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error)
        raise ExperimentError(f"{name}:{line}: not valid YAML: {problem}.") from error


def _value(node: Any, place: Place, lines: dict[Place, int], source: Source) -> Any:
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = (*place, key)
            if key in found:
                lines[inner] = key_node.start_mark.line + 1
                raise source.error(inner, f"{key} is there twice.")
            found[key] = _value(value_node, inner, lines, source)
            # The key's line: a nested value may begin on the next one.
            lines[inner] = key_node.start_mark.line + 1
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, (*place, n), lines, source) for n, one in enumerate(node.value)]
    if node.style is None and _EXPONENT.fullmatch(node.value):
        return float(node.value)
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:
        raise source.error(place, f"{node.value!r} cannot be read: {error}.") from error
