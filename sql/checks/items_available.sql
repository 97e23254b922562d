-- Purpose: every item on a card may be shown in the listener's market.
-- Bad row: (market, item) that may not. The default Home for an unknown market ('*') is not bound to one.
SELECT a.market, a.item, sum(a.cards) AS cards, min(a.example) AS example_listener
FROM audit_card a
JOIN homerec.item i ON i.item = a.item
WHERE a.market <> '*' AND NOT a.market = ANY (i.markets)
GROUP BY a.market, a.item;
