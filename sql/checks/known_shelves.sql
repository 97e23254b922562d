-- Purpose: every shelf that has rows is declared, and a shelf of the editors has no stored cards.
-- Bad row: a shelf number that breaks this.
SELECT a.shelf, s.kind, sum(a.cards) AS cards, min(a.example) AS example_listener
FROM audit_card a
LEFT JOIN homerec.release_shelf s ON s.release_id = %(release)s AND s.shelf = a.shelf
WHERE s.shelf IS NULL OR s.kind = 'editorial'
GROUP BY a.shelf, s.kind;
