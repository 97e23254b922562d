"""Real listening, through its mapping and settings, to shelves from a trained version."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from homerec.database import embedded
from homerec.ingest import ingest
from homerec.lake import Lake
from homerec.night import NightReport, run_night
from homerec.release import home
from homerec.settings import ROOT, Settings, load_settings
from homerec.training.run import TrainReport, train

DATA = ROOT.parent / "shared" / "data"


def deploy(name: str, home_folder: Path) -> Settings:
    """Ingest one of the data sets into a deployment of its own."""
    source = DATA / name
    if not source.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{source} is not there")
        pytest.skip(f"{source} is not there")
    settings = replace(
        load_settings(ROOT / "config" / "settings" / f"{name}.toml"), home=home_folder
    )
    embedded.start(settings)
    report = ingest(settings, source=source, mapping=name)
    assert sum(table.n_quarantined for table in report.tables.values()) == 0
    return settings


SOURCES = {"als", "co_listening", "starts", "popular", "new_items"}
Run = tuple[Settings, dict[str, TrainReport], NightReport]


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    settings = deploy("amazon-digital-music", tmp_path_factory.mktemp("amazon"))
    as_of = date(2016, 1, 1)
    reports = {m: train(settings, m, as_of) for m in ("playlists", "podcasts", "shortcuts")}
    yield settings, reports, run_night(settings, as_of)
    embedded.remove(settings)


@pytest.fixture(scope="module")
def lastfm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    settings = deploy("lastfm-2k", tmp_path_factory.mktemp("lastfm"))
    as_of = date(2011, 4, 1)
    reports = {m: train(settings, m, as_of) for m in ("playlists", "podcasts", "shortcuts")}
    yield settings, reports, run_night(settings, as_of)
    embedded.remove(settings)


def active_listeners(settings: Settings, before: datetime, n: int) -> list[str]:
    """Ids of the listeners with n events or more before an instant, from the lake itself."""
    lake = Lake(settings.home)
    events = pq.read_table(lake.partitions("events"), columns=["listener", "started_at"])
    events = events.filter(pc.less(events["started_at"], before.replace(tzinfo=None)))
    counts = events.group_by("listener").aggregate([("started_at", "count")])
    active = counts.filter(pc.greater_equal(counts["started_at_count"], n))["listener"]
    listeners = pq.read_table(lake.table("listeners"), columns=["listener", "listener_id"])
    return sorted(
        listeners.filter(pc.is_in(listeners["listener"], value_set=active.combine_chunks()))[
            "listener_id"
        ].to_pylist()
    )


def with_model_shelf(settings: Settings, listeners: list[str]) -> dict[str, tuple[str, ...]]:
    """Item ids of "Shows you might like" of each listener who has it."""
    found = {}
    for listener in listeners:
        cards = home(settings, listener)
        shelf = cards[cards["shelf_title"] == "Shows you might like"]
        if len(shelf) and set(shelf["source"]) <= SOURCES:
            found[listener] = tuple(shelf["item_id"])
    return found


def test_amazon_models_without_data_of_their_type_are_skipped_and_say_so(amazon: Run):
    _, reports, night = amazon
    assert reports["playlists"].reason == "the catalog has no playlist"
    assert night.plan.of("playlists").mode == "skipped"
    assert reports["podcasts"].outcome == "promote"
    assert night.plan.of("podcasts").version == reports["podcasts"].version
    assert night.release is not None
    assert night.release.live
    assert not night.release.degraded


def test_amazon_listeners_with_five_events_get_shelves_of_the_version_trained(amazon: Run):
    settings, _, _ = amazon
    listeners = active_listeners(settings, datetime(2016, 1, 1, tzinfo=UTC), 5)
    assert len(listeners) > 3000
    sample = listeners[:: len(listeners) // 400]
    shelves = with_model_shelf(settings, sample)
    assert len(shelves) >= 0.8 * len(sample)
    assert len(set(shelves.values())) > 0.9 * len(shelves)


def test_lastfm_listeners_get_different_shelves_far_better_than_the_baseline(lastfm: Run):
    settings, reports, night = lastfm
    report = reports["podcasts"]
    assert report.outcome == "promote"
    assert report.metrics["ndcg"] > 2 * report.metrics["baseline_ndcg"]
    assert night.plan.of("podcasts").version == report.version
    listeners = active_listeners(settings, datetime(2011, 4, 1, tzinfo=UTC), 5)
    sample = listeners[:: len(listeners) // 100]
    shelves = with_model_shelf(settings, sample)
    assert len(shelves) >= 0.8 * len(sample)
    assert len(set(shelves.values())) > 0.9 * len(shelves)
