-- purpose : what was put on and left within 30 s, by day; what rollups keep of it
-- grain   : one row per listener, item, UTC day and late arrival
-- key     : listener, item, day, late_at
-- columns : late_at              as in daily.sql: null for all that arrived by the end of the day, else when it arrived
--           n_skips              events under 30 s
--           first_at, last_at    UTC time of the first and last of them on that day
-- source  : what was put on is the context, or without one the artist, album or show itself, as in card.sql
-- params  : $events (files), $since, $as_of, $known_at; table listeners
WITH short AS (
    SELECT
        e.listener,
        coalesce(e.context, e.artist, e.album, e."show") AS item,
        e.started_at,
        CAST(e.started_at AS DATE) AS day,
        CASE
            WHEN e.arrived_at >= CAST(CAST(e.started_at AS DATE) AS TIMESTAMP) + INTERVAL 1 DAY
                THEN e.arrived_at
        END AS late_at
    FROM read_parquet($events, hive_partitioning = false) AS e
    SEMI JOIN listeners AS l ON l.listener = e.listener
    WHERE
        e.ms_played < 30000
        AND e.started_at < CAST($as_of AS TIMESTAMP)
        AND e.started_at >= CAST($since AS TIMESTAMP)
        AND e.arrived_at < CAST($known_at AS TIMESTAMP)
)

SELECT
    listener,
    item,
    day,
    late_at,
    CAST(count(*) AS INTEGER) AS n_skips,
    min(started_at) AS first_at,
    max(started_at) AS last_at
FROM short
WHERE item IS NOT NULL
GROUP BY listener, item, day, late_at
