"""An experiment's file: every mistake is named with its line, and nothing runs."""

from pathlib import Path

import pytest

from homerec.errors import ExperimentError
from homerec.models import model_names
from homerec.settings import ROOT, Settings
from homerec.training.experiments.parameters import CURRENT, configurations
from homerec.training.experiments.reading import parse_experiment, read_experiment
from homerec.training.experiments.space import points
from support.experiments import FILE, plan

HEAD = "name: x\nmodel: podcasts\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"f:1: an experiment is a mapping"),
        ("model: podcasts\ngrid: {ranker.c: [1]}", r"f:1: name is missing"),
        (HEAD + "grids: {}", r"f:3: grids is not known here; allowed are name, model"),
        (HEAD, "nothing is to be tried"),
        (HEAD + "grid: {}", r"f:3: grid is empty"),
        (HEAD + "grid: []", r"f:3: grid is empty"),
        (HEAD + "grid:\n  als.alpha: []", r"f:4: als.alpha is \[\]; a list of values"),
        (HEAD + "grid:\n  als.alpha: 3", r"f:4: als.alpha is 3; a list"),
        (HEAD + "grid: {als.alpha: [1], als.alpha: [2]}", r"f:3: als.alpha is there twice"),
        (HEAD + "grid: {a: [1]", r"f:3: not valid YAML"),
        (HEAD + "seeds: []\ngrid: {als.alpha: [1]}", r"f:3: seeds is \[\]; a list is needed"),
        (HEAD + "seeds: [1, true]\ngrid: {als.alpha: [1]}", r"f:3: 1 is True; a whole number"),
        (HEAD + "seeds: [1, 1]\ngrid: {als.alpha: [1]}", r"f:3: seeds are \[1, 1\]; different"),
        (HEAD + "metrics: ndcg\ngrid: {als.alpha: [1]}", r"f:3: metrics is 'ndcg'; a list"),
        (HEAD + "metrics: [ndcg, ndcg]\ngrid: {als.alpha: [1]}", "has a name twice"),
        (HEAD + "include_current: 3\ngrid: {als.alpha: [1]}", r"f:3: include_current is 3"),
        (HEAD + "as_of:\n  test: soon\ngrid: {als.alpha: [1]}", r"f:4: test is 'soon'; write YYYY"),
        (HEAD + "as_of: {validation: 0}\ngrid: {als.alpha: [1]}", r"f:3: validation is 0, 1 to"),
        (HEAD + "as_of: {validation: []}\ngrid: {als.alpha: [1]}", r"a list of dates or a number"),
        (HEAD + "random: {n: 3}", r"f:3: random needs space"),
        (HEAD + "random: {n: 0, space: {als.alpha: {int: [1, 2]}}}", r"f:3: n is 0"),
        ("name: A b\nmodel: podcasts\ngrid: {als.alpha: [1]}", r"f:1: name is 'A b'; small"),
    ],
)  # fmt: skip
def test_a_mistake_in_form_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        parse_experiment(text, "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: podcast\ngrid: {als.alpha: [1]}", r"file.yaml:2: There is no model podcast"),
        ("model: podcasts\nmetrics: [ndcg, auc]\ngrid: {als.alpha: [1]}",
         r"file.yaml:3: there is no metric auc; known are ndcg, recall"),
        ("model: podcasts\nmetrics: [coverage]\ngrid: {als.alpha: [1]}",
         r"file.yaml:3: the first metric decides"),
        ("model: podcasts\nmetrics: ['no_such:thing']\ngrid: {als.alpha: [1]}",
         r"file.yaml:3: the metric no_such:thing cannot be imported"),
        ("model: podcasts\nmetrics: ['os:getcwd']\ngrid: {als.alpha: [1]}",
         r"file.yaml:3: the metric os:getcwd cannot be called"),
        ("model: podcasts\nsegments: [moon]\ngrid: {als.alpha: [1]}",
         r"file.yaml:3: there is no segment moon; podcasts has market, tenure, activity, history"),
        ("model: podcasts\ngrid:\n  als.factor: [1]",
         r"file.yaml:4: als has no parameter factor; allowed are alpha, column"),
        ("model: podcasts\ngrid:\n  asl.factors: [1]", r"file.yaml:4: asl.factors is no parameter"),
        ("model: podcasts\ngrid:\n  als.factors:\n    - 8\n    - 8.5",
         r"file.yaml:6: als.factors is 8.5: input should be a valid integer"),
        ("model: podcasts\ngrid: {als.k: [0]}", r"als.k is 0: input should be greater"),
        ("model: podcasts\ngrid: {ranker.depth: [1]}", r"ranker has no parameter depth; allowed"),
        ("model: podcasts\ngrid: {ranker.seed: [1]}", r"ranker has no parameter seed"),
        ("model: podcasts\ngrid: {ranker: [forest]}", r"there is no ranker forest; known are"),
        ("model: podcasts\ngrid: {ranker: [logistic], ranker.max_iter: [5]}",
         r"ranker=logistic, ranker.max_iter=5: Ranker logistic of model podcasts"),
        ("model: podcasts\ngrid: {features.add: [[moon]]}", r"names 'moon', which is no feature"),
        ("model: podcasts\ngrid: {features.remove: [[item_type]]}", r"which is no feature to remo"),
        ("model: podcasts\ngrid: {features.add: [[source_familiar_rank]]}",
         r"feature source_familiar_rank needs a source that is not there"),
        ("model: podcasts\ngrid: {sources.add: [[familiar]]}", r"give familiar.k too"),
        ("model: podcasts\ngrid: {familiar.k: [3]}", r"familiar is not a source here"),
        ("model: shortcuts\ngrid: {sources.remove: [[familiar]]}", r"without any source"),
        ("model: podcasts\ngrid: {als.alpha: [0.5], als.context_types: [artist]}",
         r"als.context_types is 'artist': input should be a valid tuple"),
        ("model: podcasts\nfixed: {als.alpha: high}\ngrid: {als.factors: [1]}",
         r"file.yaml:3: als.alpha is 'high': input should be a valid number"),
        ("model: podcasts\nrandom: {n: 2, space: {als.alpha: {normal: [0, 1]}}}",
         r"there is no distribution normal; write \{uniform"),
        ("model: podcasts\nrandom: {n: 2, space: {als.alpha: [1, 2]}}", r"als.alpha is \[1, 2\]"),
        ("model: podcasts\nrandom: {n: 2, space: {als.alpha: {uniform: [2, 1]}}}",
         r"the first must be less"),
        ("model: podcasts\nrandom: {n: 2, space: {als.alpha: {log_uniform: [0, 1]}}}",
         r"it must lie above 0"),
        ("model: podcasts\nrandom: {n: 2, space: {als.factors: {int: [1, 2.5]}}}",
         r"als.factors: int is \[1, 2.5\]; whole|als.factors is 2.5: input should"),
        ("model: podcasts\nrandom: {n: 2, space: {als.factors: {uniform: [1, 8]}}}",
         r"als.factors is 1.0: input should be a valid integer"),
        ("model: podcasts\nrandom: {n: 2, space: {als.factors: {choice: []}}}",
         r"als.factors has nothing to choose from"),
        # Nothing but the model as it stands.
        ("model: podcasts\ngrid: {ranker_windows: [2]}", r"there is nothing to compare"),
        ("model: podcasts\nas_of: {test: 2027-01-01}\ngrid: {als.alpha: [1]}",
         r"test is 2027-01-01, but the last events are of 2026-03-14; 2026-03-15 is the latest"),
        ("model: podcasts\nas_of: {validation: [2026-03-09]}\ngrid: {als.alpha: [1]}",
         r"overlaps with the test's, which begins 2026-03-08"),
        ("model: podcasts\nas_of: {validation: [2026-02-10]}\ngrid: {als.alpha: [1]}",
         r"learns from events before 2026-01-20, and the first events are of 2026-02-01"),
    ],
)  # fmt: skip
def test_a_name_that_there_is_not_is_named_with_what_is_allowed(
    world: Settings, text: str, message: str
) -> None:
    with pytest.raises(ExperimentError, match=message):
        plan(world, f"name: x\n{text}")


def test_numbers_in_exponents_are_numbers() -> None:
    text = HEAD + "random: {n: 1, space: {als.alpha: {log_uniform: [1e-3, 1]}}}"
    ((values, _),) = points(parse_experiment(text, "f"))
    assert 1e-3 <= values["als.alpha"] <= 1


def test_draws_are_those_of_their_seed_and_within_their_ranges() -> None:
    text = HEAD + (
        "random:\n  n: 200\n  seed: SEED\n  space:\n"
        "    als.alpha: {uniform: [2, 3]}\n    als.regularization: {log_uniform: [0.01, 1]}\n"
        "    als.factors: {int: [4, 6]}\n    ranker.max_iter: {log_int: [10, 1000]}\n"
        "    ranker: {choice: [boosting, logistic]}\n"
    )
    first, same, other = (
        [v for v, _ in points(parse_experiment(text.replace("SEED", s), "f"))] for s in "112"
    )
    assert first == same != other
    assert len(first) == 200
    assert all(2 <= v["als.alpha"] <= 3 and 0.01 <= v["als.regularization"] <= 1 for v in first)
    assert {v["als.factors"] for v in first} == {4, 5, 6}
    # As many below as above the middle of the logarithms.
    assert 60 < sum(v["ranker.max_iter"] < 100 for v in first) < 140
    assert {v["ranker"] for v in first} == {"boosting", "logistic"}
    assert all(type(v["als.factors"]) is int for v in first)


def test_equal_configurations_are_one(world: Settings) -> None:
    # 6 factors and 25 trees are what the model has: the file says it in three ways.
    text = FILE.replace(
        "  ranker.max_iter: [5, 40]",
        "  - als.factors: [6]\n  - ranker.max_iter: [25, 5, 5]\n  - als.factors: [6, 7]",
    )
    found = configurations(parse_experiment(text, "f"), plan(world).spec)
    assert [(c.name, c.values) for c in found] == [
        (CURRENT, {}),
        ("c001", {"ranker.max_iter": 5}),
        ("c002", {"als.factors": 7}),
    ]


def test_what_is_changed_of_a_model(world: Settings) -> None:
    text = """\
name: x
model: podcasts
include_current: false
fixed: {negatives: 7}
grid:
  sources.remove: [[by_tags]]
  sources.add: [[familiar]]
  familiar.k: [5]
  features.add: [[item_n_tags]]
  features.remove: [[tag_affinity]]
  ranker: [logistic]
  ranker.c: [0.5]
  als.context_types: [[artist, album]]
"""
    (one,) = plan(world, text).configurations
    spec = one.spec
    assert [s.name for s in spec.sources] == [
        "als", "co_listening", "starts", "new_items", "popular", "familiar",
    ]  # fmt: skip
    assert spec.sources[-1].k == 5
    assert spec.sources[0].parameters["context_types"] == ("artist", "album")
    # A source takes its features with it.
    assert "source_by_tags_rank" not in spec.features
    assert "tag_affinity" not in spec.features
    assert spec.features[-1] == "item_n_tags"
    assert (spec.ranker, spec.ranker_parameters, spec.negatives) == ("logistic", {"c": 0.5}, 7)


@pytest.mark.parametrize("name", ["podcasts", "playlists", "shortcuts"])
def test_the_examples_are_sound(name: str) -> None:
    file = read_experiment(ROOT / "experiments" / f"{name}.yaml")
    assert file.model == name
    from homerec.models import get_model

    assert len(configurations(file, get_model(name, Settings()))) > 8


def test_every_model_has_an_example() -> None:
    there = {read_experiment(path).model for path in (ROOT / "experiments").glob("*.yaml")}
    assert there == set(model_names())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"nothing\.yaml cannot be read"):
        read_experiment(tmp_path / "nothing.yaml")
