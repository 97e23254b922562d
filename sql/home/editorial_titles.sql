-- purpose : titles of the editors' shelves whose window reaches into the days a night is served
-- grain   : one row per title
-- key     : shelf
-- params  : $as_of; table editorial
SELECT DISTINCT shelf
FROM editorial
WHERE ends_at IS NULL OR ends_at > CAST($as_of AS TIMESTAMP)
ORDER BY shelf
