"""A bundle is read whole or refused with what is wrong and where."""

import json
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec.errors import EmptyInput, ReleaseError, SettingsError
from homerec.release.bundle import SCHEMA, read_bundle
from homerec.release.info import AuditLimits

ROWS = [
    {
        "listener": 1,
        "shelf": 0,
        "daypart": -1,
        "items": [5, 6],
        "sources": [1, 1],
        "reason_items": [0, 5],
        "proposers": [1, 33],
    },
    {
        "listener": 2,
        "shelf": 0,
        "daypart": -1,
        "items": [],
        "sources": [],
        "reason_items": [],
        "proposers": [],
    },
]
ABOUT = {
    "as_of": "2026-03-01",
    "degraded": True,
    "reasons": ["podcasts: no champion"],
    "versions": {},
    "shelves": [{"shelf": 0, "name": "a", "title": "A", "kind": "rule", "size": 5}],
    "sources": [{"source": 1, "name": "als", "label": None}],
    "market_defaults": {"*": -1},
    "eligible": 2,
}


@pytest.fixture
def write(tmp_path):
    def write_bundle(rows=ROWS, schema=None, **about):
        table = pa.Table.from_pylist(rows, schema=schema or pa.schema(list(SCHEMA.items())))
        pq.write_table(table, tmp_path / "shelves.parquet")
        values = {k: v for k, v in {**ABOUT, **about}.items() if v is not ...}
        (tmp_path / "release.json").write_text(json.dumps(values))
        return tmp_path

    return write_bundle


def test_a_whole_bundle_is_read(write):
    bundle = read_bundle(write())
    assert (bundle.as_of, bundle.degraded, bundle.eligible) == (date(2026, 3, 1), True, 2)
    (rows,) = bundle.batches()
    assert rows.offsets.tolist() == [0, 2, 2]
    assert rows.items.tolist() == [5, 6]
    assert rows.reason_items.tolist() == [0, 5]
    assert rows.proposers.tolist() == [1, 33]


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"eligible": ...}, "KeyError 'eligible'"),
        ({"as_of": "yesterday"}, "Invalid isoformat"),
        ({"market_defaults": {"*": 3}}, "not negative"),
        ({"shelves": [{**ABOUT["shelves"][0], "kind": "magic"}]}, "kind 'magic', known are model"),
        ({"shelves": [{**ABOUT["shelves"][0], "size": 0}]}, "size 0, at least 1"),
        ({"shelves": ABOUT["shelves"] * 2}, "shelf numbers twice"),
        ({"sources": ABOUT["sources"] * 2}, "source numbers twice"),
        ({"sources": 5}, "TypeError"),
    ],
)
def test_a_wrong_description_is_named(write, about, message):
    with pytest.raises(ReleaseError, match=message):
        read_bundle(write(**about))


@pytest.mark.parametrize("name", ["release.json", "shelves.parquet"])
def test_a_missing_file_is_named(write, name):
    folder = write()
    (folder / name).unlink()
    with pytest.raises(ReleaseError, match=f"has no {name}"):
        read_bundle(folder)


@pytest.mark.parametrize("about", [{"rows": []}, {"eligible": 0}])
def test_an_empty_release_is_refused(write, about):
    with pytest.raises(EmptyInput, match="an empty release is never published"):
        read_bundle(write(**about))


def test_a_column_of_another_type_is_named(write):
    schema = pa.schema(list({**SCHEMA, "listener": pa.int64()}.items()))
    with pytest.raises(ReleaseError, match="column 'listener' is int64, int32 is needed"):
        read_bundle(write(schema=schema))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": [1]}, "in 1 rows sources and items differ in length, first for listener 1"),
        (
            {"proposers": [1]},
            "in 1 rows proposers and items differ in length, first for listener 1",
        ),
        ({"shelf": None}, "1 rows have no shelf"),
        ({"items": [5, None]}, "1 elements of items are null"),
    ],
)
def test_a_broken_row_is_named(write, change, message):
    bundle = read_bundle(write(rows=[{**ROWS[0], **change}, ROWS[1]]))
    with pytest.raises(ReleaseError, match=message):
        list(bundle.batches())


def test_a_list_of_null_is_refused(write):
    bundle = read_bundle(write(rows=[{**ROWS[0], "items": None}, ROWS[1]]))
    with pytest.raises(ReleaseError, match="1 rows have no items"):
        list(bundle.batches())


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_limits_are_shares(value):
    with pytest.raises(SettingsError, match="allowed is 0 to 1"):
        AuditLimits(min_count_ratio=value)
