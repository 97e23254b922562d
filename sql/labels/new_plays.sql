-- purpose : labels of the models that predict something new: items of the model's types that a
--           listener plays in the label window and had not played before it
-- grain   : one row per listener and item
-- key     : listener, item
-- columns : daypart   always -1 (any)
-- params  : $types; tables card (of the label window), history (pairs played before it), items
SELECT DISTINCT
    c.listener,
    c.item,
    CAST(-1 AS TINYINT) AS daypart
FROM card AS c
INNER JOIN items AS i ON i.item = c.item
ANTI JOIN history AS h ON h.listener = c.listener AND h.item = c.item
WHERE list_contains($types, i.type)
