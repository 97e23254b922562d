"""From a registered version to what can be run: both stages, and the frozen histograms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homerec.database.urls import mlflow_url
from homerec.drift.histogram import Histograms
from homerec.errors import ArtifactError, OutdatedArtifactError, SettingsError
from homerec.lake import read_json
from homerec.models.fitted import FittedModel
from homerec.models.spec import ModelSpec
from homerec.registry.artifacts import Manifest
from homerec.registry.store import Registry
from homerec.settings import Settings


def open_registry(settings: Settings) -> Registry:
    """Return the deployment's model registry."""
    return Registry(mlflow_url(settings), settings.home / "artifacts")


def load_fitted(manifest: Manifest) -> FittedModel:
    """Read a version's sources and ranker, with the spec it was trained with.

    Raises
    ------
    ArtifactError
        A file is missing or altered.
    OutdatedArtifactError
        It was trained with what this homerec does not have.
    """
    return load_folder(manifest.folder, manifest.values)


def load_folder(folder: Path, values: Mapping[str, Any]) -> FittedModel:
    """Read both stages from a folder whose files have been checked.

    Raises
    ------
    OutdatedArtifactError
        The version names sources or parameters that this homerec does not have, or was learned in
        another way.
    """
    return FittedModel.load(_read_spec(folder, values), folder)


def _read_spec(folder: Path, values: Mapping[str, Any]) -> ModelSpec:
    try:
        spec = ModelSpec.from_json(values["parameters"]["spec"])
        spec.build_sources()
        spec.build_ranker(0)
        spec.baseline.build()
    except SettingsError as error:
        raise OutdatedArtifactError(
            f"{folder} was trained by another homerec: {error} Train the model again (homerec "
            "train), or use the version that wrote it."
        ) from error
    return spec


def load_histograms(manifest: Manifest) -> dict[str, Histograms]:
    """Histograms that were frozen when a version was trained, by place.

    Raises
    ------
    ArtifactError
        The file is not what training wrote.
    """
    path = manifest.histograms
    try:
        return {place: Histograms.from_json(text) for place, text in read_json(path).items()}
    except (AttributeError, TypeError) as error:
        raise ArtifactError(f"{path} does not hold histograms by place: {error}.") from error


def training_volumes(manifest: Manifest) -> dict[str, int]:
    """Card plays of the last day of the snapshot that a version learned from, by market."""
    volumes = manifest.values["parameters"]["volumes"]
    return {str(name): int(n) for name, n in volumes.items()}
