"""The models: one file each, found by looking.

A module of this package that defines ``MODEL``, a :class:`homerec.models.spec.ModelSpec`, is a
model. Importing the package alone imports none of them: see :mod:`homerec.models.catalogue`.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

from homerec.errors import UnknownModel
from homerec.settings import Settings

if TYPE_CHECKING:
    from homerec.models.spec import ModelSpec

__all__ = ["get_model", "model_names"]


def _modules() -> dict[str, "ModelSpec"]:
    from homerec.models.spec import ModelSpec

    found: dict[str, ModelSpec] = {}
    for module in pkgutil.iter_modules(__path__):
        spec = getattr(importlib.import_module(f"{__name__}.{module.name}"), "MODEL", None)
        if isinstance(spec, ModelSpec):
            found[spec.name] = spec
    return found


def model_names() -> list[str]:
    """Names of all models, sorted."""
    return sorted(_modules())


def get_model(name: str, settings: Settings) -> "ModelSpec":
    """Return a model's spec with the deployment's overrides applied.

    Raises
    ------
    UnknownModel
        No file of ``homerec/models`` defines it, or one that the settings name.
    """
    specs = _modules()
    known = ", ".join(sorted(specs))
    if name not in specs:
        raise UnknownModel(f"There is no model {name}; homerec/models has {known}.")
    strangers = ", ".join(sorted(set(settings.models) - specs.keys()))
    if strangers:
        raise UnknownModel(f"The settings have [models.{strangers}]; homerec/models has {known}.")
    return specs[name].with_overrides(settings.models.get(name, {}))
