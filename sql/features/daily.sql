-- purpose : card plays rolled up to days, the only step that reads events; what rollups keep
-- grain   : one row per listener, item, UTC day and late arrival
-- key     : listener, item, day, late_at
-- columns : late_at                      null for all that arrived by the end of the day, else when it arrived: a
--                                        row counts iff late_at is null or before known_at
--           n_plays                      card plays
--           ms_played                    milliseconds
--           n_morning .. n_evening       card plays by local daypart; the others are at night
--           n_weekend                    card plays on a local Saturday or Sunday
--           n_chosen                     card plays in which the item itself was put on
--           first_at, last_at            UTC time of the first and last card play of that day
--           duration_ms, heard_ms        milliseconds of the contents whose duration is known, and what was heard
--                                        of them, each play up to the duration
-- params  : table card (card.sql)
-- Sums of counts cannot overflow: a day holds fewer than 2^21 plays of an item by a listener. Dayparts
-- share one sum, because each aggregate costs as much as reading a column; it is cast before it is cut,
-- because a division of a HUGEINT, which sums are, costs many times one of a BIGINT.
WITH marked AS (
    SELECT
        *,
        CASE
            WHEN arrived_at >= CAST(day AS TIMESTAMP) + INTERVAL 1 DAY THEN arrived_at
        END AS late_at,
        CASE daypart
            WHEN 0 THEN 0
            WHEN 1 THEN 1
            WHEN 2 THEN 2097152
            WHEN 3 THEN 4398046511104
        END AS by_daypart,
        CASE WHEN duration_ms IS NOT NULL THEN least(ms_played, duration_ms) END AS heard_ms
    FROM card
),

summed AS (
    SELECT
        listener,
        item,
        day,
        late_at,
        count(*) AS n_plays,
        sum_no_overflow(ms_played) AS ms_played,
        CAST(sum_no_overflow(by_daypart) AS BIGINT) AS by_daypart,
        count(*) FILTER (is_weekend) AS n_weekend,
        count(*) FILTER (is_chosen) AS n_chosen,
        min(started_at) AS first_at,
        max(started_at) AS last_at,
        coalesce(sum_no_overflow(duration_ms), 0) AS duration_ms,
        coalesce(sum_no_overflow(heard_ms), 0) AS heard_ms
    FROM marked
    GROUP BY listener, item, day, late_at
)

SELECT
    listener,
    item,
    day,
    late_at,
    CAST(n_plays AS INTEGER) AS n_plays,
    CAST(ms_played AS BIGINT) AS ms_played,
    CAST(by_daypart % 2097152 AS INTEGER) AS n_morning,
    CAST(by_daypart // 2097152 % 2097152 AS INTEGER) AS n_afternoon,
    CAST(by_daypart // 4398046511104 AS INTEGER) AS n_evening,
    CAST(n_weekend AS INTEGER) AS n_weekend,
    CAST(n_chosen AS INTEGER) AS n_chosen,
    first_at,
    last_at,
    CAST(duration_ms AS BIGINT) AS duration_ms,
    CAST(heard_ms AS BIGINT) AS heard_ms
FROM summed
