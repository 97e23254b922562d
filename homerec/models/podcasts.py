"""The Podcast Model: shows that a listener is likely to start ("Shows you might like")."""

from typing import Final

from homerec.models.spec import GateLimits, ModelSpec, SourceSpec

MODEL: Final = ModelSpec(
    name="podcasts",
    shelf="Shows you might like",
    item_types=("show",),
    label="new_plays",
    label_window_days=7,
    seen="excluded",
    sources=(
        SourceSpec("als", 80, {"context_types": ("artist",)}),
        SourceSpec("co_listening", 60, {"context_types": ("artist",)}),
        # What music tells of the taste in shows is less than what shows do; albums add next to
        # nothing to their artists.
        SourceSpec(
            "starts",
            60,
            {
                "weights": {"artist": 0.4, "playlist": 0.4, "show": 1.0},
                "passive_weights": {"artist": 0.04},
                "factors": 12,
                "tag_strength": 0.65,
            },
        ),
        SourceSpec("by_tags", 40),
        SourceSpec("new_items", 10),
        SourceSpec("popular", 40, {"column": "n_starts_28d"}),
    ),
    baseline=SourceSpec("popular", 10, {"column": "n_plays_28d"}),
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
        "language_match",
        "language_share",
        "days_since_skip",
        "market_n_starts_7d",
        "market_n_starts_28d",
        "market_n_plays_28d",
        "market_n_listeners_28d",
        "market_start_ratio",
        "item_age_days",
        "item_n_starts_7d",
        "item_n_starts_28d",
        "item_trend",
        "item_plays_per_listener",
        "listener_n_shows",
        "listener_show_starts_28d",
        "listener_show_play_ratio",
    ),
    # Trees only correct what stage 1 says of a start, by what a listener has of an item: how
    # popular or new it is for everybody is in that score, and has few cases to learn from.
    ranker="lambdarank",
    ranker_parameters={
        "base": "source_starts_score",
        "max_iter": 10,
        "truncation": 20,
        "splits": [
            "source_starts_score",
            "source_als_score",
            "source_co_listening_score",
            "tag_affinity",
            "start_affinity",
            "language_share",
            "days_since_skip",
            "listener_n_shows",
        ],
    },
    # With one window the items without a factor would be other ones than at night.
    ranker_windows=2,
    # Stage 1 ends a week, not three, before the night; the ranker learned over fits made alike.
    refit_sources=True,
    limits=GateLimits(metric_floor=0.02, coverage_floor=0.02),
    cadence="0 4 * * 1",
    position=30,
)
