-- purpose : the tags of an item
-- grain   : one row per item and tag, for items released before as_of
-- key     : item, tag
-- params  : $as_of; table items
SELECT DISTINCT item, unnest(tags) AS tag
FROM items
WHERE released_at < CAST($as_of AS TIMESTAMP) AND len(tags) > 0
