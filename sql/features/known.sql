-- purpose : the daily rows that are known at known_at
-- grain   : one row or more per listener, item and UTC day
-- key     : none
-- columns : those of daily without late_at and n_night
-- params  : $known_at, $since_known_at; tables daily_main (none late), daily_rest (late ones among them),
--           daily_more (late ones, of which those before since_known_at are in what is added to)
WITH rest AS (
    SELECT * FROM daily_rest
    WHERE late_at IS NULL OR late_at < CAST($known_at AS TIMESTAMP)
    UNION ALL
    SELECT * FROM daily_more
    WHERE late_at >= CAST($since_known_at AS TIMESTAMP) AND late_at < CAST($known_at AS TIMESTAMP)
)

SELECT
    listener, item, day, n_plays, ms_played, n_morning, n_afternoon, n_evening, n_weekend,
    n_chosen, first_at, last_at, duration_ms, heard_ms
FROM daily_main
UNION ALL
SELECT
    listener, item, day, n_plays, ms_played, n_morning, n_afternoon, n_evening, n_weekend,
    n_chosen, first_at, last_at, duration_ms, heard_ms
FROM rest
