-- Purpose: no item twice among the shelves that hold all day, nor twice among those of one daypart.
-- Bad row: (listener, item) that is.
-- An item may be on an all-day shelf and on one of a daypart: home() shows the first, and the all-day shelf has
-- spare cards for it. Leaving out what any of the four dayparts shows would empty the all-day shelves.
-- Listener by listener through the key, so that nothing larger than one Home is ever grouped. `tally` counts an
-- item's places in six bits for each daypart, from -1 on: one aggregate instead of five.
WITH keys AS (
    SELECT listener FROM homerec.listener
    UNION ALL
    SELECT DISTINCT listener FROM homerec.market_default WHERE release_id = %(release)s
)
SELECT keys.listener, twice.item, ARRAY(
    SELECT DISTINCT h.shelf FROM homerec.home_shelf h
    WHERE h.release_id = %(release)s AND h.listener = keys.listener AND twice.item = ANY (h.items)
    ORDER BY h.shelf) AS shelves
FROM keys, LATERAL (
    SELECT u.item, sum(1 << (6 * (h.daypart + 1))) AS tally
    FROM homerec.home_shelf h, unnest(h.items) AS u (item)
    WHERE h.release_id = %(release)s AND h.listener = keys.listener
    GROUP BY u.item
    HAVING count(*) > 1
) AS twice
WHERE greatest(tally & 63, (tally >> 6) & 63, (tally >> 12) & 63, (tally >> 18) & 63, (tally >> 24) & 63) > 1;
