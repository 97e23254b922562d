-- purpose : what a listener did with an item before as_of
-- grain   : one row per listener and item with at least one card play
-- key     : listener, item
-- columns : n_plays, n_plays_7d, n_plays_28d   card plays, ever and in the last days
--           n_days, n_days_7d                  days with a card play, ever and in the last 7
--           minutes                            minutes played
--           days_since_first, days_since_last  days from the first / last card play to as_of
--           decay_1d .. decay_60d              card plays, halved every 1, 3, 7, 14, 60 days
--           activation                         ACT-R base-level activation ln(sum n (age - 0.5)^-0.5), age in days
--           n_night .. n_evening, n_weekend    card plays by local daypart, on weekends
--           n_same_weekday                     card plays on the weekday of as_of
--           n_weekdays                         weekdays (UTC, 0 to 7) with a card play in the last 56 days
--           streak_days                        consecutive days with a card play, up to the last such day, within the
--                                              last 56 days; 0 if there was none in them
--           is_streak_running                  1 if the last such day is the day before as_of
--           completion_ratio                   share heard of the contents whose duration is known; null if of none
--           is_new_listener_start              1 if the first card play came within 30 days of registration
--           fixed_3d, fixed_14d, fixed_60d     the decays in units of 2^-30, for exact sums
--           days_56                            set of the last 56 days with a card play, bit 0 is the day before as_of
--           duration_ms, heard_ms              what completion_ratio is made of
-- params  : $as_of; tables known, decay, listeners
-- Aggregates are what this costs. Counts share sums, in fields of 20 bits, and sum_no_overflow skips the
-- 128 bits of sum. Both are safe below 2^20 plays of an item by a listener, which is checked.
WITH weighed AS (
    SELECT
        d.*,
        a.*,
        CASE WHEN a.age_days <= 7 THEN d.n_plays ELSE 0 END
        + CASE WHEN a.age_days <= 28 THEN CAST(d.n_plays AS BIGINT) << 20 ELSE 0 END
        + CASE
            WHEN a.age_days % 7 = 0 THEN CAST(d.n_plays AS BIGINT) << 40 ELSE 0
        END AS by_window,
        d.n_morning + (CAST(d.n_afternoon AS BIGINT) << 20) + (CAST(d.n_evening AS BIGINT) << 40)
            AS by_daypart,
        d.n_weekend + (CAST(d.is_day AS BIGINT) << 20) AS weekend_and_days
    FROM known AS d
    INNER JOIN decay AS a ON a.age_days = CAST($as_of AS DATE) - d.day
),

agg AS (
    SELECT
        listener,
        item,
        sum_no_overflow(n_plays) AS n_plays,
        sum_no_overflow(by_window) AS by_window,
        sum_no_overflow(by_daypart) AS by_daypart,
        sum_no_overflow(weekend_and_days) AS weekend_and_days,
        sum_no_overflow(ms_played) AS ms_played,
        sum_no_overflow(duration_ms) AS duration_ms,
        sum_no_overflow(heard_ms) AS heard_ms,
        min(first_at) AS first_at,
        max(last_at) AS last_at,
        sum_no_overflow(n_plays * w1) AS fixed_1d,
        sum_no_overflow(n_plays * w3) AS fixed_3d,
        sum_no_overflow(n_plays * w7) AS fixed_7d,
        sum_no_overflow(n_plays * w14) AS fixed_14d,
        sum_no_overflow(n_plays * w60) AS fixed_60d,
        sum_no_overflow(n_plays * w_actr) AS fixed_actr,
        -- is_day is 1 once per day, so that this sum is the set of days.
        sum_no_overflow(is_day * day_bit) AS days_56
    FROM weighed
    GROUP BY listener, item
),

last_day AS (
    SELECT *, days_56 // greatest(days_56 & -days_56, 1) AS up_to_last
    FROM agg
)

SELECT
    agg.listener,
    agg.item,
    CAST(agg.n_plays AS INTEGER) AS n_plays,
    CAST(agg.by_window & 1048575 AS INTEGER) AS n_plays_7d,
    CAST((agg.by_window >> 20) & 1048575 AS INTEGER) AS n_plays_28d,
    CAST(agg.weekend_and_days >> 20 AS INTEGER) AS n_days,
    CAST(bit_count(agg.days_56 & 127) AS INTEGER) AS n_days_7d,
    CAST(agg.ms_played / 60000.0 AS FLOAT) AS minutes,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - agg.first_at) / 86400000.0 AS FLOAT
    ) AS days_since_first,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - agg.last_at) / 86400000.0 AS FLOAT
    ) AS days_since_last,
    CAST(CAST(agg.fixed_1d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_1d,
    CAST(CAST(agg.fixed_3d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_3d,
    CAST(CAST(agg.fixed_7d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_7d,
    CAST(CAST(agg.fixed_14d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_14d,
    CAST(CAST(agg.fixed_60d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_60d,
    CAST(ln(CAST(agg.fixed_actr AS DOUBLE) / 1073741824) AS FLOAT) AS activation,
    CAST(
        agg.n_plays - (agg.by_daypart & 1048575) - ((agg.by_daypart >> 20) & 1048575)
        - (agg.by_daypart >> 40) AS INTEGER
    ) AS n_night,
    CAST(agg.by_daypart & 1048575 AS INTEGER) AS n_morning,
    CAST((agg.by_daypart >> 20) & 1048575 AS INTEGER) AS n_afternoon,
    CAST(agg.by_daypart >> 40 AS INTEGER) AS n_evening,
    CAST(agg.weekend_and_days & 1048575 AS INTEGER) AS n_weekend,
    CAST(agg.by_window >> 40 AS INTEGER) AS n_same_weekday,
    -- Eight weeks laid over one another.
    CAST(bit_count((
        agg.days_56 | (agg.days_56 >> 7) | (agg.days_56 >> 14) | (agg.days_56 >> 21)
        | (agg.days_56 >> 28) | (agg.days_56 >> 35) | (agg.days_56 >> 42) | (agg.days_56 >> 49)
    ) & 127) AS TINYINT) AS n_weekdays,
    -- The ones that the number ends in: adding 1 turns them over, with one bit more.
    CAST(CASE
        WHEN agg.days_56 = 0 THEN 0
        ELSE bit_count(xor(agg.up_to_last, agg.up_to_last + 1)) - 1
    END AS TINYINT) AS streak_days,
    CAST(agg.days_56 & 1 AS TINYINT) AS is_streak_running,
    CAST(CASE WHEN agg.duration_ms > 0 THEN agg.heard_ms / agg.duration_ms END AS FLOAT)
        AS completion_ratio,
    CAST(agg.first_at < l.registered_at + INTERVAL 30 DAY AS TINYINT) AS is_new_listener_start,
    CAST(agg.fixed_3d AS BIGINT) AS fixed_3d,
    CAST(agg.fixed_14d AS BIGINT) AS fixed_14d,
    CAST(agg.fixed_60d AS BIGINT) AS fixed_60d,
    CAST(agg.days_56 AS BIGINT) AS days_56,
    CAST(agg.duration_ms AS BIGINT) AS duration_ms,
    CAST(agg.heard_ms AS BIGINT) AS heard_ms
FROM last_day AS agg
INNER JOIN listeners AS l ON l.listener = agg.listener
