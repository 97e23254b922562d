-- Purpose: every card of a release counted once, for the checks; a temporary table of the audit's session.
-- Grain:   (market, shelf, item). Columns: cards (count), example (a listener key that has it).
-- A default Home counts for its market; '*' for listeners whose market is not known.
CREATE TEMP TABLE audit_card AS
WITH per_row AS (
    SELECT coalesce(l.market, d.market) AS market, h.shelf, h.listener, u.item
    FROM homerec.home_shelf h
    LEFT JOIN homerec.listener l ON l.listener = h.listener
    LEFT JOIN homerec.market_default d ON d.release_id = h.release_id AND d.listener = h.listener,
    unnest(h.items) AS u (item)
    WHERE h.release_id = %(release)s
)
SELECT market, shelf, item, count(*) AS cards, min(listener) AS example
FROM per_row
GROUP BY market, shelf, item;
