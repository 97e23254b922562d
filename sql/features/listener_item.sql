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
--           n_chosen                           card plays in which the item itself was put on, see card.sql
--           n_same_weekday                     card plays on the weekday of as_of
--           n_weekdays                         weekdays (UTC, 0 to 7) with a card play in the last 56 days
--           streak_days                        consecutive days with a card play, up to the last such day, within the
--                                              last 56 days; 0 if there was none in them
--           is_streak_running                  1 if the last such day is the day before as_of
--           completion_ratio                   share heard of the contents whose duration is known; null if of none
-- params  : $as_of; table pair (homerec/features/pairs.py: integer sums, and the set of the last 56 days with a play)
WITH last_day AS (
    SELECT *, days_56 // greatest(days_56 & -days_56, 1) AS up_to_last
    FROM pair
)

SELECT
    listener,
    item,
    n_plays,
    n_plays_7d,
    n_plays_28d,
    n_days,
    CAST(bit_count(days_56 & 127) AS INTEGER) AS n_days_7d,
    CAST(ms_played / 60000.0 AS FLOAT) AS minutes,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - first_at) / 86400000.0 AS FLOAT
    ) AS days_since_first,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - last_at) / 86400000.0 AS FLOAT
    ) AS days_since_last,
    CAST(CAST(fixed_1d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_1d,
    CAST(CAST(fixed_3d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_3d,
    CAST(CAST(fixed_7d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_7d,
    CAST(CAST(fixed_14d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_14d,
    CAST(CAST(fixed_60d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_60d,
    CAST(ln(CAST(fixed_actr AS DOUBLE) / 1073741824) AS FLOAT) AS activation,
    n_plays - n_morning - n_afternoon - n_evening AS n_night,
    n_morning,
    n_afternoon,
    n_evening,
    n_weekend,
    n_chosen,
    n_same_weekday,
    -- Eight weeks laid over one another.
    CAST(bit_count((
        days_56 | (days_56 >> 7) | (days_56 >> 14) | (days_56 >> 21)
        | (days_56 >> 28) | (days_56 >> 35) | (days_56 >> 42) | (days_56 >> 49)
    ) & 127) AS TINYINT) AS n_weekdays,
    -- The ones that the number ends in: adding 1 turns them over, with one bit more.
    CAST(CASE
        WHEN days_56 = 0 THEN 0
        ELSE bit_count(xor(up_to_last, up_to_last + 1)) - 1
    END AS TINYINT) AS streak_days,
    CAST(days_56 & 1 AS TINYINT) AS is_streak_running,
    CAST(CASE WHEN duration_ms > 0 THEN heard_ms / duration_ms END AS FLOAT) AS completion_ratio
FROM last_day
