"""Steps that do more than call the library."""

from pathlib import Path

import pytest

from homerec.errors import EmptyInput, SourceError
from homerec_airflow import steps


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEREC_HOME", str(tmp_path))


def test_a_password_in_the_form_is_refused_and_not_repeated() -> None:
    with pytest.raises(SourceError, match="Change that password") as caught:
        steps.ingest("postgresql://ada:canary@host/log", "homerec")
    assert "canary" not in str(caught.value)


def test_an_empty_source_is_the_inbox(tmp_path: Path) -> None:
    with pytest.raises(EmptyInput, match=f"{tmp_path}/inbox has no file"):
        steps.ingest("", "homerec")


def test_a_uri_is_handed_on() -> None:
    with pytest.raises(SourceError, match="memory://nowhere/log is not there"):
        steps.ingest("memory://nowhere/log", "homerec")
