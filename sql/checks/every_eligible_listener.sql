-- Purpose: every eligible listener has a Home with at least one card.
-- Bad row: one, when fewer or more listeners than eligible have cards.
SELECT count(*) FILTER (WHERE cards > 0) AS measured, %(eligible)s AS allowed,
       min(listener) FILTER (WHERE cards = 0) AS example_listener_without_cards
FROM audit_listener
WHERE listener > 0
HAVING count(*) FILTER (WHERE cards > 0) <> %(eligible)s;
