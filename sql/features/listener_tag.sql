-- purpose : a listener's taste over tags, from plays and from the artists picked at sign-up
-- grain   : one row per listener and tag with a positive weight
-- key     : listener, tag
-- columns : weight   card plays of items with that tag, halved every 60 days, divided by the item's number of
--                    tags; a sign-up pick counts as three plays on the day of as_of
-- params  : $as_of; tables items, pair, signup_picks
WITH tagged AS (
    SELECT item, len(tags) AS n_tags, unnest(tags) AS tag
    FROM items
    WHERE released_at < CAST($as_of AS TIMESTAMP) AND len(tags) > 0
),

evidence AS (
    SELECT listener, item, fixed_60d AS weight
    FROM pair
    UNION ALL
    SELECT listener, item, CAST(3 AS BIGINT) * 1073741824
    FROM signup_picks
    WHERE picked_at < CAST($as_of AS TIMESTAMP)
)

SELECT
    e.listener,
    t.tag,
    -- Integer division first: an exact sum does not depend on the order of its terms.
    CAST(CAST(sum(e.weight // t.n_tags) AS DOUBLE) / 1073741824 AS FLOAT) AS weight
FROM evidence AS e
INNER JOIN tagged AS t ON t.item = e.item
GROUP BY e.listener, t.tag
HAVING sum(e.weight // t.n_tags) > 0
