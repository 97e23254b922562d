-- purpose : the daily rows that are known at known_at, with the days marked that they add
-- grain   : one row per listener, item and UTC day, or two where some of a day arrived late
-- key     : none
-- columns : those of daily without late_at
--           is_day   1 on exactly one row of each listener, item and day, else 0: its sum counts days
-- params  : $known_at; tables daily_main (one row per listener, item and day, none late), daily_rest (all others)
-- Nearly all rows are in daily_main and pass as they are; only the few others are grouped.
WITH rest AS (
    SELECT
        listener,
        item,
        day,
        sum(n_plays) AS n_plays,
        sum(ms_played) AS ms_played,
        sum(n_night) AS n_night,
        sum(n_morning) AS n_morning,
        sum(n_afternoon) AS n_afternoon,
        sum(n_evening) AS n_evening,
        sum(n_weekend) AS n_weekend,
        min(first_at) AS first_at,
        max(last_at) AS last_at,
        sum(duration_ms) AS duration_ms,
        sum(heard_ms) AS heard_ms
    FROM daily_rest
    WHERE late_at IS NULL OR late_at < CAST($known_at AS TIMESTAMP)
    GROUP BY listener, item, day
)

SELECT
    listener, item, day, n_plays, ms_played, n_night, n_morning, n_afternoon, n_evening, n_weekend,
    first_at, last_at, duration_ms, heard_ms,
    1 AS is_day
FROM daily_main
UNION ALL
SELECT
    r.listener,
    r.item,
    r.day,
    CAST(r.n_plays AS INTEGER),
    CAST(r.ms_played AS BIGINT),
    CAST(r.n_night AS INTEGER),
    CAST(r.n_morning AS INTEGER),
    CAST(r.n_afternoon AS INTEGER),
    CAST(r.n_evening AS INTEGER),
    CAST(r.n_weekend AS INTEGER),
    r.first_at,
    r.last_at,
    CAST(r.duration_ms AS BIGINT),
    CAST(r.heard_ms AS BIGINT),
    CASE WHEN m.listener IS NULL THEN 1 ELSE 0 END
FROM rest AS r
LEFT JOIN daily_main AS m
    ON m.listener = r.listener AND m.item = r.item AND m.day = r.day
