-- Purpose: every item on a card is in today's catalog.
-- Bad row: an item key that is not, with its number of cards.
SELECT a.item, sum(a.cards) AS cards, min(a.example) AS example_listener
FROM audit_card a
WHERE NOT EXISTS (SELECT FROM homerec.item i WHERE i.item = a.item AND i.present)
GROUP BY a.item;
