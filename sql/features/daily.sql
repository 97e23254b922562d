-- purpose : card plays rolled up to days, the only step that reads events
-- grain   : one row per listener, item and UTC day
-- key     : listener, item, day
-- columns : n_plays                      card plays
--           ms_played                    milliseconds
--           n_night .. n_evening         card plays by local daypart
--           n_weekend                    card plays on a local Saturday or Sunday
--           first_at, last_at            UTC time of the first and last card play of that day
-- params  : table card (card.sql)
SELECT
    listener,
    item,
    day,
    CAST(count(*) AS INTEGER) AS n_plays,
    CAST(sum(ms_played) AS BIGINT) AS ms_played,
    CAST(count(*) FILTER (daypart = 0) AS INTEGER) AS n_night,
    CAST(count(*) FILTER (daypart = 1) AS INTEGER) AS n_morning,
    CAST(count(*) FILTER (daypart = 2) AS INTEGER) AS n_afternoon,
    CAST(count(*) FILTER (daypart = 3) AS INTEGER) AS n_evening,
    CAST(count(*) FILTER (is_weekend) AS INTEGER) AS n_weekend,
    min(started_at) AS first_at,
    max(started_at) AS last_at
FROM card
GROUP BY listener, item, day
