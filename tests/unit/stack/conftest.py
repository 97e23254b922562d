"""What the tests of the stack share: a throwaway home, and an empty environment."""

import os
from pathlib import Path

import pytest

from homerec.settings import Settings
from homerec.stack.config import StackConfig


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("HOMEREC", "AIRFLOW", "MLFLOW", "NO_PROXY")):
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "a home")


@pytest.fixture
def config(settings: Settings) -> StackConfig:
    folder = settings.home / "airflow"
    folder.mkdir(parents=True)
    return StackConfig(str(folder), 8080)
