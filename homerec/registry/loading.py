"""From a registered version to what can be run: both stages, and the frozen histograms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homerec.database.urls import mlflow_url
from homerec.drift.histogram import Histograms
from homerec.errors import ArtifactError
from homerec.lake import read_json
from homerec.models.fitted import FittedModel
from homerec.models.spec import ModelSpec
from homerec.registry.store import Registry
from homerec.registry.version import Version
from homerec.settings import Settings


def open_registry(settings: Settings) -> Registry:
    """Return the deployment's model registry."""
    return Registry(mlflow_url(settings), settings.home / "artifacts")


def load_version(version: Version) -> FittedModel:
    """Read a version's sources and ranker, with the spec it was trained with.

    Raises
    ------
    ArtifactError
        A file is missing or altered.
    """
    return load_folder(version.folder, version.manifest().values)


def load_folder(folder: Path, values: Mapping[str, Any]) -> FittedModel:
    """Read both stages from a folder whose files have been checked."""
    return FittedModel.load(ModelSpec.from_json(values["parameters"]["spec"]), folder)


def load_histograms(version: Version) -> dict[str, Histograms]:
    """Histograms that were frozen when a version was trained, by place.

    Raises
    ------
    ArtifactError
        The file is not what training wrote.
    """
    path = version.manifest().histograms
    try:
        return {place: Histograms.from_json(text) for place, text in read_json(path).items()}
    except (AttributeError, TypeError) as error:
        raise ArtifactError(f"{path} does not hold histograms by place: {error}.") from error


def training_volumes(version: Version) -> dict[str, int]:
    """Card plays of the last day of the snapshot that a version learned from, by market."""
    volumes = version.manifest().values["parameters"]["volumes"]
    return {str(name): int(n) for name, n in volumes.items()}
