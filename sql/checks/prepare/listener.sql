-- Purpose: what each listener has in a release; a temporary table of the audit's session.
-- Grain:   listener key (default Homes have negative ones). Columns: n_rows, cards (count).
CREATE TEMP TABLE audit_listener AS
SELECT listener, count(*) AS n_rows, sum(cardinality(items)) AS cards
FROM homerec.home_shelf
WHERE release_id = %(release)s
GROUP BY listener;
