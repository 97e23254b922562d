-- purpose : shows with an episode released in the 7 days before as_of
-- grain   : one row per show
-- key     : item
-- params  : $as_of; table contents (as of known_at)
SELECT DISTINCT "show" AS item
FROM contents
WHERE
    "show" IS NOT NULL
    AND released_at < CAST($as_of AS TIMESTAMP)
    AND released_at >= CAST($as_of AS TIMESTAMP) - INTERVAL 7 DAY
ORDER BY item
