-- purpose : where an item may be shown; an item with no row here may be shown everywhere
-- grain   : one row per item and market, only for items limited to some markets
-- key     : item, market
-- params  : $as_of; table items
SELECT DISTINCT item, unnest(markets) AS market
FROM items
WHERE released_at < CAST($as_of AS TIMESTAMP) AND markets IS NOT NULL
