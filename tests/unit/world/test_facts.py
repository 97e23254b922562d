"""What must be true of the data that a world hands over."""

import duckdb
import pytest

from homerec.world import WorldReport

Db = duckdb.DuckDBPyConnection


def one(db: Db, sql: str) -> float:
    row = db.execute(sql).fetchone()
    assert row is not None
    return float(row[0])


def test_report_counts_the_rows(db: Db, report: WorldReport) -> None:
    for table in ("events", "impressions", "items", "contents", "signup_picks", "dismissals"):
        assert one(db, f"SELECT count(*) FROM {table}") == getattr(report, table)


def test_event_ids_are_unique_and_events_are_sorted(db: Db) -> None:
    assert one(db, "SELECT count(*) - count(DISTINCT event_id) FROM events") == 0
    assert (
        one(
            db,
            """SELECT count(*) FROM (SELECT started_at < lag(started_at) OVER (
             PARTITION BY listener_id ORDER BY event_id) AS back FROM events) WHERE back""",
        )
        == 0
    )


def test_an_item_is_dismissed_once_and_only_after_it_was_played(db: Db) -> None:
    assert one(db, "SELECT count(*) - count(DISTINCT (listener_id, item_id)) FROM dismissals") == 0
    assert one(
        db,
        """SELECT count(*) FROM dismissals d WHERE NOT EXISTS (FROM events e
             WHERE e.listener_id = d.listener_id AND e.started_at < d.dismissed_at
             AND d.item_id IN (e.context_id, e.artist_id))""",
    ) == 0  # fmt: skip


def test_every_id_is_known(db: Db) -> None:
    for table, column, of in (
        ("events", "listener_id", "listeners"),
        ("events", "content_id", "contents"),
        ("events", "context_id", "items"),
        ("impressions", "item_id", "items"),
        ("signup_picks", "item_id", "items"),
        ("dismissals", "item_id", "items"),
        ("editorial", "item_id", "items"),
        ("blocked", "item_id", "items"),
        ("items", "artist_id", "items"),
    ):
        key = of.removesuffix("s") + "_id"
        assert (
            one(
                db,
                f"""SELECT count(*) FROM {table} WHERE {column} IS NOT NULL
                AND {column} NOT IN (SELECT {key} FROM {of})""",
            )
            == 0
        )


def test_events_agree_with_their_contents(db: Db) -> None:
    assert (
        one(
            db,
            """SELECT count(*) FROM events e JOIN contents c USING (content_id)
           WHERE e.artist_id IS DISTINCT FROM c.artist_id OR e.album_id IS DISTINCT FROM c.album_id
             OR e.show_id IS DISTINCT FROM c.show_id OR e.ms_played > c.duration_ms""",
        )
        == 0
    )


def test_arrival_follows_the_play_mostly_soon_rarely_a_day_late(db: Db) -> None:
    late = "arrived_at - started_at - to_milliseconds(ms_played)"
    assert one(db, f"SELECT count(*) FROM events WHERE {late} < INTERVAL 0 SECOND") == 0
    assert one(db, f"SELECT avg(({late} < INTERVAL 10 MINUTE)::INT) FROM events") > 0.9
    stray = one(db, f"SELECT avg(({late} > INTERVAL 1 DAY)::INT) FROM events")
    assert 0.003 < stray < 0.007


def test_nobody_is_heard_before_sign_up_and_no_content_before_its_release(db: Db) -> None:
    assert (
        one(
            db,
            """SELECT count(*) FROM events JOIN listeners USING (listener_id)
           WHERE started_at <= registered_at""",
        )
        == 0
    )
    assert (
        one(
            db,
            """SELECT count(*) FROM events e JOIN contents c USING (content_id)
           JOIN items i ON i.item_id = e.context_id
           WHERE started_at < c.released_at OR started_at < i.released_at""",
        )
        == 0
    )


def test_availability_is_respected(db: Db) -> None:
    assert one(db, "SELECT count(*) FROM items WHERE markets IS NOT NULL") > 20
    for column in ("context_id", "artist_id", "album_id", "show_id"):
        assert (
            one(
                db,
                f"""SELECT count(*) FROM events e JOIN listeners l USING (listener_id)
                JOIN items i ON i.item_id = e.{column}
                WHERE i.markets IS NOT NULL AND NOT list_contains(i.markets, l.market)""",
            )
            == 0
        )


def test_blocked_items_fall_silent_where_they_are_blocked(db: Db) -> None:
    assert one(db, "SELECT count(*) FROM blocked WHERE market IS NOT NULL") == 1
    assert (
        one(
            db,
            """SELECT count(*) FROM events e JOIN listeners l USING (listener_id)
           JOIN blocked b ON b.item_id = e.context_id
           WHERE (b.market IS NULL OR b.market = l.market) AND started_at > blocked_at""",
        )
        == 0
    )


def test_new_listeners_join_throughout(db: Db) -> None:
    for day in ("2026-01-31", "2026-02-09"):
        share = one(
            db,
            f"""SELECT avg((registered_at >= DATE '{day}' - INTERVAL 30 DAY)::INT)
                FROM listeners WHERE registered_at < DATE '{day}'""",
        )
        assert 0.12 < share < 0.23


def test_most_but_not_all_listeners_pick_three_to_five_artists(db: Db) -> None:
    counts = db.execute(
        "SELECT count(*) AS n, max(i.type), min(i.type) FROM signup_picks p JOIN items i USING"
        " (item_id) GROUP BY listener_id"
    ).fetchall()
    assert {c[1:] for c in counts} == {("artist", "artist")}
    assert max(c[0] for c in counts) == 5
    assert sum(c[0] >= 3 for c in counts) > 0.97 * len(counts)
    assert 0.8 < len(counts) / 600 < 0.9


def test_listening_is_heavy_tailed_and_about_nine_events_a_day(db: Db) -> None:
    mean = one(
        db,
        """SELECT avg(n) FROM (SELECT count(*) / count(DISTINCT started_at::DATE) AS n
           FROM events GROUP BY listener_id)""",
    )
    assert 6 < mean < 14
    per = "(SELECT listener_id, count(*) AS n FROM events GROUP BY 1)"
    assert one(db, f"SELECT quantile_cont(n, 0.95) / median(n) FROM {per}") > 2.5


REPLAYS = """
    SELECT date_diff('day', a.day, b.day) AS gap,
      count(DISTINCT (b.listener_id, b.item, b.day)) AS n
    FROM plays a JOIN plays b ON a.listener_id = b.listener_id AND a.item = b.item AND b.day > a.day
    WHERE a.day < DATE '2026-01-20' AND b.day <= a.day + 20 GROUP BY gap"""


def test_repeats_fall_with_time_as_memory_fades(db: Db) -> None:
    db.execute(
        """CREATE OR REPLACE TEMP TABLE plays AS SELECT DISTINCT listener_id,
           context_id AS item, started_at::DATE AS day FROM events WHERE context_id IS NOT NULL"""
    )
    by_gap = dict(db.execute(REPLAYS).fetchall())
    soon, later, late = by_gap[1], by_gap[7], by_gap[20]
    assert soon > later > late
    # A power law falls steeply at first and then ever more slowly; an exponential would not.
    assert soon / later > 1.1
    assert late > 0.3 * soon


def test_familiar_items_keep_to_a_daypart(db: Db) -> None:
    agree = one(
        db,
        """WITH p AS (
             SELECT listener_id, context_id,
               hour(started_at AT TIME ZONE 'UTC' AT TIME ZONE time_zone) // 6 AS part, event_id
             FROM events JOIN listeners USING (listener_id) WHERE context_id IS NOT NULL),
           s AS (SELECT *, lag(part) OVER w AS before, lag(event_id) OVER w AS id FROM p
                 WINDOW w AS (PARTITION BY listener_id, context_id ORDER BY event_id))
           SELECT avg((part = before)::INT) FROM s
           WHERE before IS NOT NULL AND event_id > id + 8""",
    )
    chance = one(
        db,
        """WITH p AS (SELECT listener_id,
             hour(started_at AT TIME ZONE 'UTC' AT TIME ZONE time_zone) // 6 AS part
             FROM events JOIN listeners USING (listener_id)),
           c AS (SELECT listener_id, part, count(*) AS n FROM p GROUP BY 1, 2),
           t AS (SELECT listener_id, sum(n) AS n, sum(n * n) AS nn FROM c GROUP BY 1)
           SELECT sum(nn / n) / sum(n) FROM t""",
    )
    assert agree > chance + 0.1


def test_new_shows_and_playlists_are_started_all_along(db: Db, report: WorldReport) -> None:
    for kind in ("show", "playlist"):
        starters = one(
            db,
            f"""WITH f AS (SELECT listener_id, context_id, min(started_at) AS first FROM events
                  JOIN items ON item_id = context_id WHERE type = '{kind}' AND ms_played >= 30000
                  GROUP BY 1, 2)
                SELECT count(DISTINCT listener_id) FROM f WHERE first >= DATE '2026-02-03'""",
        )
        assert starters > 0.4 * report.listeners


@pytest.mark.parametrize("kind", ["album", "playlist", "show"])
def test_new_items_keep_appearing(db: Db, kind: str) -> None:
    born = f"FROM items WHERE type = '{kind}' AND released_at >= DATE '2026-01-01'"
    assert one(db, f"SELECT count(*) {born}") > 2
    assert one(db, f"SELECT count(*) FROM events WHERE context_id IN (SELECT item_id {born})") > 0


def test_skips_are_short_and_neither_rare_nor_usual(db: Db) -> None:
    assert 0.05 < one(db, "SELECT avg((ms_played < 30000)::INT) FROM events") < 0.35
    assert one(db, "SELECT min(ms_played) FROM events") > 1000


def test_home_shows_cards_top_down_and_clicks_follow(db: Db) -> None:
    assert one(db, "SELECT min(position) FROM impressions") == 1
    shown = dict(
        db.execute(
            "SELECT position, count(*) FROM impressions WHERE shelf <> 'Jump back in' GROUP BY 1"
        ).fetchall()
    )
    assert shown[1] > shown[5] > shown[10]
    assert one(db, "SELECT avg((surface = 'home')::INT) FROM events") > 0.1
    surfaces = {row[0] for row in db.execute("SELECT DISTINCT surface FROM events").fetchall()}
    assert surfaces == {"home", "search", "library", "browse"}


def test_editorial_covers_the_end_of_the_world(db: Db) -> None:
    live = db.execute(
        """SELECT market, count(*), min(position), max(position) FROM editorial
           WHERE starts_at <= DATE '2026-02-10' AND ends_at > DATE '2026-02-10' GROUP BY 1"""
    ).fetchall()
    assert {row[0] for row in live} == {None, "US", "GB"}
    assert {row[1:] for row in live} == {(12, 1, 12)}


def test_titles_carry_the_tag_and_are_varied(db: Db) -> None:
    assert (
        one(
            db,
            """SELECT count(*) FROM items WHERE type IN ('show', 'playlist')
           AND NOT ends_with(title, ' · ' || tags[1])""",
        )
        == 0
    )
    assert one(db, "SELECT count(DISTINCT title) / count(*) FROM items") > 0.9
