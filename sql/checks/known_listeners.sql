-- Purpose: every key in the release is a known listener or a market's default.
-- Bad row: a key that is neither.
SELECT a.listener
FROM audit_listener a
WHERE NOT EXISTS (SELECT FROM homerec.listener l WHERE l.listener = a.listener)
  AND NOT EXISTS (
      SELECT FROM homerec.market_default d WHERE d.release_id = %(release)s AND d.listener = a.listener);
