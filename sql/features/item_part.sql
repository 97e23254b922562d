-- purpose : what some listeners add to item_market, so that listeners can be taken in blocks
-- grain   : one row per item and market with at least one card play of these listeners
-- key     : item, market
-- columns : those of item_market as integers; fixed_3d, fixed_14d, fixed_60d in units of 2^-30; last_at
-- params  : $as_of; tables pair, listeners
WITH tenured AS (
    SELECT
        listener,
        market,
        registered_at + INTERVAL 30 DAY AS is_new_until,
        registered_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 30 DAY AS under_30d,
        registered_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 180 DAY AS under_180d
    FROM listeners
)

SELECT
    p.item,
    l.market,
    count(*) AS n_listeners,
    count(*) FILTER (p.last_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 7 DAY) AS n_listeners_7d,
    count(*) FILTER (p.last_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 28 DAY) AS n_listeners_28d,
    count(*) FILTER (p.first_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 7 DAY) AS n_starts_7d,
    count(*) FILTER (p.first_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 28 DAY) AS n_starts_28d,
    sum_no_overflow(p.n_plays_7d) AS n_plays_7d,
    sum_no_overflow(p.n_plays_28d) AS n_plays_28d,
    coalesce(sum_no_overflow(p.n_plays_28d) FILTER (l.under_30d), 0) AS n_new_listener_plays_28d,
    coalesce(sum_no_overflow(p.n_plays_28d) FILTER (l.under_180d), 0) AS n_plays_28d_under_180d,
    count(*) FILTER (
        p.first_at < l.is_new_until
        AND p.first_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 28 DAY
    ) AS n_new_listener_starts_28d,
    sum(p.fixed_3d) AS fixed_3d,
    sum(p.fixed_14d) AS fixed_14d,
    sum(p.fixed_60d) AS fixed_60d,
    sum_no_overflow(p.duration_ms) AS duration_ms,
    sum_no_overflow(p.heard_ms) AS heard_ms,
    max(p.last_at) AS last_at
FROM pair AS p
INNER JOIN tenured AS l ON l.listener = p.listener
GROUP BY p.item, l.market
