"""A fourth model, from its command to a Home on the screen, and away again.

It happens in a copy of the project with a small deployment of its own: each command is a process,
as it is for a person.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homerec.database import embedded
from homerec.settings import ROOT, Settings
from support.server import start_server

_FOLDERS = ("homerec", "sql", "config", "experiments", "docs", "tests")
AS_OF = "2026-02-16"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("project")
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def _files(project: Path) -> set[Path]:
    """The files of the copy; what Python and numba compile on the way is not of the model."""
    paths = (path for name in _FOLDERS for path in (project / name).rglob("*"))
    return {path for path in paths if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def homerec(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., str]]:
    """Run a command of the copy; returns what it printed."""
    settings = Settings(home=tmp_path_factory.mktemp("data"))
    start_server(settings)
    environ = {**os.environ, "HOMEREC_HOME": str(settings.home), "PYTHONPATH": str(project)}
    for name in ("HOMEREC_CONFIG", "HOMEREC_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        environ.pop(name, None)
    code = "import sys; from homerec.cli import main; sys.exit(main())"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, "-q", *arguments],
            cwd=project, env=environ, capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    embedded.remove(settings)


def test_a_fourth_model_comes_and_goes(project: Path, homerec: Callable[..., str]) -> None:
    homerec("world", "--listeners", "500", "--days", "46", "--start", "2026-01-01", "--seed", "7")
    homerec("ingest")
    before = _files(project)

    said = homerec("new-model", "albums", "--shelf", "Albums for you", "--type", "album")
    assert "homerec train albums" in said
    # Its own test, and what every model promises, hold in the copy.
    environ = {**os.environ, "PYTHONPATH": str(project)}
    tests = ["tests/unit/models/test_albums.py", "tests/contracts/test_models.py",
             "tests/unit/models/test_catalogue.py"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=project, env=environ, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "albums" in homerec("experiment", "experiments/albums.yaml", "--dry-run")

    verdict = homerec("train", "albums", "--as-of", AS_OF)
    assert "albums v1" in verdict
    if "albums v1: PROMOTE" not in verdict:
        homerec("models", "promote", "albums", "1", "--reason", "test", "--who", "test")
    night = homerec("night", "--as-of", AS_OF)
    assert re.search(r"albums +champion +version 1", night)
    home = homerec("home", "--rows")
    cards = [line for line in home.splitlines() if "Albums for you" in line]
    assert len(cards) == 10
    assert all(re.search(r"\balbum\b", line) for line in cards)

    homerec("new-model", "albums", "--remove")
    assert _files(project) - before == set()
    assert "albums" not in homerec("night", "--as-of", AS_OF)
    assert "Albums for you" not in homerec("home", "--rows")
