"""What every model's spec promises."""

import json
from dataclasses import replace

import pytest

from homerec.columns import ITEM_TYPES
from homerec.errors import SettingsError, UnknownModel
from homerec.home.sources import NUMBERS
from homerec.models import get_model, model_names
from homerec.models.spec import RANKERS, SOURCES, ModelSpec, SourceSpec
from homerec.settings import Settings, resource

EVERY = pytest.mark.parametrize("name", model_names())


def spec_of(name: str, **overrides: object) -> ModelSpec:
    return get_model(name, Settings(models={name: overrides}))


def test_the_three_models_are_found() -> None:
    assert set(model_names()) >= {"playlists", "podcasts", "shortcuts"}


@EVERY
def test_a_spec_survives_json(name: str) -> None:
    spec = spec_of(name)
    text = json.dumps(spec.to_json(), sort_keys=True)
    again = ModelSpec.from_json(json.loads(text))
    assert json.dumps(again.to_json(), sort_keys=True) == text
    before, after = spec.build_sources(), again.build_sources()
    assert [s.parameters for s in before] == [s.parameters for s in after]
    assert again.build_ranker(3).parameters == spec.build_ranker(3).parameters
    assert (again.limits, again.features) == (spec.limits, spec.features)
    assert (again.item_types, again.baseline) == (spec.item_types, spec.baseline)


@EVERY
def test_a_spec_of_another_homerec_is_an_error(name: str) -> None:
    plain = spec_of(name).to_json()
    for broken in ({**plain, "mood": 1}, {k: v for k, v in plain.items() if k != "limits"}):
        with pytest.raises(SettingsError, match="spec cannot be read"):
            ModelSpec.from_json(broken)


@EVERY
def test_all_that_a_spec_names_is_there(name: str) -> None:
    spec = spec_of(name)
    assert spec.name == name
    assert set(spec.item_types) <= set(ITEM_TYPES)
    assert resource(f"sql/labels/{spec.label}.sql").exists()
    assert spec.ranker in RANKERS
    assert spec.baseline.build().name == spec.baseline.name
    assert {s.name for s in spec.build_sources()} <= set(NUMBERS)
    assert len(spec.cadence.split()) == 5


def test_every_source_has_a_name_of_its_own_and_a_number_for_cards() -> None:
    assert all(kind.name == name for name, kind in SOURCES.items())
    assert set(SOURCES) <= set(NUMBERS)


@EVERY
def test_a_deployment_may_change_numbers(name: str) -> None:
    changed = spec_of(
        name,
        cards=5,
        label_window_days=3,
        limits={"metric_floor": 0.5},
        drift_limits={"item_age_days": 0.4},
        ranker_parameters={"max_iter": 7},
        enabled=False,
    )
    before = spec_of(name)
    assert (changed.cards, changed.label_window_days, changed.enabled) == (5, 3, False)
    assert changed.limits == replace(before.limits, metric_floor=0.5)
    assert changed.drift_limits["item_age_days"] == 0.4
    assert changed.build_ranker(1).parameters["max_iter"] == 7
    assert changed.features == before.features
    assert spec_of(name) == before


def test_source_overrides_change_only_what_they_name() -> None:
    changed = spec_of("podcasts", sources={"als": {"k": 7, "factors": 4}, "popular": {"k": 3}})
    by_name = {s.name: s for s in changed.sources}
    assert by_name["als"] == SourceSpec("als", 7, {"context_types": ("artist",), "factors": 4})
    assert by_name["popular"] == SourceSpec("popular", 3, {"column": "n_starts_28d"})
    assert (
        by_name["co_listening"] == {s.name: s for s in spec_of("podcasts").sources}["co_listening"]
    )
    assert [s.name for s in changed.sources] == [s.name for s in spec_of("podcasts").sources]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"mood": 1}, r"\[models.podcasts\] sets mood; known are baseline, "),
        ({"name": "x"}, r"sets name"),
        ({"features": ["tenure"]}, r"sets features"),
        ({"item_types": ["album"]}, r"sets item_types"),
        ({"limits": {"floor": 1}}, r"\[models.podcasts.limits\].*floor"),
        ({"sources": {"mood": {}}}, r"has no source mood"),
        ({"cards": 0}, r"cards is 0"),
        ({"cards": "ten"}, r"cards is 'ten'"),
        ({"label_window_days": 0}, r"label_window_days is 0"),
        ({"negatives": True}, r"negatives is True"),
        ({"ranker": "oracle"}, r"no ranker oracle; known are boosting, lambdarank, logistic"),
    ],
)
def test_wrong_overrides_are_errors_that_name_them(overrides: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        get_model("podcasts", Settings(models={"podcasts": overrides}))


def test_a_parameter_that_a_source_or_ranker_lacks_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"source als: .*depth"):
        spec_of("podcasts", sources={"als": {"depth": 1}}).build_sources()
    with pytest.raises(SettingsError, match=r"Ranker lambdarank of model podcasts: .*depth"):
        spec_of("podcasts", ranker_parameters={"depth": 1}).build_ranker(0)
    with pytest.raises(SettingsError, match="no candidate source oracle; known are als"):
        SourceSpec("oracle", 1).build()


@pytest.mark.parametrize("types", [(), ("show", "film")])
def test_a_model_shows_items_of_known_types(types: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="item types"):
        replace(spec_of("podcasts"), item_types=types)


def test_an_unknown_model_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match=r"no model films; homerec/models has .*playlists, pod"):
        get_model("films", Settings())
