-- Purpose: no item on a card is blocked in the listener's market by the lake's blocks, which the night knew of.
--          Blocks that people added live are left out: they are applied when a Home is read, and stop no night.
-- Bad row: (market, item) that is blocked.
SELECT a.market, a.item, sum(a.cards) AS cards, min(a.example) AS example_listener
FROM audit_card a
WHERE EXISTS (
    SELECT FROM homerec.blocked b
    WHERE b.item = a.item AND b.origin = 'file' AND (b.market IS NULL OR b.market = a.market))
GROUP BY a.market, a.item;
