-- purpose : what a listener did with an item before as_of
-- grain   : one row per listener and item with at least one card play
-- key     : listener, item
-- columns : n_plays, n_plays_7d, n_plays_28d   card plays, ever and in the last days
--           n_days, n_days_7d                  days with a card play, ever and in the last 7
--           minutes                            minutes played
--           days_since_first, days_since_last  days from the first / last card play to as_of
--           decay_3d, decay_14d, decay_60d     card plays, halved every 3, 14, 60 days
--           activation                         ACT-R base-level activation ln(sum n (age - 0.5)^-0.5), age in days
--           n_night .. n_evening, n_weekend    card plays by local daypart, on weekends
--           n_same_weekday                     card plays on the weekday of as_of
--           is_new_listener_start              1 if the first card play came within 30 days of registration
--           fixed_60d                          decay_60d in units of 2^-30, for exact sums
-- params  : $as_of; tables daily, decay, listeners
WITH agg AS (
    SELECT
        d.listener,
        d.item,
        CAST(sum(d.n_plays) AS INTEGER) AS n_plays,
        CAST(coalesce(sum(d.n_plays) FILTER (a.age_days <= 7), 0) AS INTEGER) AS n_plays_7d,
        CAST(coalesce(sum(d.n_plays) FILTER (a.age_days <= 28), 0) AS INTEGER) AS n_plays_28d,
        CAST(count(*) AS INTEGER) AS n_days,
        CAST(count(*) FILTER (a.age_days <= 7) AS INTEGER) AS n_days_7d,
        sum(d.ms_played) AS ms_played,
        min(d.first_at) AS first_at,
        max(d.last_at) AS last_at,
        sum(d.n_plays * a.w3) AS fixed_3d,
        sum(d.n_plays * a.w14) AS fixed_14d,
        sum(d.n_plays * a.w60) AS fixed_60d,
        sum(d.n_plays * a.w_actr) AS fixed_actr,
        CAST(sum(d.n_night) AS INTEGER) AS n_night,
        CAST(sum(d.n_morning) AS INTEGER) AS n_morning,
        CAST(sum(d.n_afternoon) AS INTEGER) AS n_afternoon,
        CAST(sum(d.n_evening) AS INTEGER) AS n_evening,
        CAST(sum(d.n_weekend) AS INTEGER) AS n_weekend,
        CAST(
            coalesce(sum(d.n_plays) FILTER (isodow(d.day) = isodow(CAST($as_of AS DATE))), 0)
            AS INTEGER
        ) AS n_same_weekday
    FROM daily AS d
    INNER JOIN decay AS a ON a.age_days = CAST($as_of AS DATE) - d.day
    GROUP BY d.listener, d.item
)

SELECT
    agg.listener,
    agg.item,
    agg.n_plays,
    agg.n_plays_7d,
    agg.n_plays_28d,
    agg.n_days,
    agg.n_days_7d,
    CAST(agg.ms_played / 60000.0 AS FLOAT) AS minutes,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - agg.first_at) / 86400000.0 AS FLOAT
    ) AS days_since_first,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - agg.last_at) / 86400000.0 AS FLOAT
    ) AS days_since_last,
    CAST(CAST(agg.fixed_3d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_3d,
    CAST(CAST(agg.fixed_14d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_14d,
    CAST(CAST(agg.fixed_60d AS DOUBLE) / 1073741824 AS FLOAT) AS decay_60d,
    CAST(ln(CAST(agg.fixed_actr AS DOUBLE) / 1073741824) AS FLOAT) AS activation,
    agg.n_night,
    agg.n_morning,
    agg.n_afternoon,
    agg.n_evening,
    agg.n_weekend,
    agg.n_same_weekday,
    CAST(agg.first_at < l.registered_at + INTERVAL 30 DAY AS TINYINT) AS is_new_listener_start,
    CAST(agg.fixed_60d AS BIGINT) AS fixed_60d
FROM agg
INNER JOIN listeners AS l ON l.listener = agg.listener
