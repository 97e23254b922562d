import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homerec.errors import ArtifactError
from homerec.registry.artifacts import MANIFEST, read_artifact, write_manifest


def values(**changes: Any) -> dict[str, Any]:
    return {
        "model": "podcasts",
        "as_of": date(2026, 3, 8),
        "created_at": datetime(2026, 3, 8, 4, tzinfo=UTC),
        "code_version": "0.1.0",
        "seed": 7,
        "features": ("a", "b"),
        "training_snapshots": [date(2026, 2, 22)],
        "label_windows": [(date(2026, 2, 15), date(2026, 2, 22)), ("2026-02-22", "2026-03-01")],
        "metrics": {"ndcg@10": np.float64(0.25)},
        "thresholds": {"metric_floor": 0.02},
        "histograms": "histograms.json",
        "parameters": {"factors": np.int32(64), "alpha": np.float32(0.5)},
        **changes,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "als").mkdir(parents=True)
    (made / "histograms.json").write_text("{}")
    np.savez(made / "als" / "factors.npz", items=np.arange(4, dtype=np.float32))
    return made


def test_a_manifest_round_trips_with_plain_values(folder: Path) -> None:
    write_manifest(folder, values())
    manifest = read_artifact(folder)
    assert (manifest.model, manifest.as_of) == ("podcasts", date(2026, 3, 8))
    assert manifest.features == ("a", "b")
    assert manifest.labels_end == date(2026, 3, 1)
    assert manifest.metrics == {"ndcg@10": 0.25}
    assert manifest.values["parameters"] == {"factors": 64, "alpha": 0.5}
    assert manifest.histograms == folder / "histograms.json"
    assert set(manifest.values["checksums"]) == {"als/factors.npz", "histograms.json"}


def test_an_altered_file_is_named(folder: Path) -> None:
    write_manifest(folder, values())
    (folder / "als" / "factors.npz").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"altered als/factors\.npz"):
        read_artifact(folder)


def test_a_missing_and_an_extra_file_are_named(folder: Path) -> None:
    write_manifest(folder, values())
    (folder / "als" / "factors.npz").rename(folder / "als" / "more.npz")
    with pytest.raises(ArtifactError, match=r"missing als/factors\.npz; extra als/more\.npz"):
        read_artifact(folder)


def test_a_link_is_refused(folder: Path) -> None:
    write_manifest(folder, values())
    (folder / "link").symlink_to(folder / "histograms.json")
    with pytest.raises(ArtifactError, match="holds a link, link"):
        read_artifact(folder)


def test_an_altered_manifest_is_refused_by_its_recorded_checksum(folder: Path) -> None:
    write_manifest(folder, values())
    with pytest.raises(ArtifactError, match="altered since it was registered"):
        read_artifact(folder, "0" * 64)


@pytest.mark.parametrize("name", ["seed", "label_windows", "histograms", "features"])
def test_a_missing_value_is_named(folder: Path, name: str) -> None:
    without = {k: v for k, v in values().items() if k != name}
    with pytest.raises(ArtifactError, match=f"lacks {name}"):
        write_manifest(folder, without)
    assert not (folder / MANIFEST).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"ndcg": float("nan")}}, "manifest.metrics.ndcg is nan"),
        ({"parameters": {"fit": object()}}, "manifest.parameters.fit is a object"),
        ({"label_windows": []}, "malformed|needs features and label windows"),
        ({"label_windows": [("2026-03-01", "2026-03-01")]}, "start < end"),
        ({"features": []}, "needs features"),
        ({"histograms": "elsewhere.json"}, "names histograms 'elsewhere.json'"),
        ({"histograms": "../model/histograms.json"}, "names histograms"),
        ({"as_of": "yesterday"}, "malformed"),
        ({"created_at": "now"}, "malformed"),
    ],
)
def test_a_wrong_value_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        write_manifest(folder, values(**changes))


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no files"):
        write_manifest(tmp_path, values())
    with pytest.raises(ArtifactError, match="it has no manifest"):
        read_artifact(tmp_path)
    with pytest.raises(ArtifactError, match="no artifact folder"):
        write_manifest(tmp_path / "absent", values())


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"holds no JSON|an object is needed"):
        read_artifact(folder)


def test_a_manifest_of_another_format_is_refused(folder: Path) -> None:
    write_manifest(folder, values())
    stored = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**stored, "format": 99}))
    with pytest.raises(ArtifactError, match="format 99, 1 can be read"):
        read_artifact(folder)
