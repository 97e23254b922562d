"""What an experiment may change of a model, by dotted name, and how the changed spec is made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from homerec.errors import SettingsError
from homerec.features.assembly import FEATURES, SOURCE_PREFIX
from homerec.models.spec import RANKERS, SOURCES, ModelSpec, SourceSpec
from homerec.parameters import Count, allowed, misfit
from homerec.training.experiments.reading import ExperimentFile, Place
from homerec.training.experiments.space import Values, points

#: Fields of the spec that change what is learned but neither who is judged nor by what.
_WHOLE: Final = ("ranker_windows", "negatives", "max_lists")
_LISTS: Final = ("sources.add", "sources.remove", "features.add", "features.remove")
#: Name of the configuration that changes nothing.
CURRENT: Final = "current"


@dataclass(frozen=True)
class Configuration:
    """One configuration of an experiment.

    Attributes
    ----------
    name : str
        ``current``, or ``c001`` and so on in the order of the file.
    values : dict
        What differs from the model as it stands, by dotted name.
    spec : ModelSpec
    """

    name: str
    values: Values
    spec: ModelSpec


def configurations(file: ExperimentFile, spec: ModelSpec) -> list[Configuration]:
    """Every different configuration of a file, each checked.

    Raises
    ------
    ExperimentError
        A name is not known, a value has the wrong type, or a source's or ranker's parameter is
        given without it; with the line and what is allowed.
    """
    for key, value in file.fixed.items():
        _check(file, ("fixed", key), key, value, spec)
    _check_spaces(file, spec)
    # Fixed values are part of the question: "current" stays the model as it is in production.
    made = [Configuration(CURRENT, {}, spec)] if file.include_current else []
    seen = {_identity(one.spec) for one in made}
    n = 0
    for values, place in points(file):
        both = {**file.fixed, **values}
        changed = _changed(file, place, spec, both)
        if _identity(changed) not in seen:
            n += 1
            seen.add(_identity(changed))
            made.append(Configuration(f"c{n:03d}", both, changed))
    if n == 0:
        raise file.source.error(
            ("grid",) if file.grids else ("random",),
            f"every configuration is {spec.name} as it stands; there is nothing to compare.",
        )
    return made


def resolved(spec: ModelSpec) -> dict[str, Any]:
    """Plain values of a spec with every default of its parts: equal ones are one configuration."""
    parts = zip(spec.sources, spec.build_sources(), strict=True)
    return {
        **spec.to_json(),
        "sources": [[s.name, s.k, built.parameters] for s, built in parts],
        "ranker_parameters": spec.build_ranker(0).parameters,
    }


def _identity(spec: ModelSpec) -> str:
    return json.dumps(resolved(spec), sort_keys=True, default=str)


def _check_spaces(file: ExperimentFile, spec: ModelSpec) -> None:
    several = ("grid", 0) in file.source.lines
    for n, grid in enumerate(file.grids):
        for key, tried in grid.items():
            for at, value in enumerate(tried):
                place: Place = ("grid", n, key, at) if several else ("grid", key, at)
                _check(file, place, key, value, spec)
    several = ("random", "space", 0) in file.source.lines
    for n, space in enumerate(file.random):
        for key, how in space.items():
            place = ("random", "space", n, key) if several else ("random", "space", key)
            _kind(file, place, key)
            if not isinstance(how, Mapping):
                continue
            # Ends of a range stand for what is drawn between them.
            for kind, values in how.items():
                ends = values if isinstance(values, list) else []
                for value in ends:
                    drawn = float(value) if kind in ("uniform", "log_uniform") else value
                    _check(file, (*place, kind), key, drawn, spec)


def _kind(file: ExperimentFile, place: Place, key: str) -> Any:
    """Return the annotation of a parameter; raises for a name that there is not."""
    if key in _WHOLE:
        return Count
    if key in _LISTS:
        return list
    if key == "ranker":
        return str
    owner, _, name = key.partition(".")
    if owner in SOURCES and name:
        known = allowed(SOURCES[owner]) | {"k": Count}
    elif owner == "ranker" and name:
        known = {k: v for kind in RANKERS.values() for k, v in allowed(kind).items()}
        known.pop("seed")
    else:
        raise file.source.error(
            place,
            f"{key} is no parameter; allowed are {', '.join((*_WHOLE, *_LISTS, 'ranker'))}, "
            f"ranker.<parameter>, and <source>.k and <source>.<parameter> of the sources "
            f"{', '.join(sorted(SOURCES))}.",
        )
    if name not in known:
        raise file.source.error(
            place, f"{owner} has no parameter {name}; allowed are {', '.join(sorted(known))}."
        )
    return known[name]


def _check(file: ExperimentFile, place: Place, key: str, value: Any, spec: ModelSpec) -> None:
    kind = _kind(file, place, key)
    if kind is list:
        _check_names(file, place, key, value, spec)
        return
    wrong = misfit(kind, value)
    if wrong:
        raise file.source.error(place, f"{key} is {value!r}: {wrong}.")
    if key == "ranker" and value not in RANKERS:
        known = ", ".join(sorted(RANKERS))
        raise file.source.error(place, f"there is no ranker {value}; known are {known}.")


def _check_names(file: ExperimentFile, place: Place, key: str, value: Any, spec: ModelSpec) -> None:
    if not isinstance(value, list) or any(not isinstance(one, str) for one in value):
        raise file.source.error(place, f"{key} is {value!r}; a list of names is needed.")
    own = [source.name for source in spec.sources]
    allowed: Sequence[str] = {
        "sources.add": [name for name in sorted(SOURCES) if name not in own],
        "sources.remove": own,
        "features.add": [f for f in _every_feature() if f not in spec.features],
        "features.remove": spec.features,
    }.get(key, value)
    for one in value:
        if one not in allowed:
            what = "feature" if key.startswith("features") else "source"
            raise file.source.error(
                place,
                f"{key} names {one!r}, which is no {what} to {key.partition('.')[2]}; allowed are "
                f"{', '.join(allowed) or 'none'}.",
            )


def _every_feature() -> list[str]:
    said = [f"{SOURCE_PREFIX}{name}_{what}" for name in sorted(SOURCES) for what in _SAID]
    return [*sorted(FEATURES), *said]


_SAID: Final = ("score", "rank")


def _changed(file: ExperimentFile, place: Place, spec: ModelSpec, values: Values) -> ModelSpec:
    """Apply values to a spec and build its parts once, which finds what does not go together."""
    removed, added = values.get("sources.remove", []), values.get("sources.add", [])
    sources = {s.name: s for s in spec.sources if s.name not in removed}
    for name in added:
        if f"{name}.k" not in values:
            raise file.source.error(place, f"sources.add names {name}: give {name}.k too.")
        sources[name] = SourceSpec(name, 0)
    ranker = values.get("ranker", spec.ranker)
    given = dict(spec.ranker_parameters) if ranker == spec.ranker else {}
    for key, value in values.items():
        owner, _, name = key.partition(".")
        if owner == "ranker" and name:
            given[name] = value
        elif owner in SOURCES:
            if owner not in sources:
                raise file.source.error(place, f"{key} is given, but {owner} is not a source here.")
            old = sources[owner]
            sources[owner] = (
                replace(old, k=value)
                if name == "k"
                else replace(old, parameters={**old.parameters, name: _value(value)})
            )
    gone = [f"{SOURCE_PREFIX}{n}_{said}" for n in removed for said in _SAID]
    gone += values.get("features.remove", [])
    if "splits" in given and "ranker.splits" not in values:
        # Trees cannot split on what the model no longer reads.
        given["splits"] = [name for name in given["splits"] if name not in gone]
    features = tuple(f for f in spec.features if f not in gone) + tuple(
        values.get("features.add", [])
    )
    try:
        made = replace(
            spec,
            sources=tuple(sources.values()),
            features=features,
            ranker=ranker,
            ranker_parameters=given,
            **{key: values[key] for key in _WHOLE if key in values},
        )
        made.build_sources()
        made.build_ranker(0)
    except SettingsError as error:
        raise file.source.error(place, f"{_text(values)}: {error}") from error
    _check_whole(file, place, made, values)
    return made


def _check_whole(file: ExperimentFile, place: Place, spec: ModelSpec, values: Values) -> None:
    if not spec.sources or not spec.features:
        what = "source" if not spec.sources else "feature"
        raise file.source.error(place, f"{_text(values)} leaves the model without any {what}.")
    said = {f"{SOURCE_PREFIX}{s.name}_{what}" for s in spec.sources for what in _SAID}
    for feature in spec.features:
        if feature not in FEATURES and feature not in said:
            raise file.source.error(
                place, f"{_text(values)}: feature {feature} needs a source that is not there."
            )


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _text(values: Values) -> str:
    return ", ".join(f"{k}={v}" for k, v in values.items()) or "no change"
