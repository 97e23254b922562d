"""Removing versions from a real MLflow store, with their runs and files."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from homerec.errors import RegistryError
from homerec.registry.artifacts import write_manifest
from homerec.registry.removal import removable_versions, remove_version, version_bytes
from homerec.registry.store import Registry, Version

LATER = datetime.now(UTC) + timedelta(days=365)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    home = tmp_path_factory.mktemp("removal")
    return Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts")


@pytest.fixture
def register(registry: Registry, tmp_path: Path) -> Callable[[str, int], Version]:
    def make(model: str, day: int) -> Version:
        folder = tmp_path / f"{model}-{day}"
        folder.mkdir()
        (folder / "histograms.json").write_text("{}", encoding="utf-8")
        end = date(2026, 2, day)
        about = {
            "model": model, "as_of": date(2026, 3, day), "created_at": datetime.now(UTC),
            "code_version": "0", "seed": 1, "features": ["a"], "training_snapshots": [end],
            "label_windows": [(end, end + timedelta(days=1))], "metrics": {}, "thresholds": {},
            "histograms": "histograms.json", "parameters": {},
        }  # fmt: skip
        write_manifest(folder, about)
        return registry.register(model, folder, {"factors": 3}, {}, {}, date(2026, 3, day))

    return make


def test_a_version_goes_with_its_run_and_its_files(
    registry: Registry, register: Callable[[str, int], Version]
) -> None:
    first, second = register("gone", 1), register("gone", 2)
    folder = first.folder
    assert version_bytes(first) > 0
    (doomed,) = removable_versions(registry, "gone", 30, (), LATER)
    assert doomed.version == 1
    remove_version(registry, doomed)
    assert not folder.exists()
    assert list(folder.parent.parent.parent.glob(".*")) == []
    assert [v.version for v in registry.versions("gone")] == [2]
    with pytest.raises(RegistryError, match="gone has no version 1"):
        registry.version("gone", 1)
    assert registry.client.get_run(first.run_id).info.lifecycle_stage == "deleted"
    assert second.manifest().model == "gone"
    # The next version does not take the number of one that was removed.
    assert register("gone", 3).version == 3


def test_what_is_in_production_or_may_be_again_stays(
    registry: Registry, register: Callable[[str, int], Version]
) -> None:
    for day in (1, 2, 3, 4):
        made = register("kept", day)
        if day < 4:
            moment = datetime.now(UTC) + timedelta(minutes=day)
            registry.promote("kept", made.version, None, "me", "because", now=moment)
    found = removable_versions(registry, "kept", 30, (), LATER)
    assert [v.version for v in found] == [1]
    assert removable_versions(registry, "kept", 30, (1,), LATER) == []
    assert removable_versions(registry, "kept", 400, (), LATER) == []
    champion = registry.champion("kept")
    assert champion is not None
    with pytest.raises(RegistryError, match=r"kept v3 is champion; it cannot be removed"):
        remove_version(registry, champion)
    assert champion.folder.is_dir()
