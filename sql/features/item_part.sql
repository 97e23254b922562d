-- purpose : what some listeners add to item_market, so that listeners can be taken in blocks
-- grain   : one row per item and market with at least one card play of these listeners
-- key     : item, market
-- columns : those of item_market as integers; fixed_3d, fixed_14d, fixed_60d in units of 2^-30
-- params  : $as_of; tables listener_item, listeners
WITH tenured AS (
    SELECT
        listener,
        market,
        registered_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 30 DAY AS under_30d,
        registered_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 180 DAY AS under_180d
    FROM listeners
)

SELECT
    li.item,
    l.market,
    count(*) AS n_listeners,
    count(*) FILTER (li.days_since_last <= 7) AS n_listeners_7d,
    count(*) FILTER (li.days_since_last <= 28) AS n_listeners_28d,
    count(*) FILTER (li.days_since_first <= 7) AS n_starts_7d,
    count(*) FILTER (li.days_since_first <= 28) AS n_starts_28d,
    sum_no_overflow(li.n_plays_7d) AS n_plays_7d,
    sum_no_overflow(li.n_plays_28d) AS n_plays_28d,
    coalesce(sum_no_overflow(li.n_plays_28d) FILTER (l.under_30d), 0) AS n_new_listener_plays_28d,
    coalesce(sum_no_overflow(li.n_plays_28d) FILTER (l.under_180d), 0) AS n_plays_28d_under_180d,
    count(*) FILTER (
        li.is_new_listener_start = 1 AND li.days_since_first <= 28
    ) AS n_new_listener_starts_28d,
    sum(li.fixed_3d) AS fixed_3d,
    sum(li.fixed_14d) AS fixed_14d,
    sum(li.fixed_60d) AS fixed_60d,
    sum_no_overflow(li.duration_ms) AS duration_ms,
    sum_no_overflow(li.heard_ms) AS heard_ms,
    min(li.days_since_last) AS days_since_last
FROM listener_item AS li
INNER JOIN tenured AS l ON l.listener = li.listener
GROUP BY li.item, l.market
