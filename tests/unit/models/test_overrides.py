"""What a deployment's ``[models.<name>]`` changes."""

from typing import Any

import pytest

from homerec.models import get_model
from homerec.models.spec import ModelSpec
from homerec.settings import Settings


def podcasts(**overrides: Any) -> ModelSpec:
    return get_model("podcasts", Settings(models={"podcasts": overrides}))


def test_another_ranker_starts_from_its_own_defaults() -> None:
    assert podcasts().ranker == "lambdarank"
    assert podcasts().ranker_parameters
    spec = podcasts(ranker="logistic")
    assert spec.ranker_parameters == {}
    assert spec.build_ranker(0).name == "logistic"


@pytest.mark.parametrize("ranker", ["logistic", "lambdarank"])
def test_parameters_of_the_same_ranker_are_added_to_the_models(ranker: str) -> None:
    own = podcasts(ranker=ranker).ranker_parameters
    name = {"logistic": "c", "lambdarank": "learning_rate"}[ranker]
    spec = podcasts(ranker=ranker, ranker_parameters={name: 0.5})
    assert spec.ranker_parameters == {**own, name: 0.5}
    assert spec.build_ranker(0).parameters[name] == 0.5
