"""A parameter that does not fit is named, with what was given and what is allowed."""

from dataclasses import replace
from typing import Any

import pytest

from homerec.errors import SettingsError
from homerec.models import podcasts
from homerec.models.spec import RANKERS, SOURCES, SourceSpec


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_no_source_takes_a_parameter_that_it_does_not_have(name: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"source {name}: there is no parameter nonsense; known"
    ):
        SourceSpec(name, 10, {"nonsense": 1}).build()


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_source_is_built_from_its_own_parameters(name: str) -> None:
    built = SourceSpec(name, 10).build()
    assert SourceSpec(name, 10, built.parameters).build().parameters == built.parameters


@pytest.mark.parametrize(
    ("source", "parameter", "value", "said"),
    [
        ("starts", "members", 0, "members is 0: input should be greater than or equal to 1"),
        ("starts", "members", True, "members is True: input should be a valid integer"),
        ("starts", "iterations", 2.5, "iterations is 2.5: input should be a valid integer"),
        ("starts", "ceiling", 0.0, "ceiling is 0.0: input should be greater than 0"),
        ("starts", "weights", {"artist": 2.0}, "weights.artist is 2.0: .* less than or equal to 1"),
        ("starts", "weights", {"track": 1.0}, "'track': input should be 'artist', 'album'"),
        ("starts", "precision", float("nan"), "precision is nan: input should be a finite number"),
        ("als", "factors", "32", "factors is '32': input should be a valid integer"),
        ("als", "context_types", ["song"], "context_types.0 is 'song'"),
        ("co_listening", "shrinkage", -1, "shrinkage is -1: .* greater than or equal to 0"),
        ("ease", "l2", 0, "l2 is 0: input should be greater than 0"),
        ("new_items", "max_age_days", -1.0, "max_age_days is -1.0"),
        ("popular", "column", 7, "column is 7: input should be a valid string"),
        ("centroids", "clusters", 0, "clusters is 0: input should be greater than or equal to 1"),
        ("centroids", "known_items", 0, "known_items is 0"),
        ("centroids", "trust", 0, "trust is 0: input should be greater than 0"),
    ],
)
def test_a_source_names_what_does_not_fit(
    source: str, parameter: str, value: Any, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        SourceSpec(source, 10, {parameter: value}).build()


@pytest.mark.parametrize("name", sorted(RANKERS))
def test_a_ranker_names_what_does_not_fit(name: str) -> None:
    wrong = {"nonsense": 1, "seed": 0.5}
    spec = replace(podcasts.MODEL, ranker=name, ranker_parameters=wrong)
    with pytest.raises(SettingsError) as error:
        spec.build_ranker(0)
    assert "seed is 0.5: input should be a valid integer" in str(error.value)
    assert "there is no parameter nonsense" in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"drift_limit": "x"}, r"\[models.podcasts\] drift_limit is 'x': input should be a valid"),
        (
            {"drift_limits": {"item_trend": 2}},
            "drift_limits is .*item_trend: .* less than",
        ),
        ({"enabled": "no"}, "enabled is 'no'"),
        ({"limits": {"metric_floor": "a"}}, r"podcasts.limits\] metric_floor is 'a': input should"),
        ({"limits": {"metric_flor": 0.1}}, "limits. sets metric_flor; known are metric_floor, "),
        ({"sources": {"starts": {"k": 0}}}, r"sources.starts\] k is 0: input should be greater"),
        ({"sources": {"starts": {"members": 0}}}, "source starts: members is 0"),
        ({"ranker_parameters": {"max_iter": -3}}, "max_iter is -3: input should be greater"),
    ],
)
def test_a_setting_that_does_not_fit_is_found_when_it_is_read(
    overrides: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        podcasts.MODEL.with_overrides(overrides)
