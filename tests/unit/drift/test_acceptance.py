from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from homerec.drift.acceptance import accept, accepted_on, accepted_path, read_accepted, revoke
from homerec.errors import SettingsError

NOW = datetime(2026, 3, 15, 9, tzinfo=UTC)
UNTIL = date(2026, 3, 22)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return accepted_path(tmp_path)


def test_an_acceptance_holds_until_its_date_for_its_model(path: Path) -> None:
    made = accept(path, "podcasts", "genre", UNTIL, "news week", "ada", now=NOW)
    assert accepted_on(path, "podcasts", date(2026, 3, 22)) == {"genre": made}
    assert accepted_on(path, "podcasts", date(2026, 3, 23)) == {}
    assert accepted_on(path, "playlists", date(2026, 3, 16)) == {}
    assert made.accepted_at == "2026-03-15T09:00:00+00:00"


def test_without_a_file_nothing_is_accepted(path: Path) -> None:
    assert read_accepted(path) == []
    assert accepted_on(path, "podcasts", UNTIL) == {}
    assert not revoke(path, "podcasts", "genre")


def test_a_later_acceptance_replaces_the_earlier(path: Path) -> None:
    accept(path, "podcasts", "genre", UNTIL, "news week", "ada", now=NOW)
    accept(path, "podcasts", "score", UNTIL, "new factors", "ada", now=NOW)
    later = accept(path, "podcasts", "genre", date(2026, 4, 1), "election", "bob", now=NOW)
    assert {a.feature for a in read_accepted(path)} == {"genre", "score"}
    assert accepted_on(path, "podcasts", date(2026, 3, 30)) == {"genre": later}


def test_an_acceptance_can_be_taken_back(path: Path) -> None:
    accept(path, "podcasts", "genre", UNTIL, "news week", "ada", now=NOW)
    assert revoke(path, "podcasts", "genre")
    assert read_accepted(path) == []


def test_an_acceptance_needs_words_and_a_date_to_come(path: Path) -> None:
    with pytest.raises(SettingsError, match="reason, who is empty"):
        accept(path, "podcasts", "genre", UNTIL, " ", "", now=NOW)
    with pytest.raises(SettingsError, match="that date has passed"):
        accept(path, "podcasts", "genre", date(2026, 3, 14), "news", "ada", now=NOW)
    assert not path.exists()


@pytest.mark.parametrize("text", ["{", '[{"model": "x"}]', "3"])
def test_a_damaged_file_is_an_error_and_not_an_acceptance(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(SettingsError, match="cannot be read"):
        accepted_on(path, "podcasts", UNTIL)
