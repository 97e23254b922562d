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
-- params  : $as_of; tables listeners, items, daily, listener_item, signup_picks
WITH played AS (
    SELECT
        li.listener,
        sum(li.n_plays) AS n_plays,
        sum(li.n_plays_7d) AS n_plays_7d,
        sum(li.n_plays_28d) AS n_plays_28d,
        count(*) AS n_items,
        min(li.days_since_last) AS days_since_last,
        sum(li.n_night) AS n_night,
        sum(li.n_morning) AS n_morning,
        sum(li.n_afternoon) AS n_afternoon,
        sum(li.n_evening) AS n_evening,
        sum(li.n_weekend) AS n_weekend,
        count(*) FILTER (i.type = 'show') AS n_shows,
        count(*) FILTER (i.type = 'playlist') AS n_playlists,
        count(*) FILTER (i.type = 'show' AND li.days_since_first <= 28) AS show_starts_28d,
        count(*) FILTER (
            i.type = 'playlist' AND li.days_since_first <= 28
        ) AS playlist_starts_28d,
        coalesce(sum(li.n_plays) FILTER (i.type = 'show'), 0) AS show_plays,
        coalesce(sum(li.n_plays) FILTER (i.type = 'playlist'), 0) AS playlist_plays
    FROM listener_item AS li
    INNER JOIN items AS i ON i.item = li.item
    GROUP BY li.listener
),

active AS (
    SELECT listener, count(DISTINCT day) AS n_active_days_28d
    FROM daily
    WHERE day >= CAST($as_of AS DATE) - 28
    GROUP BY listener
),

spoken AS (
    SELECT li.listener, i.language, sum(li.fixed_60d) AS weight
    FROM listener_item AS li
    INNER JOIN items AS i ON i.item = li.item
    WHERE i.language IS NOT NULL
    GROUP BY li.listener, i.language
    QUALIFY row_number() OVER (
        PARTITION BY li.listener ORDER BY sum(li.fixed_60d) DESC, i.language ASC
    ) = 1
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
    CAST(coalesce(a.n_active_days_28d, 0) AS INTEGER) AS n_active_days_28d,
    p.days_since_last,
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
    CAST(coalesce(k.n_picks, 0) AS INTEGER) AS n_picks
FROM listeners AS l
LEFT JOIN played AS p ON p.listener = l.listener
LEFT JOIN active AS a ON a.listener = l.listener
LEFT JOIN spoken AS s ON s.listener = l.listener
LEFT JOIN picked AS k ON k.listener = l.listener
WHERE l.registered_at < CAST($as_of AS TIMESTAMP)
