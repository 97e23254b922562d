"""Experiments over the world of weeks."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from homerec.registry.store import Registry
from homerec.settings import Settings
from homerec.training.experiments.keeping import Record
from support.experiments import run
from support.weeks import week_lake


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return week_lake(tmp_path_factory.mktemp("experiments"), n_listeners=140, threads=2)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    home = tmp_path_factory.mktemp("mlflow")
    return Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts")


@pytest.fixture(scope="session")
def record(world: Settings, registry: Registry) -> Record:
    """The experiment, run once."""
    return run(world, registry=registry)


@pytest.fixture
def copy(world: Settings, record: Record, tmp_path: Path) -> Settings:
    """A deployment of one's own in which the experiment has been run."""
    shutil.copytree(world.home, tmp_path / "home")
    return replace(world, home=tmp_path / "home")
