"""What can be said of the models without running them: names, shelves, cadences.

Importing a model's file imports what fits and scores it, which takes seconds. Whoever only needs to
know which models there are (a DAG file, parsed every few seconds) reads the files as text instead.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from homerec.errors import SettingsError
from homerec.settings import Settings

#: Cadence of a model whose file names none: every Monday.
DEFAULT_CADENCE: Final = "0 4 * * 1"

_FOLDER: Final = Path(__file__).resolve().parent


@dataclass(frozen=True)
class ModelEntry:
    """One model, as its file and the deployment's settings describe it.

    Attributes
    ----------
    name : str
        Name in the registry, the CLI and the DAGs.
    shelf : str
        Title of the shelf.
    cadence : str
        Cron expression of the retraining, UTC.
    enabled : bool
        Whether the deployment uses it.
    doc : str
        First line of its file.
    """

    name: str
    shelf: str
    cadence: str
    enabled: bool
    doc: str


def read_catalogue(settings: Settings, folder: Path = _FOLDER) -> list[ModelEntry]:
    """List the models by name, without importing them.

    Parameters
    ----------
    settings : Settings
        Their overrides of ``shelf``, ``cadence`` and ``enabled`` apply.
    folder : Path
        Where the models' files are.

    Raises
    ------
    SettingsError
        A file gives one of these values by other means than a literal, or cannot be parsed.
    """
    entries = [
        _entry(path, tree, call, settings)
        for path in sorted(folder.glob("*.py"))
        for tree in [_parse(path)]
        for call in _definitions(tree)
    ]
    return sorted(entries, key=lambda entry: entry.name)


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise SettingsError(f"{path} is not valid Python: {error}.") from error


def _definitions(tree: ast.Module) -> Iterator[ast.expr]:
    """Values that the module's top level binds to ``MODEL``."""
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        named = any(isinstance(target, ast.Name) and target.id == "MODEL" for target in targets)
        if named and node.value is not None:
            yield node.value


def _entry(path: Path, tree: ast.Module, value: ast.expr, settings: Settings) -> ModelEntry:
    if not (isinstance(value, ast.Call) and _called(value) == "ModelSpec"):
        raise SettingsError(
            f"{path.name}:{value.lineno}: MODEL is not a call of ModelSpec; the DAGs are made from "
            "its literal arguments. Write MODEL = ModelSpec(name=..., ...)."
        )
    given = {keyword.arg: keyword.value for keyword in value.keywords}
    name = _literal(path, "name", given.get("name"), None)
    over = settings.models.get(name, {})
    cadence = _literal(path, "cadence", given.get("cadence"), DEFAULT_CADENCE)
    enabled = _literal(path, "enabled", given.get("enabled"), True)
    return ModelEntry(
        name=name,
        shelf=str(over.get("shelf", _literal(path, "shelf", given.get("shelf"), None))),
        cadence=str(over.get("cadence", cadence)),
        enabled=bool(over.get("enabled", enabled)),
        doc=(ast.get_docstring(tree) or "").partition("\n")[0],
    )


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ast.unparse(call.func)


def _literal(path: Path, name: str, node: ast.expr | None, default: Any) -> Any:
    if node is None:
        if default is None:
            raise SettingsError(f"{path.name}: its ModelSpec gives no {name} by keyword.")
        return default
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise SettingsError(
            f"{path.name}:{node.lineno}: {name} is {ast.unparse(node)!r}, a literal is needed: the "
            "DAGs are made from the file without importing it."
        ) from error
