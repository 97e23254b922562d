-- purpose : the listener's activity, tenure and habits
-- grain   : one row per listener registered before as_of
-- key     : listener
-- columns : market, language             market; the language played most over 60 days of half-life (null if none)
--           tenure_days                  days since registration
--           n_plays, n_plays_7d, n_plays_28d   card plays over all item types
--           n_items                      items ever played
--           n_active_days_28d            days with a card play in the last 28
--           days_since_last              days since the last card play, null if never
--           night_ratio .. evening_ratio, weekend_ratio   share of card plays by local daypart, on weekends
--           n_shows, n_playlists         shows and playlists ever played
--           show_starts_28d, playlist_starts_28d   first card plays of a show, playlist in the last 28 days
--           show_play_ratio, playlist_play_ratio   share of card plays
--           n_picks                      artists picked at sign-up
--           n_active_days_7d, n_active_weekdays   days with a card play in the last 7; weekdays (UTC, 0 to 7) in 56 days
--           streak_days                  consecutive days with a card play, up to the last such day, within the last
--                                        56 days; 0 if there was none in them
--           is_streak_running            1 if the last such day is the day before as_of
--           n_languages, language_ratio  languages played; share of the one played most, by card plays halved every 60
--                                        days, null if none
--           start_ratio                  share of the items played in the last 28 days that were new then
--           completion_ratio             share heard of the contents whose duration is known, null if of none
-- params  : $as_of; tables listeners, signup_picks, listener_kind (homerec/features/listener_parts.py: pairs summed by
--           listener, type and language of the item)
WITH played AS (
    SELECT
        listener,
        sum(n_plays) AS n_plays,
        sum(n_plays_7d) AS n_plays_7d,
        sum(n_plays_28d) AS n_plays_28d,
        sum(n_items) AS n_items,
        max(last_at) AS last_at,
        sum(n_plays - n_morning - n_afternoon - n_evening) AS n_night,
        sum(n_morning) AS n_morning,
        sum(n_afternoon) AS n_afternoon,
        sum(n_evening) AS n_evening,
        sum(n_weekend) AS n_weekend,
        coalesce(sum(n_items) FILTER (type = 'show'), 0) AS n_shows,
        coalesce(sum(n_items) FILTER (type = 'playlist'), 0) AS n_playlists,
        coalesce(sum(n_starts_28d) FILTER (type = 'show'), 0) AS show_starts_28d,
        coalesce(sum(n_starts_28d) FILTER (type = 'playlist'), 0) AS playlist_starts_28d,
        coalesce(sum(n_plays) FILTER (type = 'show'), 0) AS show_plays,
        coalesce(sum(n_plays) FILTER (type = 'playlist'), 0) AS playlist_plays
    FROM listener_kind
    WHERE type IS NOT NULL
    GROUP BY listener
),

active AS (
    SELECT
        listener,
        bit_or(days_56) AS days,
        bit_or(days_56) // greatest(bit_or(days_56) & -bit_or(days_56), 1) AS up_to_last,
        sum(duration_ms) AS duration_ms,
        sum(heard_ms) AS heard_ms,
        sum(n_items_28d) AS n_items_28d,
        sum(n_starts_28d) AS n_starts_28d
    FROM listener_kind
    GROUP BY listener
),

language_weight AS (
    SELECT listener, language, sum(fixed_60d) AS weight
    FROM listener_kind
    WHERE language IS NOT NULL
    GROUP BY listener, language
),

spoken AS (
    SELECT
        listener,
        language,
        count(*) OVER (PARTITION BY listener) AS n_languages,
        weight / sum(weight) OVER (PARTITION BY listener) AS language_ratio
    FROM language_weight
    QUALIFY row_number() OVER (PARTITION BY listener ORDER BY weight DESC, language ASC) = 1
),

picked AS (
    SELECT listener, count(*) AS n_picks
    FROM signup_picks
    WHERE picked_at < CAST($as_of AS TIMESTAMP)
    GROUP BY listener
)

SELECT
    l.listener,
    l.market,
    s.language,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - l.registered_at) / 86400000.0 AS FLOAT
    ) AS tenure_days,
    CAST(coalesce(p.n_plays, 0) AS INTEGER) AS n_plays,
    CAST(coalesce(p.n_plays_7d, 0) AS INTEGER) AS n_plays_7d,
    CAST(coalesce(p.n_plays_28d, 0) AS INTEGER) AS n_plays_28d,
    CAST(coalesce(p.n_items, 0) AS INTEGER) AS n_items,
    CAST(coalesce(bit_count(a.days & 268435455), 0) AS INTEGER) AS n_active_days_28d,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - p.last_at) / 86400000.0 AS FLOAT
    ) AS days_since_last,
    CAST(p.n_night / p.n_plays AS FLOAT) AS night_ratio,
    CAST(p.n_morning / p.n_plays AS FLOAT) AS morning_ratio,
    CAST(p.n_afternoon / p.n_plays AS FLOAT) AS afternoon_ratio,
    CAST(p.n_evening / p.n_plays AS FLOAT) AS evening_ratio,
    CAST(p.n_weekend / p.n_plays AS FLOAT) AS weekend_ratio,
    CAST(coalesce(p.n_shows, 0) AS INTEGER) AS n_shows,
    CAST(coalesce(p.n_playlists, 0) AS INTEGER) AS n_playlists,
    CAST(coalesce(p.show_starts_28d, 0) AS INTEGER) AS show_starts_28d,
    CAST(coalesce(p.playlist_starts_28d, 0) AS INTEGER) AS playlist_starts_28d,
    CAST(p.show_plays / p.n_plays AS FLOAT) AS show_play_ratio,
    CAST(p.playlist_plays / p.n_plays AS FLOAT) AS playlist_play_ratio,
    CAST(coalesce(k.n_picks, 0) AS INTEGER) AS n_picks,
    CAST(coalesce(bit_count(a.days & 127), 0) AS INTEGER) AS n_active_days_7d,
    CAST(coalesce(bit_count((
        a.days | (a.days >> 7) | (a.days >> 14) | (a.days >> 21) | (a.days >> 28)
        | (a.days >> 35) | (a.days >> 42) | (a.days >> 49)
    ) & 127), 0) AS INTEGER) AS n_active_weekdays,
    CAST(CASE
        WHEN coalesce(a.days, 0) = 0 THEN 0
        ELSE bit_count(xor(a.up_to_last, a.up_to_last + 1)) - 1
    END AS INTEGER) AS streak_days,
    CAST(coalesce(a.days & 1, 0) AS TINYINT) AS is_streak_running,
    CAST(coalesce(s.n_languages, 0) AS INTEGER) AS n_languages,
    CAST(s.language_ratio AS FLOAT) AS language_ratio,
    CAST(CASE WHEN a.n_items_28d > 0 THEN a.n_starts_28d / a.n_items_28d END AS FLOAT)
        AS start_ratio,
    CAST(CASE WHEN a.duration_ms > 0 THEN a.heard_ms / a.duration_ms END AS FLOAT)
        AS completion_ratio
FROM listeners AS l
LEFT JOIN played AS p ON p.listener = l.listener
LEFT JOIN active AS a ON a.listener = l.listener
LEFT JOIN spoken AS s ON s.listener = l.listener
LEFT JOIN picked AS k ON k.listener = l.listener
WHERE l.registered_at < CAST($as_of AS TIMESTAMP)
