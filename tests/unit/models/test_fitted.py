"""Both stages together, from listeners to ranked cards."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from homerec.features.assembly import Pairs
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot
from homerec.features.tables import Shard, load_catalog, load_shard
from homerec.models import get_model
from homerec.models.fitted import FittedModel, baseline_pairs, list_numbers, rank, used_sources
from homerec.settings import Settings
from homerec.training.fitting import Plan, fit_model
from support.lake import build_lake, event, item, listener
from support.weeks import END, spec_of, week_lake

NAMES = ["playlists", "podcasts", "shortcuts"]


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return week_lake(tmp_path_factory.mktemp("fitted"), n_listeners=90)


@pytest.fixture(scope="module")
def info(weeks: Settings) -> SnapshotInfo:
    return ensure_snapshot(weeks, END, writer="night")


@pytest.fixture(scope="module")
def shard(info: SnapshotInfo) -> Shard:
    return load_shard(info, load_catalog(info), 0, 10_000)


@pytest.fixture(scope="module")
def models(weeks: Settings) -> dict[str, FittedModel]:
    specs = [spec_of(name, weeks) for name in NAMES]
    return {spec.name: fit_model(weeks, spec, Plan.of(spec, END))[0] for spec in specs}


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_a_model_ranks_the_same(
    models: dict[str, FittedModel], shard: Shard, name: str, tmp_path: Path
) -> None:
    model = models[name]
    model.save(tmp_path)
    loaded = FittedModel.load(type(model.spec).from_json(model.spec.to_json()), tmp_path)
    before, after = model.candidates(shard), loaded.candidates(shard)
    assert len(before) > 0
    np.testing.assert_array_equal(before.item, after.item)
    np.testing.assert_array_equal(model.score(before, shard), loaded.score(after, shard))


@pytest.mark.parametrize("name", NAMES)
def test_candidates_are_of_eligible_listeners_and_each_pair_comes_once(
    models: dict[str, FittedModel], shard: Shard, name: str
) -> None:
    pairs = models[name].candidates(shard)
    assert set(pairs.listener.tolist()) <= set(models[name].spec.eligible(shard).tolist())
    keys = list(zip(pairs.daypart, pairs.listener, pairs.item, strict=True))
    assert keys == sorted(set(keys))
    dayparts = {0, 1, 2, 3} if name == "shortcuts" else {-1}
    assert set(pairs.daypart.tolist()) == dayparts
    was_played = shard.pair_rows(pairs.listener, pairs.item) >= 0
    assert (was_played == (models[name].spec.seen == "required")).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_shard_without_an_eligible_listener_has_no_candidates(
    models: dict[str, FittedModel], shard: Shard, name: str
) -> None:
    nobody = replace(models[name], spec=replace(models[name].spec, max_tenure_days=-1))
    pairs = nobody.candidates(shard)
    assert len(pairs) == 0
    assert nobody.score(pairs, shard).shape == (0,)
    assert used_sources(nobody, pairs) == []
    pairs, scores = baseline_pairs(nobody.spec, shard)
    assert len(pairs) == len(scores) == 0


def test_listeners_are_eligible_by_tenure_and_plays(tmp_path: Path) -> None:
    who = [
        listener(1, registered_at="2026-02-08"),
        listener(2, registered_at="2026-02-07"),
        listener(3, registered_at="2026-03-09T23:59"),
    ]
    events = [event(2, "2026-03-09T10:00", show=1)]
    settings = build_lake(tmp_path, events=events, items=[item(1)], listeners=who)
    snapshot = ensure_snapshot(settings, date(2026, 3, 10), writer="night")
    shard = load_shard(snapshot, load_catalog(snapshot), 0, 10)
    eligible = {n: get_model(n, settings).eligible(shard).tolist() for n in NAMES}
    assert eligible == {"podcasts": [0, 1, 2], "playlists": [0, 2], "shortcuts": [1]}


@pytest.mark.parametrize("name", NAMES)
def test_the_baseline_orders_by_its_own_rank(weeks: Settings, shard: Shard, name: str) -> None:
    spec = spec_of(name, weeks)
    pairs, scores = baseline_pairs(spec, shard)
    best, kept, ranks = rank(pairs, scores, spec.cards)
    np.testing.assert_array_equal(-kept, ranks)
    assert len(np.unique(list_numbers(best))) > 10


def test_the_source_of_a_card_is_the_one_that_ranked_it_highest(
    models: dict[str, FittedModel],
) -> None:
    none = np.full(3, np.nan, dtype=np.float32)
    said = {f"{s.name}_rank": none.copy() for s in models["podcasts"].sources}
    said["als_rank"][:] = [2, 5, np.nan]
    said["popular_rank"][:] = [2, 1, 4]
    pairs = Pairs(np.zeros(3, np.int64), np.arange(3), np.full(3, -1, np.int8), said)
    assert used_sources(models["podcasts"], pairs) == ["als", "popular", "popular"]


def test_baselines_of_another_column_follow_it(weeks: Settings, shard: Shard) -> None:
    spec = get_model(
        "podcasts", replace(weeks, models={"podcasts": {"baseline": {"column": "n_starts_7d"}}})
    )
    pairs, scores = baseline_pairs(spec, shard, np.array([0]))
    starts = shard.catalog.market_column(
        "n_starts_7d", pairs.item, np.repeat(shard.markets[:1], len(pairs))
    )
    assert (np.diff(starts[np.argsort(-scores)]) <= 0).all()
