"""Which source an argument names."""

from pathlib import Path

import pytest

from homerec.errors import MappingError, SourceError
from homerec.ingest import load_mapping
from homerec.ingest.sources import locate, shown, without_password
from homerec.ingest.sources.database import Database
from homerec.ingest.sources.folder import Folder
from homerec.ingest.sources.objects import ObjectStore

FILES = 'listeners: {files: "l/*", columns: identity}'
QUERY = "items: {table: catalog, columns: identity}"
SECRET_URL = "postgresql+psycopg2://ada:canary@db.example/log"


@pytest.fixture
def mapping(tmp_path):
    def go(*tables, url_env=None):
        path = tmp_path / "m.yaml"
        lines = ["name: mine", "tables:", *(f"  {t}" for t in tables)]
        path.write_text("\n".join(lines + ([f"url_env: {url_env}"] if url_env else [])))
        return load_mapping(path)

    return go


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        ("/data/log", Folder, "/data/log"),
        (Path("/data/log"), Folder, "/data/log"),
        ("file:///data/log", Folder, "/data/log"),
        ("/data/a b:c", Folder, "/data/a b:c"),
        ("memory://bucket/log/", ObjectStore, "memory://bucket/log"),
        ("s3://bucket/log", ObjectStore, "s3://bucket/log"),
    ],
)
def test_files_are_looked_for_where_the_argument_says(source, kind, name, mapping, tmp_path):
    found = locate(source, mapping(FILES), tmp_path, {})
    assert isinstance(found.files, kind)
    assert found.shown == name
    assert found.database is None


def test_without_an_argument_it_is_the_inbox_or_the_variable(mapping, tmp_path):
    assert locate(None, mapping(FILES), tmp_path, {}).shown == str(tmp_path)
    environ = {"LOG_URL": SECRET_URL}
    found = locate(None, mapping(QUERY, url_env="LOG_URL"), tmp_path, environ)
    assert found.files is None
    assert found.shown == "postgresql+psycopg2://ada:***@db.example/log"
    both = locate("memory://b/x", mapping(FILES, QUERY, url_env="LOG_URL"), tmp_path, environ)
    assert isinstance(both.files, ObjectStore)
    assert isinstance(both.database, Database)
    assert "memory://b/x and postgresql" in both.shown


def test_an_argument_is_stronger_than_the_variable(mapping, tmp_path):
    environ = {"LOG_URL": SECRET_URL}
    found = locate("sqlite:///x.db", mapping(QUERY, url_env="LOG_URL"), tmp_path, environ)
    assert found.shown == "sqlite:///x.db"


@pytest.mark.parametrize(
    ("source", "tables", "url_env", "error", "message"),
    [
        (SECRET_URL, [FILES, QUERY], None, MappingError, "reads files for listeners"),
        ("/data", [QUERY], "LOG_URL", MappingError, "reads none: all its tables are queries"),
        ("s3://b/x", [QUERY], "LOG_URL", MappingError, "reads none: all its tables are queries"),
        (None, [QUERY], None, MappingError, "has queries for items, and no database.*url_env"),
        ("/data", [FILES, QUERY], None, MappingError, "and no database"),
        (None, [QUERY], "LOG_URL", SourceError, "variable LOG_URL, .* is not set"),
        ("gcss://bucket/log", [QUERY], None, SourceError, "gcss://bucket/log cannot be opened"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(
    source, tables, url_env, error, message, mapping, tmp_path
):
    with pytest.raises(error, match=message) as caught:
        locate(source, mapping(*tables, url_env=url_env), tmp_path, {})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (SECRET_URL, "postgresql+psycopg2://ada:***@db.example/log"),
        ("sftp://ada:canary@host/log", "sftp://ada:***@host/log"),
        ("https://host/log?sig=1&access_token=canary", "https://host/log?sig=1&access_token=***"),
        ("s3://bucket/log", "s3://bucket/log"),
        ("/data/a:b@c", "/data/a:b@c"),
        (Path("/data"), "/data"),
    ],
)
def test_a_source_is_shown_without_its_password(source, expected):
    assert shown(source) == expected


@pytest.mark.parametrize("source", ["", "/data", "s3://bucket/log", "postgresql://ada@host/log"])
def test_a_source_without_a_password_may_be_kept(source):
    assert without_password(source) == source


@pytest.mark.parametrize(
    "source",
    [SECRET_URL, "sftp://ada:canary@host/x", "postgresql://h/d?password=canary"],
)
def test_a_source_with_a_password_is_refused_where_it_would_be_kept(source):
    with pytest.raises(SourceError, match=r"Change that password.*url_env") as caught:
        without_password(source)
    assert "canary" not in str(caught.value)
