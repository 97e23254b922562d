-- purpose : card plays, the one definition of what counts as a play of an item
-- grain   : one row per event and item it counts for
-- key     : none (an event counts once for each of its items)
-- columns : listener, item
--           started_at, ms_played, arrived_at   of the event; UTC, milliseconds
--           duration_ms             of its content, null where it is not known
--           day                     UTC date of started_at
--           daypart                 local: 0 night 0-6, 1 morning 6-12, 2 afternoon 12-18, 3 evening 18-24
--           is_weekend              local Saturday or Sunday
--           is_chosen               whether the item is what was put on: the context, or without one the artist,
--                                   album or show itself; not so the artist of a track in a playlist
-- source  : an event of 30 s or more counts for its context and for the artist, album or show of its content
-- params  : $events (files), $since, $as_of, $known_at; tables listener_zones (spans that do not overlap), contents (as
--           of known_at)
WITH zone AS (
    SELECT time_zone, row_number() OVER (ORDER BY time_zone) AS zone
    FROM (SELECT DISTINCT time_zone FROM listener_zones)
),

-- The one place that says which zone a listener's clock was in: the one in force when the event started.
person AS (
    SELECT s.listener, s.zone_from, s.zone_to, zone.zone * 16777216 AS zone_key
    FROM listener_zones AS s
    INNER JOIN zone ON zone.time_zone = s.time_zone
),

-- One offset per zone and hour: a join on it is many times cheaper than a calendar call per event,
-- and a join on one integer costs a third of one on a name and an instant.
clock AS (
    SELECT
        zone.zone * 16777216 + epoch_us(h.hour) // 3600000000 AS zone_hour,
        epoch_us(timezone(zone.time_zone, timezone('UTC', h.hour))) - epoch_us(h.hour) AS offset_us
    FROM zone,
        generate_series(
            CAST($since AS TIMESTAMP), CAST($as_of AS TIMESTAMP), INTERVAL 1 HOUR
        ) AS h (hour)
),

play AS (
    SELECT
        e.listener, e.context, e.artist, e.album, e."show", e.started_at, e.ms_played,
        e.arrived_at, c.duration_ms,
        -- Quarters of a local day since 1970-01-01, a Thursday.
        (epoch_us(e.started_at) + clock.offset_us) // 21600000000 AS local_quarter
    FROM read_parquet($events, hive_partitioning = false) AS e
    INNER JOIN person AS p
        ON
            p.listener = e.listener
            AND e.started_at >= p.zone_from
            AND e.started_at < p.zone_to
    INNER JOIN clock ON clock.zone_hour = p.zone_key + epoch_us(e.started_at) // 3600000000
    LEFT JOIN contents AS c ON c.content = e.content
    WHERE
        e.started_at < CAST($as_of AS TIMESTAMP)
        AND e.started_at >= CAST($since AS TIMESTAMP)
        AND e.arrived_at < CAST($known_at AS TIMESTAMP)
        AND e.ms_played >= 30000
),

counted AS (
    SELECT
        play.*,
        CASE place.n
            WHEN 0 THEN artist
            WHEN 1 THEN album
            WHEN 2 THEN "show"
            WHEN
                3
                THEN
                    CASE
                        WHEN
                            context IS DISTINCT FROM artist
                            AND context IS DISTINCT FROM album
                            AND context IS DISTINCT FROM "show"
                            THEN context
                    END
        END AS item,
        coalesce(context, artist, album, "show") AS chosen
    FROM play, range(4) AS place (n)
)

SELECT
    listener,
    item,
    started_at,
    ms_played,
    arrived_at,
    duration_ms,
    CAST(started_at AS DATE) AS day,
    CAST(local_quarter % 4 AS TINYINT) AS daypart,
    (local_quarter // 4 + 3) % 7 >= 5 AS is_weekend,
    item = chosen AS is_chosen
FROM counted
WHERE item IS NOT NULL
