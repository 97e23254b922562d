-- Purpose: the release did not collapse against the live one; nothing to compare with, nothing wrong.
-- Bad row: one measure that is out of its limit: what, measured, allowed.
WITH live AS (
    SELECT r.counts FROM homerec.release r WHERE r.status = 'live'
), new AS (
    SELECT %(counts)s::jsonb AS counts
), volume AS (
    SELECT m.what, (new.counts ->> m.what)::numeric AS measured,
           %(min_count_ratio)s * (live.counts ->> m.what)::numeric AS allowed
    FROM live, new, (VALUES ('listeners'), ('cards')) AS m (what)
), shelf AS (
    SELECT 'distinct items of shelf ' || s.key AS what,
           coalesce(new.counts -> 'shelf_items' ->> s.key, '0')::numeric AS measured,
           %(min_count_ratio)s * s.value::numeric AS allowed
    FROM live, new, jsonb_each_text(live.counts -> 'shelf_items') AS s
    -- A shelf that was taken out on purpose is not declared any more; a tiny one varies by itself.
    WHERE s.value::int >= 20
      AND EXISTS (SELECT FROM homerec.release_shelf d WHERE d.release_id = %(release)s AND d.name = s.key)
)
SELECT what, round(measured, 4) AS measured, 'at least ' || round(allowed, 4) AS allowed
FROM (SELECT * FROM volume UNION ALL SELECT * FROM shelf) AS least
WHERE measured < allowed
UNION ALL
SELECT 'mean overlap with the live Homes', round((new.counts ->> 'overlap')::numeric, 4),
       'at least ' || %(min_overlap_ratio)s
FROM live, new
WHERE (new.counts ->> 'overlap')::numeric < %(min_overlap_ratio)s
UNION ALL
SELECT 'share of known listeners on a default Home', round((new.counts ->> 'default_share')::numeric, 4),
       'at most ' || round((live.counts ->> 'default_share')::numeric + %(max_default_rise)s, 4)
FROM live, new
WHERE (new.counts ->> 'default_share')::numeric > (live.counts ->> 'default_share')::numeric + %(max_default_rise)s;
