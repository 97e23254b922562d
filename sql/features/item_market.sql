-- purpose : how an item does in a market; the popularity that heuristics and rankers read
-- grain   : one row per item and market with at least one card play
-- key     : item, market
-- columns : n_listeners, n_listeners_7d, n_listeners_28d   listeners whose last card play lies in the last days
--           n_starts_7d, n_starts_28d                      listeners whose first card play lies in the last days
--           n_plays_7d, n_plays_28d                        card plays in the last days
--           n_new_listener_plays_28d                       card plays of listeners registered at most 30 days ago
--           n_recent_listener_plays_28d                    those of listeners registered 31 to 180 days ago
--           n_settled_listener_plays_28d                   those of listeners registered longer ago
--           n_new_listener_starts_28d                      starts that came within 30 days of registration
--           decay_3d, decay_14d, decay_60d                 card plays, halved every 3, 14, 60 days
--           play_trend                                     card plays of the last 7 days against a quarter of those of
--                                                          28, both + 1
--           completion_ratio                               share heard of the contents whose duration is known
--           days_since_last                                days since anybody's last card play
-- params  : $as_of; table item_part (homerec/features/item_parts.py: one row or more per item and market)
WITH total AS (
    SELECT
        item,
        market,
        sum(n_listeners) AS n_listeners,
        sum(n_listeners_7d) AS n_listeners_7d,
        sum(n_listeners_28d) AS n_listeners_28d,
        sum(n_starts_7d) AS n_starts_7d,
        sum(n_starts_28d) AS n_starts_28d,
        sum(n_plays_7d) AS n_plays_7d,
        sum(n_plays_28d) AS n_plays_28d,
        sum(n_new_listener_plays_28d) AS n_new_listener_plays_28d,
        sum(n_plays_28d_under_180d) AS n_plays_28d_under_180d,
        sum(n_new_listener_starts_28d) AS n_new_listener_starts_28d,
        sum(fixed_3d) AS fixed_3d,
        sum(fixed_14d) AS fixed_14d,
        sum(fixed_60d) AS fixed_60d,
        sum(duration_ms) AS duration_ms,
        sum(heard_ms) AS heard_ms,
        max(last_at) AS last_at
    FROM item_part
    GROUP BY item, market
)

SELECT
    item,
    market,
    CAST(n_listeners AS INTEGER) AS n_listeners,
    CAST(n_listeners_7d AS INTEGER) AS n_listeners_7d,
    CAST(n_listeners_28d AS INTEGER) AS n_listeners_28d,
    CAST(n_starts_7d AS INTEGER) AS n_starts_7d,
    CAST(n_starts_28d AS INTEGER) AS n_starts_28d,
    CAST(n_plays_7d AS INTEGER) AS n_plays_7d,
    CAST(n_plays_28d AS INTEGER) AS n_plays_28d,
    CAST(n_new_listener_plays_28d AS INTEGER) AS n_new_listener_plays_28d,
    CAST(n_plays_28d_under_180d - n_new_listener_plays_28d AS INTEGER)
        AS n_recent_listener_plays_28d,
    CAST(n_plays_28d - n_plays_28d_under_180d AS INTEGER) AS n_settled_listener_plays_28d,
    CAST(n_new_listener_starts_28d AS INTEGER) AS n_new_listener_starts_28d,
    CAST(CAST(fixed_3d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_3d,
    CAST(CAST(fixed_14d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_14d,
    CAST(CAST(fixed_60d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_60d,
    CAST((n_plays_7d + 1) / (n_plays_28d / 4 + 1) AS FLOAT) AS play_trend,
    CAST(CASE WHEN duration_ms > 0 THEN heard_ms / duration_ms END AS FLOAT) AS completion_ratio,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - last_at) / 86400000.0 AS FLOAT
    ) AS days_since_last
FROM total
