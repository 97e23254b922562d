-- purpose : the item itself, over all markets
-- grain   : one row per item released before as_of
-- key     : item
-- columns : type                         artist | album | playlist | show
--           age_days                     days since release
--           n_tags                       number of tags
--           n_listeners, n_listeners_28d listeners ever, and with a card play in the last 28 days
--           n_starts_7d, n_starts_28d    listeners whose first card play lies in the last days
--           n_plays_7d, n_plays_28d      card plays in the last days
--           plays_per_listener           card plays per listener over 28 days
--           trend                        starts of the last 7 days against a quarter of those of 28, both + 1
--           new_listener_ratio           share of the last 28 days' starts made within 30 days of registration
--           recent_listener_ratio, settled_listener_ratio   share of the last 28 days' card plays made by listeners
--                                        registered 31 to 180 days ago, and longer ago
--           play_trend                   card plays of the last 7 days against a quarter of those of 28, both + 1
--           days_since_last              days since anybody's last card play, null if never played
--           completion_ratio             share heard of the contents whose duration is known, null if of none
--           language                     language of the item, null where it has none
-- params  : $as_of; tables items, item_market, item_part
WITH total AS (
    SELECT
        item,
        sum(n_listeners) AS n_listeners,
        sum(n_listeners_28d) AS n_listeners_28d,
        sum(n_starts_7d) AS n_starts_7d,
        sum(n_starts_28d) AS n_starts_28d,
        sum(n_plays_7d) AS n_plays_7d,
        sum(n_plays_28d) AS n_plays_28d,
        sum(n_new_listener_starts_28d) AS n_new_listener_starts_28d,
        sum(n_recent_listener_plays_28d) AS n_recent_listener_plays_28d,
        sum(n_settled_listener_plays_28d) AS n_settled_listener_plays_28d,
        min(days_since_last) AS days_since_last
    FROM item_market
    GROUP BY item
),

heard AS (
    SELECT item, sum(duration_ms) AS duration_ms, sum(heard_ms) AS heard_ms
    FROM item_part
    GROUP BY item
)

SELECT
    i.item,
    i.type,
    CAST(
        epoch_ms(CAST($as_of AS TIMESTAMP) - i.released_at) / 86400000.0 AS FLOAT
    ) AS age_days,
    CAST(coalesce(len(i.tags), 0) AS INTEGER) AS n_tags,
    CAST(coalesce(t.n_listeners, 0) AS INTEGER) AS n_listeners,
    CAST(coalesce(t.n_listeners_28d, 0) AS INTEGER) AS n_listeners_28d,
    CAST(coalesce(t.n_starts_7d, 0) AS INTEGER) AS n_starts_7d,
    CAST(coalesce(t.n_starts_28d, 0) AS INTEGER) AS n_starts_28d,
    CAST(coalesce(t.n_plays_7d, 0) AS INTEGER) AS n_plays_7d,
    CAST(coalesce(t.n_plays_28d, 0) AS INTEGER) AS n_plays_28d,
    CAST(
        coalesce(t.n_plays_28d, 0) / greatest(coalesce(t.n_listeners_28d, 0), 1) AS FLOAT
    ) AS plays_per_listener,
    CAST(
        (coalesce(t.n_starts_7d, 0) + 1) / (coalesce(t.n_starts_28d, 0) / 4 + 1) AS FLOAT
    ) AS trend,
    CAST(
        coalesce(t.n_new_listener_starts_28d, 0) / greatest(coalesce(t.n_starts_28d, 0), 1)
        AS FLOAT
    ) AS new_listener_ratio,
    CAST(
        coalesce(t.n_recent_listener_plays_28d, 0) / greatest(coalesce(t.n_plays_28d, 0), 1)
        AS FLOAT
    ) AS recent_listener_ratio,
    CAST(
        coalesce(t.n_settled_listener_plays_28d, 0) / greatest(coalesce(t.n_plays_28d, 0), 1)
        AS FLOAT
    ) AS settled_listener_ratio,
    CAST(
        (coalesce(t.n_plays_7d, 0) + 1) / (coalesce(t.n_plays_28d, 0) / 4 + 1) AS FLOAT
    ) AS play_trend,
    t.days_since_last,
    CAST(CASE WHEN h.duration_ms > 0 THEN h.heard_ms / h.duration_ms END AS FLOAT)
        AS completion_ratio,
    i.language
FROM items AS i
LEFT JOIN total AS t ON t.item = i.item
LEFT JOIN heard AS h ON h.item = i.item
WHERE i.released_at < CAST($as_of AS TIMESTAMP)
