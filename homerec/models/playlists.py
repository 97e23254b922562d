"""The Playlists Model: playlists that a new listener is likely to play ("Try something else")."""

from typing import Final

from homerec.models.spec import GateLimits, ModelSpec, SourceSpec

MODEL: Final = ModelSpec(
    name="playlists",
    shelf="Try something else",
    item_types=("playlist",),
    label="new_plays",
    label_window_days=7,
    seen="excluded",
    max_tenure_days=30,
    sources=(
        # New listeners have played little: few factors, and a strong penalty on them.
        SourceSpec(
            "als",
            80,
            {
                "context_types": ("artist", "show"),
                "factors": 12,
                "regularization": 10.0,
                "alpha": 10.0,
            },
        ),
        SourceSpec("co_listening", 60, {"context_types": ("artist",)}),
        SourceSpec("starts", 60),
        SourceSpec("by_tags", 40),
        SourceSpec("new_items", 10),
        SourceSpec("popular", 40, {"column": "n_new_listener_plays_28d"}),
    ),
    baseline=SourceSpec("popular", 10, {"column": "n_new_listener_plays_28d"}),
    features=(
        "source_als_score",
        "source_als_rank",
        "source_co_listening_score",
        "source_co_listening_rank",
        "source_starts_score",
        "source_starts_rank",
        "source_by_tags_rank",
        "source_popular_rank",
        "tag_affinity",
        "start_affinity",
        "language_share",
        "days_since_skip",
        "market_n_new_listener_plays_28d",
        "market_n_new_listener_starts_28d",
        "market_n_starts_7d",
        "market_n_starts_28d",
        "market_n_plays_28d",
        "item_age_days",
        "item_n_starts_7d",
        "item_n_starts_28d",
        "item_trend",
        "item_plays_per_listener",
        "item_new_listener_ratio",
        "listener_n_playlists",
        "listener_playlist_play_ratio",
        "listener_n_picks",
    ),
    # New listeners are few: few trees only correct what stage 1 says of a start, by what a listener
    # has of an item. How popular or new it is for everybody is in that score already.
    ranker="lambdarank",
    ranker_parameters={
        "base": "source_starts_score",
        "max_iter": 10,
        "truncation": 20,
        "splits": [
            "source_starts_score",
            "tag_affinity",
            "start_affinity",
            "language_share",
            "days_since_skip",
        ],
    },
    ranker_windows=3,
    # Stage 1 ends a week, not four, before the night; the ranker learned over fits made alike.
    refit_sources=True,
    limits=GateLimits(metric_floor=0.02, coverage_floor=0.02, min_listeners=50),
    cadence="0 4 * * 3",
    position=50,
)
