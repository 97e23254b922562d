"""The Shortcuts Model: the listener's next familiar listen, by local daypart ("Shortcuts")."""

from typing import Final

from homerec.models.spec import GateLimits, ModelSpec, SourceSpec

MODEL: Final = ModelSpec(
    name="shortcuts",
    shelf="Shortcuts",
    item_types=("artist", "album", "playlist", "show"),
    label="next_familiar",
    label_window_days=1,
    seen="required",
    by_daypart=True,
    min_items=1,
    sources=(SourceSpec("familiar", 60),),
    baseline=SourceSpec("familiar", 10),
    features=(
        "source_familiar_rank",
        "pair_activation",
        "pair_n_plays",
        "pair_n_plays_7d",
        "pair_n_plays_28d",
        "pair_n_days",
        "pair_n_days_7d",
        "pair_minutes",
        "pair_days_since_first",
        "pair_days_since_last",
        "pair_decay_3d",
        "pair_decay_14d",
        "pair_decay_60d",
        "pair_daypart_plays",
        "pair_daypart_ratio",
        "pair_weekend_ratio",
        "pair_same_weekday_ratio",
        "pair_regularity",
        "pair_share",
        "pair_recency_rank",
        "listener_n_items",
        "listener_n_plays_7d",
        "listener_daypart_ratio",
        "item_type",
        "item_plays_per_listener",
        "item_trend",
    ),
    # A list per daypart: some are played much and some little, which a pointwise loss would learn.
    ranker="lambdarank",
    ranker_windows=3,
    cards=8,
    limits=GateLimits(metric_floor=0.05),
    cadence="0 4 * * *",
    position=10,
)
