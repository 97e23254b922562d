-- Purpose: every card's source is declared, so that it can say where it came from.
-- Bad row: a source number that is not, with a listener that has it.
WITH used AS (
    SELECT u.source, min(h.listener) AS example_listener
    FROM (SELECT sources, min(listener) AS listener FROM homerec.home_shelf
          WHERE release_id = %(release)s GROUP BY sources) h,
         unnest(h.sources) AS u (source)
    GROUP BY u.source
)
SELECT used.* FROM used
WHERE NOT EXISTS (SELECT FROM homerec.source s WHERE s.release_id = %(release)s AND s.source = used.source);
