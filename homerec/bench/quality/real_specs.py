"""How the podcasts model is set up for the real data: all of it chosen on validation alone.

The sources' parameters were set by hand near what the peers' search and the reference figures
found on the same validation pairs; rankers and features were chosen on those pairs as well.
"""

from dataclasses import replace
from typing import Any, Final

from homerec.bench.quality.real_lake import PART_DAYS
from homerec.models import get_model
from homerec.models.spec import ModelSpec, SourceSpec
from homerec.settings import Settings

#: What each source says of a pair, for the ranker.
_SAID: Final = ("score", "rank", "share")
_SOURCES: Final = ("als", "ease", "co_listening", "popular")
_FROM_SOURCES: Final = tuple(f"source_{s}_{what}" for s in _SOURCES for what in _SAID)
#: Candidates of each source.
_K: Final = 150


def lastfm_spec(settings: Settings) -> ModelSpec:
    """Artists as shows; play counts are in ``minutes``, and nothing has a time.

    Parameters
    ----------
    settings : Settings
        Of the deployment; its overrides of the model do not apply here.
    """
    sources = (
        _source("als", column="minutes", factors=192, regularization=47.0, alpha=2.0,
                iterations=15, min_listeners=1),
        _source("ease", column="minutes", l2=3600.0, alpha=1.0, n_neighbours=300,
                min_listeners=2),
        _source("co_listening", column="n_plays", n_neighbours=400, shrinkage=7.0),
        _source("popular", column="n_listeners"),
    )  # fmt: skip
    return replace(
        get_model("podcasts", replace(settings, models={})),
        label_window_days=PART_DAYS,
        ranker_windows=1,
        metric_k=20,
        refit_sources=True,
        negatives=100,
        sources=sources,
        # Shallow trees in large leaves: on validation above the default ones and the linear ranker.
        ranker="boosting",
        ranker_parameters={
            "max_leaf_nodes": 6,
            "max_iter": 120,
            "min_samples_leaf": 300,
            "l2_regularization": 10.0,
        },
        features=(*_FROM_SOURCES, "market_n_listeners", "listener_n_shows"),
    )


def amazon_spec(settings: Settings) -> ModelSpec:
    """Albums as shows, one rating each, where what everybody takes up now matters most.

    Parameters
    ----------
    settings : Settings
        Of the deployment; its overrides of the model do not apply here.
    """
    sources = (
        _source("als", column="decay_60d", factors=16, regularization=10.0, alpha=4.0,
                iterations=10, min_listeners=1),
        _source("ease", l2=200.0, min_listeners=3, max_items=4_000),
        _source("co_listening", column="decay_60d", n_neighbours=100, shrinkage=5.0),
        _source("popular", column="decay_14d"),
    )  # fmt: skip
    return replace(
        get_model("podcasts", replace(settings, models={})),
        label_window_days=90,
        ranker_windows=3,
        metric_k=20,
        refit_sources=True,
        negatives=150,
        sources=sources,
        ranker="logistic",
        ranker_parameters={"c": 0.1},
        # About 2,000 played candidates bear few weights: more features measured worse.
        features=(
            *(f"source_{name}_score" for name in _SOURCES),
            "market_n_starts_28d",
            "item_age_days",
        ),
    )


def _source(name: str, **parameters: Any) -> SourceSpec:
    return SourceSpec(name, _K, parameters)
