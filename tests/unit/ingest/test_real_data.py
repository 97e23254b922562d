"""The two shipped mappings of public data, on that data."""

from datetime import date

from homerec.ingest import ingest


def test_lastfm_2k_comes_in_whole(app, kit, real_data):
    report = ingest(app.settings, source=real_data / "lastfm-2k", mapping="lastfm-2k", now=kit.NOW)
    events = report.tables["events"]
    assert (events.read, events.written, events.n_quarantined) == (92_834, 92_834, 0)
    assert report.new_keys == {"items": 17_632, "listeners": 1_892}
    assert (events.first, events.last) == (date(2011, 1, 1), date(2011, 3, 31))
    path = app.lake.partitions("events")
    (row,) = app.query(
        f"SELECT max(ms_played) AS most, min(ms_played) AS least FROM read_parquet('{path}/*/*')"
    )
    assert row == {"most": 86_400_000, "least": 30_000}
    titles = app.query(f"SELECT title FROM '{app.lake.table('items')}' WHERE item_id = 'artist-1'")
    assert titles == [{"title": "MALICE MIZER"}]
    assert any("spread" in note or "drawn between" in note for note in report.assumed)


def test_amazon_digital_music_comes_in_whole(app, kit, real_data):
    report = ingest(
        app.settings, source=real_data / "amazon-digital-music", mapping="amazon-digital-music",
        now=kit.NOW,
    )  # fmt: skip
    events = report.tables["events"]
    assert (events.read, events.written, events.n_quarantined) == (95_075, 95_075, 0)
    assert report.new_keys["listeners"] == 14_354
    assert (events.first, events.last) == (date(1998, 12, 17), date(2018, 9, 26))
    assert any("historical" in note for note in report.assumed)
