"""What a night will do for each model, decided once, at its start."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from homerec.errors import SnapshotError
from homerec.features.snapshot import SnapshotInfo
from homerec.features.tables import Catalog, shard_ranges
from homerec.lake import Lake, read_json, write_json
from homerec.models import get_model, model_names
from homerec.registry.artifacts import Manifest, read_artifact
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
    folder, manifest_checksum : str
        Where the champion's files lie, and the SHA-256 of their manifest; empty without one. With
        them the steps of a night need not ask the registry again, which costs each of them seconds.
    """

    model: str
    mode: Mode
    version: int | None = None
    hindsight: bool = False
    reason: str = ""
    folder: str = ""
    manifest_checksum: str = ""


@dataclass(frozen=True)
class ShardPlan:
    """Listeners that are worked on together.

    Attributes
    ----------
    number : int
        From 0 on, ascending with the keys.
    low, high : int
        Listener keys, half-open.
    """

    number: int
    low: int
    high: int

    @property
    def file(self) -> str:
        """Name of the Parquet file that holds the shard's part of a step's result."""
        return f"part-{self.number:05d}.parquet"


@dataclass(frozen=True)
class NightPlan:
    """The models and the shards of one night.

    Attributes
    ----------
    as_of : date
    models : tuple of ModelPlan
        In the order of their names.
    shards : tuple of ShardPlan
        Every listener of the snapshot is in one. Fixed here: a change of ``shard_listeners`` during
        a night must not mix two cuts.
    """

    as_of: date
    models: tuple[ModelPlan, ...]
    shards: tuple[ShardPlan, ...]

    def of(self, model: str) -> ModelPlan:
        """Plan of one model.

        Raises
        ------
        KeyError
            The night does not compute it.
        """
        return next(plan for plan in self.models if plan.model == model)

    def some(self, numbers: Sequence[int] | None) -> tuple[ShardPlan, ...]:
        """Shards by number, all of them for ``None``.

        Raises
        ------
        SnapshotError
            The night has no shard of a number.
        """
        if numbers is None:
            return self.shards
        unknown = sorted(set(numbers) - {shard.number for shard in self.shards})
        if unknown:
            raise SnapshotError(
                f"The night of {self.as_of} has {len(self.shards)} shards, numbered from 0; "
                f"there is no {', '.join(map(str, unknown))}. It was planned again with another "
                "shard_listeners: clear the task `plan` and all that follows it."
            )
        return tuple(self.shards[number] for number in numbers)

    @property
    def degraded(self) -> list[str]:
        """Why the release is degraded, empty if it is not."""
        return [f"{p.model}: {p.reason}" for p in self.models if p.mode == "baseline"]


def make_plan(
    settings: Settings, info: SnapshotInfo, catalog: Catalog, models: list[str] | None = None
) -> NightPlan:
    """Resolve each model's champion to a version, cut the listeners, and keep it with the night.

    Parameters
    ----------
    settings : Settings
    info : SnapshotInfo
        The night's snapshot.
    catalog : Catalog
        Of the snapshot; a model whose item types are not in it is skipped.
    models : list of str, optional
        Models to compute, by default all.
    """
    store = open_registry(settings)
    plans = []
    for name in sorted(set(models or model_names())):
        spec = get_model(name, settings)
        if not spec.enabled:
            plans.append(ModelPlan(name, "skipped", reason="switched off in the settings"))
            continue
        if not any(len(catalog.of_type(t)) for t in spec.item_types):
            kinds = " or ".join(spec.item_types)
            plans.append(ModelPlan(name, "skipped", reason=f"the catalog has no {kinds}"))
            continue
        champion, hindsight = store.champion_as_of(name, info.as_of)
        if champion is None:
            plans.append(ModelPlan(name, "baseline", reason="no champion, filled by its baseline"))
        else:
            plans.append(
                ModelPlan(
                    name,
                    "champion",
                    champion.version,
                    hindsight,
                    folder=str(champion.folder),
                    manifest_checksum=champion.manifest_checksum,
                )
            )
    shards = tuple(
        ShardPlan(number, low, high)
        for number, (low, high) in enumerate(shard_ranges(info, settings.shard_listeners))
    )
    plan = NightPlan(info.as_of, tuple(plans), shards)
    kept = {"models": [asdict(p) for p in plan.models], "shards": [asdict(s) for s in shards]}
    write_json(kept, plan_path(settings, info.as_of))
    return plan


def plan_path(settings: Settings, as_of: date) -> Path:
    """File of a night's plan."""
    return Lake(settings.home).night(as_of) / "plan.json"


def read_plan(settings: Settings, as_of: date) -> NightPlan:
    """Read the plan that :func:`make_plan` kept."""
    kept: dict[str, list[dict[str, Any]]] = read_json(plan_path(settings, as_of))
    return NightPlan(
        as_of,
        tuple(ModelPlan(**row) for row in kept["models"]),
        tuple(ShardPlan(**row) for row in kept["shards"]),
    )


def champion_manifest(settings: Settings, plan: ModelPlan) -> Manifest | None:
    """Verify the files of the version that a night uses; ``None`` when it uses none.

    Raises
    ------
    ArtifactError
        A file is missing or altered.
    """
    if plan.mode != "champion" or plan.version is None:
        return None
    if Path(plan.folder).is_dir():
        return read_artifact(Path(plan.folder), plan.manifest_checksum)
    # Fetched from the artifact store for another machine: this one fetches it too.
    return open_registry(settings).version(plan.model, plan.version).manifest()


def model_folder(settings: Settings, as_of: date, model: str) -> Path:
    """Folder of one model's results of a night."""
    return Lake(settings.home).night(as_of) / model
