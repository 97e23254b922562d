"""Where a registered version's files are, fetched when they are not local."""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlparse
from urllib.request import url2pathname

from homerec.errors import ArtifactError
from homerec.lake import atomic_folder
from homerec.registry.artifacts import read_artifact
from homerec.registry.mlflow_client import translated
from homerec.registry.version import PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

#: Folder of the model's files among the artifacts of its run.
ARTIFACT_PATH: Final = "model"


def version_folder(
    client: "MlflowClient", model: str, found: "ModelVersion", local_root: Path, cache: Path
) -> Path:
    """Local folder of a version's files.

    Parameters
    ----------
    client : MlflowClient
        Of the registry that holds the version.
    model : str
        Name of the model.
    found : ModelVersion
        The version.
    local_root : Path
        Where runs keep their artifacts now, in case the deployment was moved since.
    cache : Path
        Below its ``downloads`` copies are kept of what lies in another artifact store.

    Raises
    ------
    ArtifactError
        The files are gone, or a fetched copy is not what was registered.
    RegistryError, TransientError
        The artifact store refuses or cannot be reached.
    """
    source = urlparse(str(found.source))
    run_id = str(found.run_id)
    if source.scheme in ("", "file"):
        recorded = Path(url2pathname(source.path))
        for folder in (recorded, local_root / run_id / "artifacts" / ARTIFACT_PATH):
            if folder.is_dir():
                return folder
        raise ArtifactError(
            f"The files of {model} v{found.version} are not in {recorded}. Restore the folder, or "
            "roll back to another version."
        )
    expected = found.tags[f"{PREFIX}manifest_checksum"]
    # The checksum in the name keeps two registries that share a cache apart.
    copy = cache / "downloads" / model / f"v{found.version}-{expected[:12]}"
    if not copy.is_dir():
        with (
            translated(f"fetching the files of {model} v{found.version}"),
            atomic_folder(copy) as temporary,
        ):
            fetched = Path(
                client.download_artifacts(run_id, ARTIFACT_PATH, dst_path=str(temporary))
            )
            for entry in fetched.iterdir():
                entry.replace(temporary / entry.name)
            fetched.rmdir()
            read_artifact(temporary, expected)
    return copy
