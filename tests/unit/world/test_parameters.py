from pathlib import Path

import pytest

from homerec.errors import SettingsError
from homerec.world import load_parameters


def overlay(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_the_committed_file_is_valid() -> None:
    p = load_parameters()
    assert (p.calendar.days, p.population.listeners) == (60, 2000)
    assert (len(p.tags.music), len(p.tags.podcast)) == (24, 16)
    assert len(p.markets) >= 5
    assert len({zone for m in p.markets for zone in m.zones}) > 5


def test_a_file_may_set_only_what_differs(tmp_path: Path) -> None:
    p = load_parameters(overlay(tmp_path, "seed = 4\n[catalog]\nshows = 20_000\n"))
    assert (p.seed, p.catalog.shows) == (4, 20_000)
    assert p.catalog.artists == load_parameters().catalog.artists


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed = 1", "sets speed; known in .top level. are calendar"),
        ("[taste]\nsharp = 1", r"sets taste\.sharp; known in \[taste\]"),
        ("[memory]\ncapacity = 4", r"memory\.capacity is 4, allowed is 8 to 256"),
        ("[memory]\ncapacity = 10.5", r"memory\.capacity is 10\.5, a int is needed"),
        ("[memory]\ndecay = true", r"memory\.decay is True, a float is needed"),
        ("[memory]\ndecay = nan", r"memory\.decay is nan, allowed"),
        ("memory = 3", r"\[memory\] must be a table"),
        ("[calendar]\nstart = 2026-01-01T00:00:00Z", r"calendar\.start is .*a date is needed"),
        ("[tags]\nmusic = ['jazz', 'jazz']", r"tags\.music: a tag is there twice"),
        ("[tags]\nmusic = 'jazz'", r"tags\.music is 'jazz', a list is needed"),
        ("[tags]\nmusic = ['jazz', 3]", r"tags\.music\[1\] is 3, a str is needed"),
        ("[rhythm]\ndayparts = [0.5, 0.5]", r"rhythm\.dayparts is .*four shares above 0"),
        ("[population]\nsignup_min = 7", r"signup_min is above signup_max"),
        ("[novelty]\nartist_share = 0.9", r"artist_share \+ novelty\.album_share is above 1"),
        ("[arrival]\nlate_ratio = 1.0", r"late_ratio \+ arrival\.stray_ratio is above 1"),
        ("markets = []", "markets: at least one is needed"),
        ("[[markets]]\ncode = 'US'", r"does not set markets\[0\]\.language"),
        (
            "[[markets]]\ncode='us'\nlanguage='en'\nshare=1\nzones=['Europe/Paris']",
            "two capital letters",
        ),
        ("[[markets]]\ncode='FR'\nlanguage='fr'\nshare=1\nzones=[]", "FR has no time zone"),
        (
            "[[markets]]\ncode='FR'\nlanguage='fr'\nshare=1\nzones=['Mars/Olympus']",
            "'Mars/Olympus' is not an IANA time zone",
        ),
        ("seed = [", "cannot be read as TOML"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = overlay(tmp_path, text)
    with pytest.raises(SettingsError, match=message) as caught:
        load_parameters(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml does not exist"):
        load_parameters(tmp_path / "none.toml")
