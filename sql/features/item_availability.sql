-- purpose : where an item may be shown on the day that starts with as_of; an item with no row here may be shown
--           everywhere
-- grain   : one row per item and market, only for items limited to some markets
-- key     : item, market
-- columns : market   '' = nowhere that day: the item has licences, and none of them holds
-- source  : the markets of the item, and of its licences (availability) those whose window reaches into the day;
--           an item with both may be shown where both allow it
-- params  : $as_of; tables items, availability
WITH shown AS (
    SELECT item, CASE WHEN len(markets) > 0 THEN markets END AS markets
    FROM items
    WHERE released_at < CAST($as_of AS TIMESTAMP)
),

licensed AS (
    SELECT item, list(market) FILTER (is_open AND market IS NOT NULL) AS markets,
        bool_or(is_open AND market IS NULL) AS everywhere
    FROM (
        SELECT item, market,
            coalesce(starts_at < CAST($as_of AS TIMESTAMP) + INTERVAL 1 DAY, true)
            AND coalesce(ends_at > CAST($as_of AS TIMESTAMP), true) AS is_open
        FROM availability
    ) AS windows
    GROUP BY item
),

allowed AS (
    SELECT s.item,
        CASE
            WHEN l.item IS NULL OR l.everywhere THEN s.markets
            WHEN s.markets IS NULL THEN coalesce(l.markets, [])
            ELSE list_intersect(s.markets, coalesce(l.markets, []))
        END AS markets
    FROM shown AS s
    LEFT JOIN licensed AS l ON l.item = s.item
)

SELECT DISTINCT item, unnest(CASE WHEN len(markets) > 0 THEN markets ELSE [''] END) AS market
FROM allowed
WHERE markets IS NOT NULL
