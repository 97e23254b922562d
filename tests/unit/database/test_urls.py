"""Addresses: what is given, what is derived, and that no message holds a password."""

import pytest

from homerec.database import ports, secrets, urls
from homerec.errors import DatabaseError, SettingsError
from homerec.settings import Settings


def test_a_given_url_is_used_with_our_driver(tmp_path, monkeypatch):
    settings = Settings(
        home=tmp_path, database_url="postgresql://u:p%40ss@db:5433/mine?sslmode=require"
    )
    assert urls.app_url(settings) == "postgresql+psycopg2://u:p%40ss@db:5433/mine?sslmode=require"
    monkeypatch.delenv("HOMEREC_READER_URL", raising=False)
    assert urls.reader_url(settings) is None
    monkeypatch.setenv("HOMEREC_READER_URL", "postgres://r:x@db/mine")
    assert urls.reader_url(settings) == "postgresql+psycopg2://r:x@db/mine"


def test_mlflow_lives_in_its_schema_beside_other_options(tmp_path):
    plain = Settings(home=tmp_path, database_url="postgresql://u:p@db/mine")
    assert urls.mlflow_url(plain).endswith("/mine?options=-csearch_path%3Dmlflow")
    given = Settings(home=tmp_path, database_url="postgresql://u:p@db/mine?options=-cjit%3Doff")
    assert urls.mlflow_url(given).endswith("options=-cjit%3Doff+-csearch_path%3Dmlflow")
    tracked = Settings(home=tmp_path, mlflow_tracking_uri="http://mlflow:5000")
    assert urls.mlflow_url(tracked) == "http://mlflow:5000"


@pytest.mark.parametrize("url", ["mysql://u:hidden@db/x", "hidden"])
def test_another_kind_of_url_is_refused_without_its_password(tmp_path, url):
    with pytest.raises(SettingsError, match="database URL") as caught:
        urls.app_url(Settings(home=tmp_path, database_url=url))
    assert "hidden" not in str(caught.value)


def test_without_a_server_the_next_step_is_named(tmp_path):
    with pytest.raises(DatabaseError, match=r"was never started. Start it with: homerec db start"):
        urls.app_url(Settings(home=tmp_path))


def test_secrets_are_made_once_and_are_private(tmp_path):
    settings = Settings(home=tmp_path)
    first = secrets.ensure_secrets(settings, "a")
    second = secrets.ensure_secrets(settings, "a", "b")
    assert second["a"] == first["a"]
    assert len({*second.values()}) == 2
    assert secrets.secrets_file(settings).stat().st_mode & 0o777 == 0o600
    secrets.secrets_file(settings).write_text("[]")
    with pytest.raises(DatabaseError, match="holds list"):
        secrets.read_secrets(settings)


@pytest.mark.parametrize("value", ["80", "70000", "abc", "-1"])
def test_a_port_out_of_range_is_refused(monkeypatch, value):
    monkeypatch.setenv("HOMEREC_DB_PORT", value)
    with pytest.raises(SettingsError, match="1024 to 65535"):
        ports.wanted_port()
