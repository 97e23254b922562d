"""The models: one file each, found by looking.

A module of this package that defines ``MODEL`` (a :class:`homerec.models.spec.ModelSpec`) is a model.
"""

import importlib
import pkgutil

from homerec.errors import UnknownModel
from homerec.models.spec import ModelSpec
from homerec.settings import Settings

__all__ = ["ModelSpec", "get_model", "model_names"]


def _modules() -> dict[str, ModelSpec]:
    found: dict[str, ModelSpec] = {}
    for module in pkgutil.iter_modules(__path__):
        spec = getattr(importlib.import_module(f"{__name__}.{module.name}"), "MODEL", None)
        if isinstance(spec, ModelSpec):
            found[spec.name] = spec
    return found


def model_names() -> list[str]:
    """Names of all models, sorted."""
    return sorted(_modules())


def get_model(name: str, settings: Settings) -> ModelSpec:
    """Return a model's spec with the deployment's overrides applied.

    Raises
    ------
    UnknownModel
        No file of ``homerec/models`` defines it.
    """
    specs = _modules()
    if name not in specs:
        known = ", ".join(sorted(specs))
        raise UnknownModel(f"There is no model {name}; homerec/models has {known}.")
    return specs[name].with_overrides(settings.models.get(name, {}))
