"""Configurations judged by the truth: the measure on lists made by hand, the command on a world."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homerec.bench.quality import command, tuning
from homerec.bench.quality.command import Options
from homerec.bench.quality.contenders import as_read
from homerec.bench.quality.tuning import Truth, expected_share, run_tuning
from homerec.columns import ANY_DAYPART
from homerec.errors import HomerecError
from homerec.features.assembly import Pairs
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, load_catalog, load_shard
from homerec.models import get_model
from homerec.models.spec import ModelSpec
from homerec.settings import Settings
from support.taste import taste_lake

#: Chances of a play: listener 0 of the items 0, 1, 2; listener 1 of the items 1, 2.
CHANCES = np.array([0.5, 0.1, 0.2, 0.3, 0.01], np.float32)
LISTENERS, ITEMS = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 1, 2])


def pairs(listener: np.ndarray, item: np.ndarray) -> Pairs:
    return Pairs(listener, item, np.full(len(item), ANY_DAYPART, np.int8))


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    settings = taste_lake(tmp_path_factory.mktemp("taste"))
    info = ensure_snapshot(settings, date(2026, 3, 10), writer="night")
    return load_shard(info, load_catalog(info), 0, 1_000)


@pytest.fixture
def truth(shard: Shard) -> Truth:
    return Truth(shard, np.array([0, 1]), pairs(LISTENERS, ITEMS), CHANCES)


@pytest.fixture
def spec() -> ModelSpec:
    return replace(get_model("podcasts", Settings()), metric_k=2)


def share(truth: Truth, spec: ModelSpec, listener: Any, item: Any, score: Any) -> float:
    ranked = pairs(np.array(listener), np.array(item)), np.array(score, np.float32)
    return expected_share(lambda shard, rows: ranked, spec, [truth])


def test_the_true_order_has_all_and_its_reverse_less(truth: Truth, spec: ModelSpec) -> None:
    assert share(truth, spec, LISTENERS, ITEMS, CHANCES) == pytest.approx(1.0)
    assert share(truth, spec, LISTENERS, ITEMS, -CHANCES) < 0.6


def test_a_share_is_the_expected_dcg_written_out(truth: Truth, spec: ModelSpec) -> None:
    second = 1 / np.log2(3)
    # A list counts by its chance of any play, its DCG is divided by the plays that are expected.
    one, two = (1 - np.exp(-n) for n in (0.8, 0.31))
    reached = one * (0.2 + 0.5 * second) / 0.8 + two * 0.01 / 0.31
    possible = one * (0.5 + 0.2 * second) / 0.8 + two * (0.3 + 0.01 * second) / 0.31
    found = share(truth, spec, [0, 0, 1], [2, 0, 2], [2.0, 1.0, 1.0])
    assert found == pytest.approx(reached / possible)


def test_cards_below_k_and_those_that_may_not_be_shown_count_nothing(
    truth: Truth, spec: ModelSpec
) -> None:
    known = share(truth, spec, [0, 1], [0, 1], [1.0, 1.0])
    assert share(truth, spec, [0, 0, 0, 1], [5, 6, 0, 1], [3.0, 2.0, 1.0, 1.0]) < known
    assert share(truth, spec, [0, 0, 1], [0, 5, 1], [3.0, 2.0, 1.0]) == pytest.approx(known)
    assert share(truth, spec, [0], [7], [1.0]) == 0


FILE = """
name: ceilings
model: podcasts
grid:
  - starts.ceiling: [0.01]
    starts.tag_strength: [0.0]
"""


@pytest.fixture
def options(tmp_path: Path) -> Options:
    path = tmp_path / "ceilings.yaml"
    path.write_text(FILE, encoding="utf-8")
    return Options(
        Settings(home=tmp_path / "home"), tmp_path / "work", seeds=(11, 12), listeners=500,
        experiment=path, source="starts",
    )  # fmt: skip


def test_a_source_that_a_model_does_not_have_is_named_before_a_world_is_made(
    options: Options,
) -> None:
    with pytest.raises(HomerecError, match="podcasts has no source ease; it has als"):
        run_tuning(replace(options, source="ease"))
    assert not options.work.exists()


def test_configurations_are_told_apart_on_a_world_and_kept(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, days = replace(options, seeds=(11,)), []

    def read(*given: Any) -> Any:
        def reading(contender: Any) -> Any:
            def ranked(shard: Shard, rows: Any) -> Any:
                days.append(given[-1])
                return as_read(*given)(contender)(shard, rows)

            return ranked

        return reading

    monkeypatch.setattr(tuning, "as_read", read)
    (row,) = [line for line in run_tuning(one).splitlines() if "starts.ceiling = 0.01" in line]
    current, low = (float(cell) for cell in (row.split("|")[4].split()[0], row.split("|")[3]))
    # Where taste can do little, the order is that of popularity.
    assert current < -0.02
    assert 0.2 < low < 0.75
    # Nothing that was taken down on the first judged day is on a list.
    assert days == [date(2026, 3, 6)] * 2
    monkeypatch.setattr(tuning, "deployment", lambda *given: pytest.fail("made again"))
    assert row in run_tuning(one)
    # With another seed of the deployment a fit begins elsewhere.
    with pytest.raises(pytest.fail.Exception, match="made again"):
        run_tuning(replace(one, settings=replace(one.settings, seed=99)))


def test_a_difference_is_paired_over_worlds() -> None:
    assert tuning._difference(np.zeros(3)) == ""
    assert tuning._difference(np.array([0.01])) == "+0.0100"
    said = tuning._difference(np.array([0.010, 0.012, 0.011, 0.009]))
    assert said.startswith("+0.0105 [+0.00")


def test_tuning_has_worlds_of_its_own() -> None:
    assert not set(command.TUNING_SEEDS) & set(command.SEEDS)
