"""Objects behind a URI; fsspec's own memory stands for a store here, a server in integration."""

import errno
import sys
from collections import namedtuple
from types import SimpleNamespace

import botocore.exceptions
import fsspec
import pytest

from homerec.errors import EmptyInput, MalformedFile, SourceError, TransientError
from homerec.ingest import dry_run, ingest
from homerec.ingest.sources import objects
from homerec.ingest.sources.folder import Folder
from homerec.ingest.sources.objects import ObjectStore


@pytest.fixture
def store(request):
    """A fresh bucket in memory."""
    files = fsspec.filesystem("memory")
    root = f"/bucket{abs(hash(request.node.nodeid))}"
    yield SimpleNamespace(
        uri=f"memory:/{root}",
        put=lambda name, data: files.pipe_file(f"{root}/{name}", data),
        remove=lambda name: files.rm_file(f"{root}/{name}"),
    )
    files.rm(root, recursive=True) if files.exists(root) else None


def table(*patterns):
    return SimpleNamespace(files=patterns)


NAMES = [
    "events/b.csv", "events/a.csv", "events/.hidden", "events/_part", "events/c.csv.tmp",
    "events/d.part", "events/2026/03/x.parquet", "events/2026/y.parquet", "events-old/z.csv",
    "top.csv", "items/[1].csv", "items/ä b.csv", "items/A.csv", "items/a.csv",
]  # fmt: skip
PATTERNS = [
    ("events/*",), ("events/*.csv", "events/a.*"), ("events/**/*.parquet",), ("**/*.csv",),
    ("events/*/*.parquet",), ("*",), ("*.csv",), ("events/a.csv",), ("items/[A-Z].csv",),
    ("items/[[]1].csv",), ("nothing/*",), ("**/2026/*",), ("events/**",), ("e*/?.csv",),
    ("**/**/*.csv",), ("top.csv/*",),
]  # fmt: skip


@pytest.mark.parametrize("patterns", PATTERNS, ids=" ".join)
def test_patterns_match_objects_as_they_match_files(patterns, store, tmp_path):
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        store.put(name, name.encode())
    found = ObjectStore(store.uri).find(table(*patterns))
    expected = Folder(tmp_path).find(table(*patterns))
    assert [f.name for f in found] == [f.name for f in expected]
    assert [f.size for f in found] == [f.size for f in expected]
    assert all(f.label == f"{store.uri}/{f.name}" for f in found)


def test_objects_are_copied_in_order_whatever_their_names(store, tmp_path):
    names = [f"events/{'x' * 900}{i}.csv" for i in range(30)]
    for name in names:
        store.put(name, name.encode())
    source = ObjectStore(store.uri)
    found = source.find(table("events/*"))
    steps = []
    paths = source.fetch(found, tmp_path, steps.append)
    assert paths == sorted(paths)
    assert [p.read_text() for p in paths] == [f.name for f in found]
    assert all(p.suffix == ".csv" for p in paths)
    assert "(30 of 30 objects, 0 of 0 MiB)" in steps[-1]


def test_the_listing_is_that_of_now(store):
    source = ObjectStore(store.uri)
    store.put("events/a.csv", b"1")
    assert len(source.find(table("events/*"))) == 1
    store.put("events/b.csv", b"1")
    assert len(ObjectStore(store.uri).find(table("events/*"))) == 2


def test_an_object_that_changes_while_it_is_copied_is_refused(store, tmp_path):
    store.put("events/a.csv", b"1")
    source = ObjectStore(store.uri)
    found = source.find(table("events/*"))
    store.put("events/a.csv", b"12")
    with pytest.raises(TransientError, match=r"changed while it was copied: 1 bytes .* 2 came"):
        source.fetch(found, tmp_path, lambda _: None)


def test_an_object_that_vanishes_is_an_error(store, tmp_path):
    store.put("events/a.csv", b"1")
    source = ObjectStore(store.uri)
    found = source.find(table("events/*"))
    store.remove("events/a.csv")
    with pytest.raises(SourceError, match=f"{store.uri}/events/a.csv is not there"):
        source.fetch(found, tmp_path, lambda _: None)


def test_a_disk_without_room_is_said_before_it_is_filled(store, tmp_path, monkeypatch):
    store.put("events/a.csv", b"x" * 100)
    source = ObjectStore(store.uri)
    found = source.find(table("events/*"))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(objects.shutil, "disk_usage", lambda _: usage(objects.KEEP_FREE + 99))
    with pytest.raises(SourceError, match=r"1 objects .* GiB are free"):
        source.fetch(found, tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(objects.shutil, "disk_usage", lambda _: usage(objects.KEEP_FREE + 100))
    assert len(source.fetch(found, tmp_path, lambda _: None)) == 1


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (PermissionError("Forbidden"), SourceError, "may not be read: Forbidden.*AWS_PROFILE"),
        (OSError(errno.EINVAL, "bad region"), SourceError, "was refused.*bad region"),
        (OSError(errno.EIO, "reset"), TransientError, "cannot be reached.*reset"),
        (TimeoutError(), TransientError, "cannot be reached: TimeoutError"),
        (ConnectionRefusedError("no"), TransientError, "cannot be reached: no"),
        (
            botocore.exceptions.EndpointConnectionError(endpoint_url="http://x?token=canary"),
            TransientError,
            "cannot be reached",
        ),
        (botocore.exceptions.NoCredentialsError(), SourceError, "the environment has none"),
        (
            botocore.exceptions.ParamValidationError(report="Invalid bucket name"),
            SourceError,
            "was refused.*Invalid bucket name",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_of_a_store_say_whether_a_retry_may_help(error, kind, message, store, monkeypatch):
    store.put("events/a.csv", b"x")

    def fail(*_, **__):
        raise error

    source = ObjectStore(store.uri)
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "ls", fail)
    with pytest.raises(kind, match=message) as caught:
        source.find(table("events/*"))
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_error_that_is_no_stores_is_not_taken_for_one(store, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("a bug")

    source = ObjectStore(store.uri)
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "ls", fail)
    with pytest.raises(ZeroDivisionError):
        source.find(table("events/*"))


@pytest.mark.parametrize(
    ("uri", "module", "message"),
    [
        ("s3://bucket/log", "s3fs", r"pip install 'homerec\[s3\]'"),
        ("gs://bucket/log", "gcsfs", "install fsspec's package for it"),
    ],
)
def test_a_missing_package_is_named(uri, module, message, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    loaded = sys.modules["fsspec.registry"]._registry
    for scheme in ("s3", "s3a", "gs", "gcs"):
        monkeypatch.delitem(loaded, scheme, raising=False)
    with pytest.raises(SourceError, match=message):
        ObjectStore(uri)


def test_a_source_without_objects_is_said(store, app):
    with pytest.raises(SourceError, match="is not there"):
        ingest(app.settings, source=store.uri)
    store.put("events/.hidden", b"x")
    with pytest.raises(EmptyInput, match=rf"{store.uri} has no file .*events/\*"):
        ingest(app.settings, source=store.uri)


def test_titles_are_read_from_the_store_too(store, app, kit, tmp_path):
    mapping = tmp_path / "m.yaml"
    mapping.write_text("""
        tables:
          events:
            files: log.csv
            columns: {listener_id: u, show_id: s, started_at: t, ms_played: {constant: 1}}
            arrival: historical
        derive:
          listeners: {from: events, market: US, time_zone: UTC}
          items:
            from: events
            column: show_id
            type: show
            titles: {file: names/shows.tsv, id: id, title: name}
        """)
    store.put("log.csv", b"u,s,t\na,s1,2026-03-01\n")
    with pytest.raises(MalformedFile, match=f"{store.uri}/names/shows.tsv is named in the mapping"):
        ingest(app.settings, source=store.uri, mapping=mapping, now=kit.NOW)
    store.put("names/shows.tsv", b"id\tname\ns1\tThe News\n")
    ingest(app.settings, source=store.uri, mapping=mapping, now=kit.NOW)
    assert [r["title"] for r in app.rows("items")] == ["The News"]
    # One object as the source: what lies beside it belongs to it.
    other = type(app)(tmp_path / "other")
    ingest(other.settings, source=f"{store.uri}/log.csv", mapping=mapping, now=kit.NOW)
    assert [r["title"] for r in other.rows("items")] == ["The News"]


def test_a_key_with_dots_stays_in_the_quarantines_folder(store, app, kit):
    store.put("listeners/a.csv", kit.as_csv(kit.LISTENERS))
    store.put("listeners/b..csv", b"who\n1\n")
    report = ingest(app.settings, source=store.uri, now=kit.NOW, set_aside_files=True)
    copies = [p for p in app.lake.quarantine.rglob("*") if p.is_file()]
    assert [p.name for p in copies] == ["b__csv"]
    assert list(report.set_aside_files) == ["listeners/b..csv"]


def test_a_dry_run_copies_few_objects_of_events(store, app, kit):
    for name, rows in (
        ("items", kit.ITEMS), ("contents", kit.CONTENTS), ("listeners", kit.LISTENERS),
    ):  # fmt: skip
        for i, row in enumerate(rows):
            store.put(f"{name}/{i}.csv", kit.as_csv([row]))
    for i in range(5):
        store.put(f"events/{i}.csv", kit.as_csv([kit.event(i)]))
    result = dry_run(app.settings, store.uri, now=kit.NOW)
    assert result.report.tables["events"].read == 3
    assert result.report.tables["events"].n_quarantined == 0, "the catalog is whole"
    assert "events: only the first 3 of 5 objects were looked at" in result.render()


def test_an_object_store_skips_what_the_lake_holds(store, app, kit, monkeypatch):
    store.put("listeners/a.csv", kit.as_csv(kit.LISTENERS))
    ingest(app.settings, source=store.uri, now=kit.NOW)
    copied = []
    real = ObjectStore._copy
    monkeypatch.setattr(ObjectStore, "_copy", lambda *a: (copied.append(a[1].name), real(*a))[1])
    report = ingest(app.settings, source=store.uri, now=kit.NOW)
    assert (report.tables["listeners"].skipped, copied) == (1, [])
    store.put("listeners/a.csv", kit.as_csv(kit.LISTENERS[:2]))
    report = ingest(app.settings, source=store.uri, now=kit.NOW)
    assert copied == ["listeners/a.csv"]


def test_a_store_that_tells_nothing_of_its_objects_is_read_each_time(store, app, kit, monkeypatch):
    monkeypatch.setattr(objects, "_STAMPS", ())
    store.put("listeners/a.csv", kit.as_csv(kit.LISTENERS))
    for _ in range(2):
        report = ingest(app.settings, source=store.uri, now=kit.NOW)
        assert report.tables["listeners"].read == 3
