-- purpose : labels of the shortcuts model: the first familiar card play in each local daypart of
--           the label window; an event that counts for several familiar items labels each of them
-- grain   : one row per listener, daypart and item
-- key     : listener, daypart, item
-- columns : daypart   local daypart of the play
-- params  : $types; tables card (of the label window), history (pairs played before it), items
WITH familiar AS (
    SELECT c.listener, c.item, c.daypart, c.started_at
    FROM card AS c
    INNER JOIN items AS i ON i.item = c.item
    SEMI JOIN history AS h ON h.listener = c.listener AND h.item = c.item
    WHERE list_contains($types, i.type)
)

SELECT DISTINCT listener, item, daypart
FROM familiar
QUALIFY started_at = min(started_at) OVER (PARTITION BY listener, daypart)
