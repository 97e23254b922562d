-- purpose : card plays, the one definition of what counts as a play of an item
-- grain   : one row per event and item it counts for
-- key     : none (an event counts once for each of its items)
-- columns : listener, item
--           started_at, ms_played   of the event; UTC, milliseconds
--           day                     UTC date of started_at
--           daypart                 local: 0 night 0-6, 1 morning 6-12, 2 afternoon 12-18, 3 evening 18-24
--           is_weekend              local Saturday or Sunday
-- source  : an event of 30 s or more counts for its context and for the artist, album or show of its content
-- params  : $events (files), $since, $as_of, $known_at; table listeners (as of known_at)
WITH zone AS (
    -- One offset per zone and hour: a join on it is many times cheaper than a calendar call per event.
    SELECT
        z.time_zone,
        h.hour,
        timezone(z.time_zone, timezone('UTC', h.hour)) - h.hour AS utc_offset
    FROM (SELECT DISTINCT time_zone FROM listeners) AS z,
        generate_series(
            CAST($since AS TIMESTAMP), CAST($as_of AS TIMESTAMP), INTERVAL 1 HOUR
        ) AS h (hour)
),

play AS (
    SELECT
        e.listener, e.context, e.artist, e.album, e."show", e.started_at, e.ms_played,
        e.started_at + zone.utc_offset AS local_at
    FROM read_parquet($events) AS e
    INNER JOIN listeners AS l ON l.listener = e.listener
    INNER JOIN zone
        ON zone.time_zone = l.time_zone AND zone.hour = date_trunc('hour', e.started_at)
    WHERE
        e.started_at < CAST($as_of AS TIMESTAMP)
        AND e.started_at >= CAST($since AS TIMESTAMP)
        AND e.arrived_at < CAST($known_at AS TIMESTAMP)
        AND e.ms_played >= 30000
),

stamped AS (
    SELECT
        listener, context, artist, album, "show", started_at, ms_played,
        CAST(started_at AS DATE) AS day,
        CAST(hour(local_at) // 6 AS TINYINT) AS daypart,
        isodow(local_at) >= 6 AS is_weekend
    FROM play
)

SELECT listener, artist AS item, started_at, ms_played, day, daypart, is_weekend
FROM stamped WHERE artist IS NOT NULL
UNION ALL
SELECT listener, album, started_at, ms_played, day, daypart, is_weekend
FROM stamped WHERE album IS NOT NULL
UNION ALL
SELECT listener, "show", started_at, ms_played, day, daypart, is_weekend
FROM stamped WHERE "show" IS NOT NULL
UNION ALL
SELECT listener, context, started_at, ms_played, day, daypart, is_weekend
FROM stamped
WHERE
    context IS NOT NULL
    AND context IS DISTINCT FROM artist
    AND context IS DISTINCT FROM album
    AND context IS DISTINCT FROM "show"
