"""A training row is a night row; neither shards nor threads nor the writer change a card."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import iter_shards, load_catalog
from homerec.models.fitted import FittedModel, rank
from homerec.settings import Settings
from homerec.training.evaluation import is_hit, shard_labels
from homerec.training.fitting import Plan, SnapshotView, TrainingSet, fit_model, training_set
from homerec.training.labels import read_labels
from support.features import table_bytes
from support.weeks import END, spec_of, week_lake

NAMES = ["playlists", "podcasts", "shortcuts"]
N_LISTENERS = 48


def small(home: Path, **settings: object) -> Settings:
    return week_lake(home, n_listeners=N_LISTENERS, **settings)


def lighter(name: str, settings: Settings) -> object:
    spec = spec_of(name, settings)
    return replace(
        spec,
        # Two weeks at most: the world is short, and what is older than stage 1 has no factor.
        ranker_windows=min(spec.ranker_windows, 14 // spec.label_window_days),
        ranker_parameters={"max_iter": 8, "min_samples_leaf": 5},
        negatives=15,
    )


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Settings, dict[str, tuple[FittedModel, TrainingSet]]]:
    settings = small(tmp_path_factory.mktemp("one"))
    specs = {name: lighter(name, settings) for name in NAMES}
    return settings, {n: fit_model(settings, s, Plan.of(s, END)) for n, s in specs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_training_rows_are_the_nights_rows(
    trained: tuple[Settings, dict[str, tuple[FittedModel, TrainingSet]]],
    tmp_path: Path,
    name: str,
) -> None:
    settings, models = trained
    model = models[name][0]
    as_of = Plan.of(model.spec, END).ranker_dates[0]
    # Training, from the snapshot that training computed: every candidate of a list with a hit.
    everything = replace(model, spec=replace(model.spec, negatives=10**6))
    view = SnapshotView(settings, ensure_snapshot(settings, as_of, writer="training"))
    labels = read_labels(settings, model.spec, view.info)
    learned = training_set(settings, everything, view, labels)

    # The night, on its own lake and snapshot, for all listeners, in shards of another size.
    elsewhere = small(tmp_path, shard_listeners=7)
    info = ensure_snapshot(elsewhere, as_of, writer="night")
    assert table_bytes(info) == table_bytes(view.info)
    catalog = load_catalog(info)
    features, hits = [], []
    for shard in iter_shards(info, catalog, elsewhere.shard_listeners):
        pairs = model.candidates(shard)
        played = is_hit(shard_labels(model.spec, shard, labels), pairs, catalog)
        lists = pairs.listener * 8 + pairs.daypart
        order = np.argsort(lists, kind="stable")
        order = order[np.isin(lists[order], lists[played])]
        features.append(model.features(pairs, shard)[order])
        hits.append(played[order])
    night = np.concatenate(features)
    assert len(night) > 200
    assert night.tobytes() == np.ascontiguousarray(learned.features).tobytes()
    np.testing.assert_array_equal(np.concatenate(hits), learned.labels)
    scores = [n for n in model.spec.features if n.endswith("als_score")]
    for column in (model.spec.features.index(n) for n in scores):
        assert np.isfinite(night[:, column]).mean() > 0.2


def ranked_cards(settings: Settings, model: FittedModel, size: int) -> list[tuple[float, ...]]:
    info = ensure_snapshot(settings, END, writer="night")
    catalog = load_catalog(info)
    cards: list[tuple[float, ...]] = []
    for shard in iter_shards(info, catalog, size):
        pairs = model.candidates(shard)
        best, scores, ranks = rank(pairs, model.score(pairs, shard), 20)
        columns = (shard.listeners[best.listener], best.daypart, ranks, best.item, scores)
        cards += zip(*(c.tolist() for c in columns), strict=True)
    return sorted(cards)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "threads"), [(1, 2), (3, 1), (1_000, 2)])
def test_shards_and_threads_change_no_card_from_fit_to_page(
    trained: tuple[Settings, dict[str, tuple[FittedModel, TrainingSet]]],
    name: str,
    size: int,
    threads: int,
) -> None:
    settings, models = trained
    model, learned = models[name]
    other = replace(settings, shard_listeners=size, threads=threads)
    with threadpool_limits(limits=threads, user_api="openmp"):
        again, relearned = fit_model(other, model.spec, Plan.of(model.spec, END))
        np.testing.assert_array_equal(relearned.features, learned.features)
        np.testing.assert_array_equal(relearned.labels, learned.labels)
        np.testing.assert_array_equal(relearned.groups, learned.groups)
        cards = ranked_cards(other, again, size)
    expected = ranked_cards(settings, model, 1_000)
    assert len(expected) > 100
    assert cards == expected
