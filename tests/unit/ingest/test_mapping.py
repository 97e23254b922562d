"""Mapping files: what they can say, and how a mistake in them is reported."""

from datetime import datetime, timedelta

import pytest
import yaml

from homerec.errors import MalformedFile, MappingError
from homerec.ingest import CONTRACTS, ingest, load_mapping


@pytest.fixture
def write(tmp_path):
    def go(value):
        path = tmp_path / "mine.yaml"
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
        return path

    return go


def log_mapping(**changes):
    """A team's own event log, with listeners and items derived from it."""
    events = {
        "files": "log.*",
        "columns": {
            "listener_id": {"column": "user", "prefix": "u-"},
            "show_id": "podcast",
            "started_at": {"column": "t", "unit": "unix_seconds"},
            "ms_played": {"column": "played", "unit": "seconds->ms", "max": 86_400_000},
        },
        "arrival": "ingest",
    } | changes
    derive = {
        "listeners": {"from": "events", "market": "DE", "time_zone": "Europe/Berlin"},
        "items": {"from": "events", "column": "show_id", "type": "show"},
    }
    return {"name": "mine", "tables": {"events": events}, "derive": derive}


def changed_columns(**changes):
    value = log_mapping()
    value["tables"]["events"]["columns"].update(changes)
    return value


LOG = [
    {"user": "1", "podcast": "p", "t": "1772366400", "played": "90.5", "kind": "play"},
    {"user": "2", "podcast": "q", "t": "1772370000", "played": "99999999", "kind": "skip"},
]


@pytest.mark.parametrize("name", ["homerec", "amazon-digital-music", "lastfm-2k"])
def test_shipped_mappings_are_valid(name):
    assert load_mapping(name).name == name


def test_the_identity_mapping_names_every_contract_table_and_column():
    mapping = load_mapping("homerec")
    assert list(mapping.tables) == list(CONTRACTS)
    for name, table in mapping.tables.items():
        assert tuple(table.columns) == CONTRACTS[name].names


def test_a_teams_own_log_needs_no_code(app, kit, write):
    app.put_bytes("log.csv", kit.as_csv(LOG))
    report = ingest(app.settings, source=app.inbox, mapping=write(log_mapping()), now=kit.NOW)
    first, second = app.rows("events")
    assert first["ms_played"] == 90_500
    assert second["ms_played"] == 86_400_000
    assert first["started_at"] == datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001 - naive UTC in the lake
    assert first["arrived_at"] == kit.NOW.replace(tzinfo=None)
    assert set(app.keys("listeners")) == {"u-1", "u-2"}
    (item, _) = app.rows("items")
    assert (item["item_id"], item["title"], item["type"]) == ("p", "p", "show")
    assert item["released_at"] == datetime(2026, 3, 1)  # noqa: DTZ001 - naive UTC in the lake
    assert {r["time_zone"] for r in app.rows("listeners")} == {"Europe/Berlin"}
    assert report.derived == {"items": 2, "listeners": 2}
    assert any("market DE" in note for note in report.assumed)


def test_derived_rows_never_replace_known_ones(app, kit, write):
    mapping = write(log_mapping())
    app.put_bytes("log.csv", kit.as_csv(LOG))
    ingest(app.settings, source=app.inbox, mapping=mapping, now=kit.NOW)
    before = app.rows("items"), app.rows("listeners")
    earlier = [r | {"t": str(int(r["t"]) - 86_400)} for r in LOG]
    app.put_bytes("log.csv", kit.as_csv(earlier))
    later = kit.NOW + timedelta(hours=1)
    ingest(app.settings, source=app.inbox, mapping=mapping, now=later)
    assert (app.rows("items"), app.rows("listeners")) == before
    assert len(app.rows("events")) == 4


@pytest.mark.parametrize(
    ("unit", "value"),
    [("unix_seconds", "1772366400"), ("unix_ms", "1772366400000"), ("unix_us", "1772366400000000"),
     ("unix_seconds", "1772366400.0"), ("iso8601", "2026-03-01T13:00:00+01:00")],
)  # fmt: skip
def test_every_unit_of_time_means_the_same_instant(unit, value, app, kit, write):
    app.put_bytes("log.csv", kit.as_csv([LOG[0] | {"t": value}]))
    mapping = write(changed_columns(started_at={"column": "t", "unit": unit}))
    ingest(app.settings, source=app.inbox, mapping=mapping, now=kit.NOW)
    assert app.rows("events")[0]["started_at"] == datetime(2026, 3, 1, 12)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"column": "played", "unit": "minutes->ms"}, 5_430_000),
        ({"column": "played", "multiply": 10}, 905),
        ({"column": "played", "multiply": 1, "min": 1000}, 1000),
        ({"constant": 30_000}, 30_000),
        ({"column": "absent", "optional": True, "default": 7}, 7),
        ({"column": "empty", "default": 8}, 8),
    ],
)
def test_numbers_are_converted(how, expected, app, kit, write):
    app.put_bytes("log.csv", kit.as_csv([LOG[0] | {"empty": None}]))
    ingest(app.settings, source=app.inbox, mapping=write(changed_columns(ms_played=how)),
           now=kit.NOW)  # fmt: skip
    assert app.rows("events")[0]["ms_played"] == expected


def test_texts_are_replaced_and_only_some_rows_are_read(app, kit, write):
    value = changed_columns(surface={"column": "kind", "values": {"play": "library"}})
    value["tables"]["events"]["only"] = {"kind": ["play"]}
    for form in ("csv", "jsonl"):
        app.put_bytes(f"log.{form}", getattr(kit, f"as_{form}")(LOG))
    report = ingest(app.settings, source=app.inbox, mapping=write(value), now=kit.NOW)
    (row,) = app.rows("events")
    assert row["surface"] == "library"
    assert report.tables["events"].duplicates == 1, "the same row from two kinds of file"


def test_nested_json_is_reached_by_a_dotted_name(app, kit, write):
    rows = [{"user": {"id": 5}, "podcast": "p", "t": 1772366400, "played": 60}]
    app.put_bytes("log.jsonl", kit.as_jsonl(rows))
    mapping = write(changed_columns(listener_id="user.id"))
    ingest(app.settings, source=app.inbox, mapping=mapping, now=kit.NOW)
    assert set(app.keys("listeners")) == {"5"}


def test_csv_without_header_in_latin_1(app, kit, write):
    csv = {"delimiter": ";", "header": False, "names": ["user", "podcast", "t", "played"],
           "encoding": "latin-1", "nulls": ["-"]}  # fmt: skip
    app.put_bytes("log.csv", "1;café;1772366400;60\n2;-;1772366400;60\n".encode("latin-1"))
    value = log_mapping(csv=csv)
    settings = app.settings.__class__(home=app.settings.home, quarantine_limit_ratio=1.0)
    report = ingest(settings, source=app.inbox, mapping=write(value), now=kit.NOW)
    assert set(app.keys("items")) == {"café"}
    assert report.tables["events"].quarantined == {"no_item": 1}


def test_a_spread_time_is_in_its_range_and_always_the_same(app, kit, write, tmp_path, make_app):
    spread = {"from": "2025-01-01", "to": "2025-02-01", "by": ["user", "podcast"]}
    mapping = write(changed_columns(started_at={"spread": spread}))
    rows = [LOG[0] | {"podcast": f"p{i}"} for i in range(200)]
    other = make_app(tmp_path / "other")
    for a, data in ((app, rows), (other, rows[::-1])):
        a.put_bytes("log.csv", kit.as_csv(data))
        report = ingest(a.settings, source=a.inbox, mapping=mapping, now=kit.NOW)
    assert app.rows("events") == other.rows("events")
    days = app.lake.event_dates()
    assert len(days) > 28
    assert (days[0].month, days[-1].month) == (1, 1)
    assert any("drawn between 2025-01-01 and 2025-02-01" in note for note in report.assumed)


WRONG = {
    "not yaml": ("tables: [", "not valid YAML"),
    "no tables": ({"name": "x"}, "tables must be"),
    "unknown top key": (log_mapping() | {"tabels": {}}, "did you mean 'tables'"),
    "unknown table": ({"tables": {"event": {}}}, "did you mean 'events'"),
    "unknown table key": (log_mapping(file="x"), "did you mean 'files'"),
    "unknown column": (changed_columns(ms_playd="x"), "did you mean 'ms_played'"),
    "unknown conversion": (changed_columns(show_id={"column": "x", "prefx": "y"}), "'prefix'"),
    "unknown unit": (changed_columns(started_at={"column": "t", "unit": "hours"}), "unix_seconds"),
    "unit of another type": (changed_columns(ms_played={"column": "t", "unit": "unix_ms"}),
                             "seconds->ms"),
    "conversion of another type": (changed_columns(show_id={"column": "x", "multiply": 2}),
                                   "multiply does not apply"),
    "two sources": (changed_columns(show_id={"column": "x", "constant": "y"}), "exactly one of"),
    "constant of another type": (changed_columns(ms_played={"constant": "long"}), "whole number"),
    "constant not a time": (changed_columns(started_at={"constant": "soon"}), "a time such as"),
    "default of another type": (changed_columns(ms_played={"column": "x", "default": "long"}),
                                "whole number"),
    "required column missing": (
        {"tables": {"listeners": {"files": "x", "columns": {"listener_id": "a"}}}},
        "no source for the required market, time_zone, registered_at"),
    "no files": (log_mapping(files=[]), "needs 'files'"),
    "files elsewhere": (log_mapping(files="../x.csv"), "stay in the source folder"),
    "unknown format": (log_mapping(format="xml"), "allowed are parquet, csv, jsonl"),
    "unknown arrival": (log_mapping(arrival="later"), "ingest, historical"),
    "header and names": (log_mapping(csv={"names": ["a"]}), "if, and only if"),
    "spread backwards": (
        changed_columns(
            started_at={"spread": {"from": "2011-02-01", "to": "2011-01-01", "by": "user"}}),
        "'from' before 'to'"),
    "derived market": (
        log_mapping() | {"derive": {"listeners": {"from": "events", "market": "Germany",
                                                  "time_zone": "UTC"}}}, "two capital letters"),
    "derived time zone": (
        log_mapping() | {"derive": {"listeners": {"from": "events", "market": "DE",
                                                  "time_zone": "Berlin"}}}, "IANA"),
    "derived column": (
        log_mapping() | {"derive": {"items": {"from": "events", "column": "album_id",
                                              "type": "album"}}}, "that tables.events maps"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_mapping_names_the_place_and_the_choices(case, write):
    value, message = WRONG[case]
    with pytest.raises(MappingError, match=message) as caught:
        load_mapping(write(value))
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(("name", "message"), [("nope", "shipped are"), ("a/b.yaml", "not exist")])
def test_a_mapping_that_is_not_there_says_which_are(name, message):
    with pytest.raises(MappingError, match=message):
        load_mapping(name)


def test_titles_come_from_a_second_file(app, kit, write):
    value = log_mapping()
    value["derive"]["items"]["titles"] = {"file": "titles.csv", "id": "id", "title": "name"}
    app.put_bytes("log.csv", kit.as_csv(LOG))
    app.put_bytes("titles.csv", b"id,name\np,The P\n")
    ingest(app.settings, source=app.inbox, mapping=write(value), now=kit.NOW)
    assert {r["title"] for r in app.rows("items")} == {"The P", "q"}


def test_a_damaged_file_that_rows_are_derived_from_is_named(app, kit, write):
    value = log_mapping(files="log.parquet")
    path = app.put_bytes("log.parquet", kit.as_parquet(
        [LOG[0] | {"user": f"u{i}", "podcast": f"p{i}"} for i in range(5_000)]))  # fmt: skip
    data = bytearray(path.read_bytes())
    data[60:2_000] = bytes(b ^ 0x5A for b in data[60:2_000])
    path.write_bytes(data)
    with pytest.raises(MalformedFile, match=r"log\.parquet"):
        ingest(app.settings, source=app.inbox, mapping=write(value), now=kit.NOW)
