-- purpose : what a listener put on and has only ever left within 30 s: tried, and not played
-- grain   : one row per listener and item without a card play
-- key     : listener, item
-- columns : n_skips                            events under 30 s
--           days_since_first, days_since_last  days from the first / last of them to as_of
-- params  : $as_of; tables skip_day (what was known at known_at, homerec/features/skips.py), pair
SELECT
    s.listener,
    s.item,
    CAST(sum(s.n_skips) AS INTEGER) AS n_skips,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - min(s.first_at)) / 86400000.0 AS FLOAT
    ) AS days_since_first,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - max(s.last_at)) / 86400000.0 AS FLOAT
    ) AS days_since_last
FROM skip_day AS s
ANTI JOIN pair AS p ON p.listener = s.listener AND p.item = s.item
GROUP BY s.listener, s.item
