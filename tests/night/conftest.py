"""A small demo deployment with trained champions, shared by the tests of whole nights."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from homerec.database import embedded
from homerec.database.urls import app_url
from homerec.ingest import ingest
from homerec.lake import Lake
from homerec.night import run_night
from homerec.settings import Settings
from homerec.training.run import TrainReport, train
from homerec.world import generate
from support.server import start_server

START = date(2026, 1, 1)
DAYS = 46
#: The night before the last day of the world, so that a day of events comes after it.
AS_OF = START + timedelta(days=DAYS - 1)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An ingested world beside a running Postgres; nothing is trained, nothing is live."""
    settings = Settings(home=tmp_path_factory.mktemp("deployment"), memory_limit="2GB")
    start_server(settings)
    inbox = Lake(settings.home).inbox
    generate(inbox, listeners=1500, days=DAYS, start=START, seed=7, progress=False)
    ingest(settings, source=inbox)
    yield settings
    embedded.remove(settings)


@pytest.fixture(scope="session")
def first_night(deployment: Settings) -> int:
    """Release of a night before any model had a champion."""
    release = run_night(deployment, AS_OF - timedelta(days=1)).release
    assert release is not None
    assert release.live
    return release.release_id


@pytest.fixture(scope="session")
def trained(deployment: Settings, first_night: int) -> dict[str, TrainReport]:
    """Reports of the training of every model, as of AS_OF."""
    names = ("playlists", "podcasts", "shortcuts")
    return {name: train(deployment, name, AS_OF) for name in names}


@pytest.fixture(scope="session")
def live(deployment: Settings, trained: dict[str, TrainReport]) -> Settings:
    """The deployment with a live release of its champions."""
    release = run_night(deployment, AS_OF).release
    assert release is not None
    assert release.live
    return deployment


@pytest.fixture
def variant(live: Settings, tmp_path: Path) -> Callable[[], Settings]:
    """Make a deployment on the same Postgres whose files are a copy that a test may spoil."""

    def make() -> Settings:
        home = tmp_path / "variant"
        shutil.copytree(live.home / "lake", home / "lake")
        shutil.copytree(live.home / "drift", home / "drift")
        return replace(live, home=home, database_url=app_url(live))

    return make
