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
--           language                     language of the item, null where it has none
-- params  : $as_of; tables items, item_market
WITH total AS (
    SELECT
        item,
        sum(n_listeners) AS n_listeners,
        sum(n_listeners_28d) AS n_listeners_28d,
        sum(n_starts_7d) AS n_starts_7d,
        sum(n_starts_28d) AS n_starts_28d,
        sum(n_plays_7d) AS n_plays_7d,
        sum(n_plays_28d) AS n_plays_28d,
        sum(n_new_listener_starts_28d) AS n_new_listener_starts_28d
    FROM item_market
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
    i.language
FROM items AS i
LEFT JOIN total AS t ON t.item = i.item
WHERE i.released_at < CAST($as_of AS TIMESTAMP)
