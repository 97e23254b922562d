-- purpose : a listener's taste over tags, from plays and from the artists picked at sign-up
-- grain   : one row per listener and tag with a positive weight
-- key     : listener, tag
-- columns : weight   card plays of items with that tag, halved every 60 days, divided by the item's number of
--                    tags; a sign-up pick counts as three plays on the day of as_of
-- params  : $as_of; tables items, signup_picks, listener_tag_part (homerec/features/listener_parts.py: decayed card
--           plays in units of 2^-30, one row per listener and tag)
WITH tagged AS (
    SELECT item, len(tags) AS n_tags, unnest(tags) AS tag
    FROM items
    WHERE released_at < CAST($as_of AS TIMESTAMP) AND len(tags) > 0
),

picked AS (
    -- Integer division first: an exact sum does not depend on the order of its terms.
    SELECT
        p.listener,
        t.tag,
        CAST(sum(CAST(3 AS BIGINT) * 1073741824 // t.n_tags) AS BIGINT) AS weight
    FROM signup_picks AS p
    INNER JOIN tagged AS t ON t.item = p.item
    WHERE p.picked_at < CAST($as_of AS TIMESTAMP)
    GROUP BY p.listener, t.tag
),

evidence AS (
    SELECT
        coalesce(l.listener, p.listener) AS listener,
        coalesce(l.tag, p.tag) AS tag,
        coalesce(l.weight, 0) + coalesce(p.weight, 0) AS weight
    FROM listener_tag_part AS l
    FULL JOIN picked AS p ON p.listener = l.listener AND p.tag = l.tag
)

SELECT
    listener,
    tag,
    CAST(CAST(weight AS DOUBLE) / 1073741824 AS FLOAT) AS weight
FROM evidence
WHERE weight > 0
