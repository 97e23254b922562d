-- purpose : a listener's taste over tags, from plays and from the artists picked at sign-up
-- grain   : one row per listener and tag with a positive weight
-- key     : listener, tag
-- columns : weight   card plays of items with that tag, halved every 60 days, divided by the item's number of
--                    tags; a sign-up pick counts as three plays on the day of as_of
-- params  : $as_of; tables items, signup_picks, listener_tag_part (homerec/features/listener_parts.py: decayed card plays by
--           listener and tag, in units of 2^-30)
WITH tagged AS (
    SELECT item, len(tags) AS n_tags, unnest(tags) AS tag
    FROM items
    WHERE released_at < CAST($as_of AS TIMESTAMP) AND len(tags) > 0
),

evidence AS (
    SELECT listener, tag, weight
    FROM listener_tag_part
    UNION ALL
    -- Integer division first: an exact sum does not depend on the order of its terms.
    SELECT p.listener, t.tag, CAST(3 AS BIGINT) * 1073741824 // t.n_tags
    FROM signup_picks AS p
    INNER JOIN tagged AS t ON t.item = p.item
    WHERE p.picked_at < CAST($as_of AS TIMESTAMP)
)

SELECT
    listener,
    tag,
    CAST(CAST(sum(weight) AS DOUBLE) / 1073741824 AS FLOAT) AS weight
FROM evidence
GROUP BY listener, tag
HAVING sum(weight) > 0
