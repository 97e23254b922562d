"""A new model as files: the one in this package, its test, its page of the docs, an experiment."""

import json
import keyword
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2

from homerec.columns import ITEM_TYPES
from homerec.errors import SettingsError
from homerec.lake import atomic_file
from homerec.models.catalogue import read_catalogue
from homerec.settings import ROOT, Settings

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,39}")
_MARK: Final = "# Made by `homerec new-model`."
_TEMPLATES: Final = Path(__file__).with_name("templates")
#: Places of the page that models are put on, away from those in use.
_PLACES: Final = range(32, 60)
_LONGEST_SHELF: Final = 60


@dataclass(frozen=True)
class NewModel:
    """The files of a new model.

    Attributes
    ----------
    name, shelf : str
    files : dict of Path to str
        Path below the project's root, to its text.
    """

    name: str
    shelf: str
    files: dict[Path, str]


def paths_of(name: str) -> dict[str, Path]:
    """Paths of a model's files below the project's root, by template."""
    return {
        "model.py": Path("homerec/models") / f"{name}.py",
        "test.py": Path("tests/unit/models") / f"test_{name}.py",
        "doc.md": Path("docs/models") / f"{name}.md",
        "experiment.yaml": Path("experiments") / f"{name}.yaml",
    }


def draft(
    name: str,
    *,
    shelf: str | None = None,
    types: Sequence[str] = ("show",),
    reserved: Iterable[str] = (),
    positions: Iterable[int] = (),
    root: Path = ROOT,
) -> NewModel:
    """Make the texts of a new model, without writing anything.

    Parameters
    ----------
    name : str
        Small letters, digits and underscores, beginning with a letter.
    shelf : str, optional
        Title; by default the name as a title.
    types : sequence of str
        Item types that the shelf shows.
    reserved : iterable of str
        Names of shelves that are no models.
    positions : iterable of int
        Places of the page that shelves by rule and by editors take.
    root : Path
        The project.

    Raises
    ------
    SettingsError
        The name or the title is bad or taken, a type is not known or named twice, a file is there
        already, or ``root`` is no checkout of the project.
    """
    _check_name(name, reserved, root)
    title = shelf if shelf is not None else name.replace("_", " ").capitalize()
    entries = read_catalogue(Settings(), root / "homerec/models")
    _check_shelf(title, [(e.name, e.shelf) for e in entries])
    unknown = [t for t in types if t not in ITEM_TYPES]
    if unknown or not types or len(set(types)) < len(types):
        raise SettingsError(
            f"The item types are {', '.join(types) or 'none'}; one or more of "
            f"{', '.join(ITEM_TYPES)} are needed, each once."
        )
    taken = {*positions, *_positions(root)}
    place = next((p for p in _PLACES if p not in taken), None)
    if place is None:
        raise SettingsError(f"No place from {_PLACES[0]} to {_PLACES[-1]} of the page is free.")
    quoted = [json.dumps(t) for t in types]
    values: dict[str, object] = {
        "name": name,
        "dashed": name.replace("_", "-"),
        "title": name.replace("_", " ").title(),
        "shelf": title,
        "quoted_shelf": json.dumps(title, ensure_ascii=False),
        # JSON's quotes are YAML's too: a title may hold what would end a plain text.
        "about": json.dumps(f"Which factors, confidence, trees: {title}?", ensure_ascii=False),
        # As the formatter writes a tuple.
        "types": f"({', '.join(quoted)}{',' if len(quoted) == 1 else ''})",
        "plural": " and ".join(f"{t}s" for t in types),
        "context": "" if "artist" in types else ', {"context_types": ("artist",)}',
        "position": place,
    }
    files = {path: _rendered(template, values) for template, path in paths_of(name).items()}
    present = [str(path) for path in files if (root / path).exists()]
    if present:
        raise SettingsError(
            f"{', '.join(present)} is there already. Choose another name, or remove it first."
        )
    return NewModel(name, title, files)


def write(model: NewModel, root: Path = ROOT) -> None:
    """Write the files, the model's own last: until then nothing has changed."""
    for path in sorted(model.files, key=lambda p: p.parts[0] == "homerec"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(root / path) as temporary:
            temporary.write_text(model.files[path], encoding="utf-8")


def removable(name: str, root: Path = ROOT) -> list[Path]:
    """Files of a model that :func:`write` made, below the root.

    Raises
    ------
    SettingsError
        There is no such model, or its file no longer says that it was made so.
    """
    _check_root(root)
    paths = paths_of(name)
    own = root / paths["model.py"]
    if not _NAME.fullmatch(name) or not own.exists():
        raise SettingsError(f"There is no model {name}: {paths['model.py']} is not there.")
    if _MARK not in own.read_text(encoding="utf-8"):
        raise SettingsError(
            f"{paths['model.py']} was not made by new-model (it has no line {_MARK!r}); remove it "
            "by hand."
        )
    # The model's own first: half a removal leaves no model without its test.
    return [path for path in paths.values() if (root / path).exists()]


def remove(name: str, kept: Path, root: Path = ROOT) -> list[Path]:
    """Move a model's files out of the project into a folder, since they may hold own work.

    Parameters
    ----------
    name : str
    kept : Path
        Gets the files, below their paths in the project.
    root : Path
        The project.

    Returns
    -------
    list of Path
        Which, below the root.
    """
    found = removable(name, root)
    for path in found:
        (kept / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / path, kept / path)
    return found


def _check_root(root: Path) -> None:
    if not (root / "homerec/models").is_dir() or not (root / "tests/unit").is_dir():
        raise SettingsError(
            f"{root} is no checkout of the project (homerec/models and tests/unit are missing); a "
            "model is code and belongs in one."
        )


def _check_name(name: str, reserved: Iterable[str], root: Path) -> None:
    _check_root(root)
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise SettingsError(
            f"{name!r} cannot name a model; small letters, digits and '_', beginning with a "
            "letter, 2 to 40 of them, and no word of Python's are allowed."
        )
    modules = {path.stem for path in (root / "homerec/models").glob("*.py")} | {"templates"}
    if name in modules or name in set(reserved):
        entries = read_catalogue(Settings(), root / "homerec/models")
        raise SettingsError(
            f"The name {name} is taken; models are {', '.join(e.name for e in entries)}, and "
            f"{', '.join(sorted({*modules, *reserved} - {e.name for e in entries} - {'__init__'}))}"
            " are other things."
        )


def _check_shelf(title: str, others: Iterable[tuple[str, str]]) -> None:
    bad = not title.strip() or title != title.strip() or not title.isprintable()
    if bad or len(title) > _LONGEST_SHELF or "{" in title or "\\" in title:
        raise SettingsError(
            f"The shelf's title is {title!r}; 1 to {_LONGEST_SHELF} printable characters, without "
            "blanks around them, braces or backslashes, are needed."
        )
    for name, theirs in others:
        if theirs.casefold() == title.casefold():
            raise SettingsError(f"The shelf {title!r} is that of the model {name}. Give --shelf.")


def _positions(root: Path) -> set[int]:
    """Places that the models' files name as literals."""
    texts = (p.read_text(encoding="utf-8") for p in (root / "homerec/models").glob("*.py"))
    return {int(n) for text in texts for n in re.findall(r"^    position=(\d+),", text, re.M)}


def _rendered(template: str, values: dict[str, object]) -> str:
    text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    # Code, not HTML: nothing is to be escaped, and names are checked before.
    environment = jinja2.Environment(  # noqa: S701
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(text).render(values)
