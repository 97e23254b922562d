-- purpose : how an item does in a market; the popularity that heuristics and rankers read
-- grain   : one row per item and market with at least one card play
-- key     : item, market
-- columns : n_listeners, n_listeners_7d, n_listeners_28d   listeners whose last card play lies in the last days
--           n_starts_7d, n_starts_28d                      listeners whose first card play lies in the last days
--           n_plays_7d, n_plays_28d                        card plays in the last days
--           n_new_listener_plays_28d                       card plays of listeners registered at most 30 days ago
--           n_new_listener_starts_28d                      starts that came within 30 days of registration
--           decay_60d                                      card plays, halved every 60 days
-- params  : $as_of; tables listener_item, listeners
SELECT
    li.item,
    l.market,
    CAST(count(*) AS INTEGER) AS n_listeners,
    CAST(count(*) FILTER (li.days_since_last <= 7) AS INTEGER) AS n_listeners_7d,
    CAST(count(*) FILTER (li.days_since_last <= 28) AS INTEGER) AS n_listeners_28d,
    CAST(count(*) FILTER (li.days_since_first <= 7) AS INTEGER) AS n_starts_7d,
    CAST(count(*) FILTER (li.days_since_first <= 28) AS INTEGER) AS n_starts_28d,
    CAST(sum(li.n_plays_7d) AS INTEGER) AS n_plays_7d,
    CAST(sum(li.n_plays_28d) AS INTEGER) AS n_plays_28d,
    CAST(coalesce(sum(li.n_plays_28d) FILTER (
        l.registered_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 30 DAY
    ), 0) AS INTEGER) AS n_new_listener_plays_28d,
    CAST(count(*) FILTER (
        li.is_new_listener_start = 1 AND li.days_since_first <= 28
    ) AS INTEGER) AS n_new_listener_starts_28d,
    CAST(CAST(sum(li.fixed_60d) AS DOUBLE) / 1073741824 AS FLOAT) AS decay_60d
FROM listener_item AS li
INNER JOIN listeners AS l ON l.listener = li.listener
GROUP BY li.item, l.market
