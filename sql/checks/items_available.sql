-- Purpose: every item on a card may be shown in the listener's market: by its list of markets, and, where it has
--          licensing windows, by one that reaches into the day that starts with the release's as_of.
-- Bad row: (market, item) that may not. The default Home for an unknown market ('*') is not bound to one.
SELECT a.market, a.item, sum(a.cards) AS cards, min(a.example) AS example_listener
FROM audit_card a
JOIN homerec.item i ON i.item = a.item
JOIN homerec.release r ON r.release_id = %(release)s
WHERE a.market <> '*' AND (
    NOT a.market = ANY (i.markets)
    OR (i.licensed AND NOT EXISTS (
        SELECT FROM homerec.availability w
        WHERE w.item = a.item AND (w.market IS NULL OR w.market = a.market)
          AND w.starts_at < (r.as_of + 1)::timestamp AT TIME ZONE 'UTC'
          AND w.ends_at > r.as_of::timestamp AT TIME ZONE 'UTC')))
GROUP BY a.market, a.item;
