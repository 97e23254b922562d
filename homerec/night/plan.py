"""What a night will do for each model, decided once, at its start."""

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from homerec.features.tables import Catalog
from homerec.lake import Lake, read_json, write_json
from homerec.models import get_model, model_names
from homerec.registry.loading import open_registry
from homerec.settings import Settings

Mode = Literal["champion", "baseline", "skipped"]


@dataclass(frozen=True)
class ModelPlan:
    """How one model's shelf will be filled.

    Attributes
    ----------
    model : str
    mode : {"champion", "baseline", "skipped"}
        ``baseline`` degrades the release, ``skipped`` means there is nothing of its item types.
    version : int or None
        Of the champion.
    hindsight : bool
        The version is younger than the night's as_of: a backfill without a champion of that date.
    reason : str
        Why it is not the champion; empty for one.
    """

    model: str
    mode: Mode
    version: int | None = None
    hindsight: bool = False
    reason: str = ""


@dataclass(frozen=True)
class NightPlan:
    """The models of one night.

    Attributes
    ----------
    as_of : date
    models : tuple of ModelPlan
        In the order of their names.
    """

    as_of: date
    models: tuple[ModelPlan, ...]

    def of(self, model: str) -> ModelPlan:
        """Plan of one model.

        Raises
        ------
        KeyError
            The night does not compute it.
        """
        return next(plan for plan in self.models if plan.model == model)

    @property
    def degraded(self) -> list[str]:
        """Why the release is degraded, empty if it is not."""
        return [f"{p.model}: {p.reason}" for p in self.models if p.mode == "baseline"]


def make_plan(
    settings: Settings, as_of: date, catalog: Catalog, models: list[str] | None = None
) -> NightPlan:
    """Resolve each model's champion to a version and keep it with the night.

    Parameters
    ----------
    settings : Settings
    as_of : date
    catalog : Catalog
        Of the night's snapshot; a model whose item types are not in it is skipped.
    models : list of str, optional
        Models to compute, by default all.
    """
    store = open_registry(settings)
    plans = []
    for name in sorted(models or model_names()):
        spec = get_model(name, settings)
        if not spec.enabled:
            plans.append(ModelPlan(name, "skipped", reason="switched off in the settings"))
            continue
        if not any(len(catalog.of_type(t)) for t in spec.item_types):
            kinds = " or ".join(spec.item_types)
            plans.append(ModelPlan(name, "skipped", reason=f"the catalog has no {kinds}"))
            continue
        champion, hindsight = store.champion_as_of(name, as_of)
        if champion is None:
            plans.append(ModelPlan(name, "baseline", reason="no champion, filled by its baseline"))
        else:
            plans.append(ModelPlan(name, "champion", champion.version, hindsight))
    plan = NightPlan(as_of, tuple(plans))
    write_json([asdict(p) for p in plans], plan_path(settings, as_of))
    return plan


def plan_path(settings: Settings, as_of: date) -> Path:
    """File of a night's plan."""
    return Lake(settings.home).night(as_of) / "plan.json"


def read_plan(settings: Settings, as_of: date) -> NightPlan:
    """Read the plan that :func:`make_plan` kept."""
    rows: list[dict[str, Any]] = read_json(plan_path(settings, as_of))
    return NightPlan(as_of, tuple(ModelPlan(**row) for row in rows))


def model_folder(settings: Settings, as_of: date, model: str) -> Path:
    """Folder of one model's results of a night."""
    return Lake(settings.home).night(as_of) / model
