-- purpose : the items a listener picked at sign-up
-- grain   : one row per listener and item
-- key     : listener, item
-- params  : $as_of; table signup_picks
SELECT DISTINCT listener, item
FROM signup_picks
WHERE picked_at < CAST($as_of AS TIMESTAMP)
