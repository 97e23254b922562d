-- Purpose: one listener's Home, ready to show.
-- Grain:   one row a card, in order.
-- Key:     (shelf_position, card_position); an item appears once.
-- Columns: positions from 1 without gaps; as_of, release_id of the live release; reason null when none is to be shown.
--          sources are all that proposed the card, the one that ranked it highest first, at most six; source is that
--          first one, and gave the reason; an editors' card has none. In a release older than this column, one alone.
--          A reason names an item of the listener's own, never one that is blocked anywhere or dismissed by the listener.
--
-- Reads the live release only, in the caller's snapshot, so that a switch of releases is seen whole or not at all.
-- Blocks, availability (markets and licensing windows), dismissals and editors' windows are applied here, at `moment`. A listener that is not
-- known, or for whom nothing is left, gets the default Home of the market, then the one of '*'.
DROP FUNCTION IF EXISTS public.home(text, timestamptz, text);
CREATE FUNCTION public.home(listener_id text, moment timestamptz DEFAULT now(), market text DEFAULT NULL)
RETURNS TABLE (
    shelf_position int, shelf text, shelf_title text, kind text, card_position int,
    item_id text, item_type text, item_title text, source text, reason text, as_of date, release_id bigint,
    sources text[]
)
LANGUAGE plpgsql STABLE ROWS 100
-- The generic plan prunes to one partition when it runs; planning anew would cost more than the query.
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    in_id CONSTANT text := $1;
    in_moment CONSTANT timestamptz := coalesce($2, now());
    v_market text := upper($3);
    v_listener int;
    v_zone text;
    v_own text;
    v_daypart int;
    v_key int;
    v_keys int[];
    v_shown int[] := '{}';
    v_shelf int := NULL;
    v_title text;
    v_names text[];
    card record;
BEGIN
    SELECT p.release_id, r.as_of INTO release_id, as_of
    FROM homerec.live_release p JOIN homerec.release r ON r.release_id = p.release_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    SELECT l.listener, coalesce(v_market, l.market), l.time_zone, l.market
    INTO v_listener, v_market, v_zone, v_own
    FROM homerec.listener l WHERE l.listener_id = in_id;
    IF NOT FOUND THEN
        v_market := upper($3);
    END IF;
    v_daypart := extract(hour FROM in_moment AT TIME ZONE coalesce(v_zone, 'UTC'))::int / 6;

    SELECT array_agg(d.listener ORDER BY d.market = '*') INTO v_keys
    FROM homerec.market_default d
    WHERE d.release_id = home.release_id AND d.market IN (v_market, '*');
    v_keys := v_listener || v_keys;
    -- By number, so that a card's proposers (five bits each, the best lowest) are looked up in no table.
    FOR card IN SELECT so.source AS number, so.name FROM homerec.source so
                WHERE so.release_id = home.release_id AND so.source < 32 LOOP
        v_names[card.number] := card.name;
    END LOOP;

    shelf_position := 0;
    FOREACH v_key IN ARRAY v_keys LOOP
        CONTINUE WHEN v_key IS NULL OR NOT EXISTS (
            SELECT FROM homerec.home_shelf h WHERE h.release_id = home.release_id AND h.listener = v_key);
        FOR card IN
            SELECT c.shelf AS number, rs.name, rs.title, rs.kind, rs.size, c.item AS item,
                   i.item_id, i.type, i.title AS item_title, so.name AS source,
                   c.proposers,
                   -- Looked up only where a label asks for it. Where the item may not be named, the source's own number,
                   -- hundreds below, has the wording without it.
                   CASE WHEN so.label LIKE '%{item}%' THEN coalesce(
                            (SELECT replace(so.label, '{item}', ri.title) FROM homerec.item ri
                             WHERE ri.item = c.reason_item
                               AND NOT EXISTS (SELECT FROM homerec.blocked rb WHERE rb.item = ri.item)
                               AND NOT EXISTS (SELECT FROM homerec.dismissal rd
                                               WHERE rd.listener = v_listener AND rd.item = ri.item)),
                            (SELECT sg.label FROM homerec.source sg
                             WHERE sg.release_id = home.release_id AND sg.source = so.source % 100
                               AND so.source >= 100))
                        WHEN so.label LIKE '%{market}%'
                            THEN replace(so.label, '{market}', coalesce(v_own, v_market))
                        ELSE so.label END AS reason
            FROM (
                SELECT h.shelf, h.daypart, u.item, u.source, u.reason_item, u.proposers, u.place,
                       0::bigint AS made
                FROM homerec.home_shelf h,
                     unnest(h.items, h.sources, h.reason_items, h.proposers) WITH ORDINALITY
                         AS u (item, source, reason_item, proposers, place)
                WHERE h.release_id = home.release_id AND h.listener = v_key
                  AND (h.daypart = -1 OR h.daypart = v_daypart)
                UNION ALL
                SELECT s.shelf, -1::smallint, e.item, NULL::smallint, 0, NULL::int,
                       -- Of one position, the market's own card comes first, then the older one.
                       e.position * 2::bigint - (e.market IS NOT NULL)::int, e.card
                FROM homerec.release_shelf s JOIN homerec.editorial_card e ON e.shelf IN (s.title, s.name)
                WHERE s.release_id = home.release_id AND s.kind = 'editorial'
                  AND (e.market IS NULL OR e.market = v_market)
                  AND e.starts_at <= in_moment AND (e.ends_at IS NULL OR e.ends_at > in_moment)
            ) c
            JOIN homerec.release_shelf rs ON rs.release_id = home.release_id AND rs.shelf = c.shelf
            JOIN homerec.item i ON i.item = c.item
            LEFT JOIN homerec.source so ON so.release_id = home.release_id AND so.source = c.source
            WHERE (i.markets IS NULL OR v_market IS NULL OR v_market = ANY (i.markets))
              AND (NOT i.licensed OR EXISTS (
                  SELECT FROM homerec.availability a
                  WHERE a.item = c.item AND (a.market IS NULL OR v_market IS NULL OR a.market = v_market)
                    AND a.starts_at <= in_moment AND a.ends_at > in_moment))
              AND NOT EXISTS (
                  SELECT FROM homerec.blocked b
                  WHERE b.item = c.item AND (b.market IS NULL OR v_market IS NULL OR b.market = v_market))
              AND NOT EXISTS (
                  SELECT FROM homerec.dismissal d WHERE d.listener = v_listener AND d.item = c.item)
            ORDER BY c.shelf, c.daypart DESC, c.place, c.made
        LOOP
            IF v_shelf IS DISTINCT FROM card.number THEN
                v_shelf := card.number;
                card_position := 0;
            END IF;
            CONTINUE WHEN card_position >= card.size OR card.item = ANY (v_shown);
            IF card_position = 0 THEN
                shelf_position := shelf_position + 1;
                shelf := card.name;
                kind := card.kind;
                shelf_title := CASE WHEN v_market IS NULL THEN
                    replace(replace(card.title, ' in {market}', ''), '{market}', '')
                    ELSE replace(card.title, '{market}', v_market) END;
            END IF;
            card_position := card_position + 1;
            v_shown := v_shown || card.item;
            item_id := card.item_id;
            item_type := card.type;
            item_title := card.item_title;
            reason := card.reason;
            sources := CASE
                WHEN card.source IS NULL THEN '{}'
                WHEN coalesce(card.proposers, 0) = 0 THEN ARRAY[card.source]
                ELSE array_remove(ARRAY[
                    v_names[card.proposers & 31], v_names[card.proposers >> 5 & 31],
                    v_names[card.proposers >> 10 & 31], v_names[card.proposers >> 15 & 31],
                    v_names[card.proposers >> 20 & 31], v_names[card.proposers >> 25 & 31]], NULL)
                END;
            -- The number of a tag says nothing of who found it: new items have tags as reasons too.
            source := sources[1];
            RETURN NEXT;
        END LOOP;
        EXIT WHEN shelf_position > 0;
    END LOOP;
END
$$;
