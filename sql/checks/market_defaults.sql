-- Purpose: each market, and '*' for a market not known, has a default Home.
-- Bad row: a default without shelves, or '*' when it is missing.
SELECT d.market, d.listener
FROM homerec.market_default d
WHERE d.release_id = %(release)s
  AND NOT EXISTS (SELECT FROM audit_listener a WHERE a.listener = d.listener)
UNION ALL
SELECT '*', NULL
WHERE NOT EXISTS (SELECT FROM homerec.market_default d WHERE d.release_id = %(release)s AND d.market = '*');
