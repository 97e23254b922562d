from dataclasses import fields
from pathlib import Path

import pytest

from homerec.errors import HomerecError, SettingsError
from homerec.settings import ROOT, Settings, load_settings, resource


def write(folder: Path, text: str) -> Path:
    path = folder / "homerec.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_is_read_and_its_home_lies_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'home = "data"\nseed = 5\n[models.podcasts]\ncards = 4\n')
    settings = load_settings(path, {})
    assert settings.home == tmp_path / "data"
    assert settings.seed == 5
    assert settings.models == {"podcasts": {"cards": 4}}
    assert settings.arrival_grace_hours == Settings().arrival_grace_hours


def test_the_environment_is_stronger_than_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'home = "data"\ndatabase_url = "postgresql://a/b"\n')
    environ = {
        "HOMEREC_CONFIG": str(path),
        "HOMEREC_HOME": str(tmp_path / "other"),
        "HOMEREC_DATABASE_URL": "postgresql://c/d",
        "MLFLOW_TRACKING_URI": "http://mlflow",
    }
    settings = load_settings(environ=environ)
    assert settings.home == tmp_path / "other"
    assert settings.database_url == "postgresql://c/d"
    assert settings.mlflow_tracking_uri == "http://mlflow"


def test_the_argument_is_stronger_than_the_variable(tmp_path: Path) -> None:
    path = write(tmp_path, "seed = 9\n")
    assert load_settings(path, {"HOMEREC_CONFIG": "/nowhere.toml"}).seed == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead = 1", r"sets sead; known are arrival_grace_hours, .*seed"),
        ("seed =", "is not valid TOML"),
        ("threads = -1", "threads is -1, allowed is 0 to 1024"),
        ('threads = "four"', "threads is 'four', a number from 0 to 1024 is needed"),
        ("threads = true", "threads is True"),
        ("arrival_grace_hours = 49", "arrival_grace_hours is 49, allowed is 0 to 48"),
        ("quarantine_limit_ratio = 1.1", "quarantine_limit_ratio is 1.1"),
        ("quarantine_limit_ratio = nan", "quarantine_limit_ratio is nan"),
        ("shard_listeners = 0", "shard_listeners is 0"),
        ("keep_experiment_days = 0", "keep_experiment_days is 0, allowed is 1 to 100000"),
        ("max_judged_listeners = 999", "max_judged_listeners is 999, allowed is 1000 to"),
        ("max_days_without_events = 0", "max_days_without_events is 0"),
        ("volume_limit_ratio = 0", "volume_limit_ratio is 0"),
    ],
)
def test_wrong_settings_are_errors_that_name_them(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(write(tmp_path, text), {})


def test_a_file_that_is_not_there_is_an_error_only_when_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(SettingsError, match=r"none.toml does not exist"):
        load_settings(environ={"HOMEREC_CONFIG": str(tmp_path / "none.toml")})


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "homerec.toml"
    path.write_bytes(b"seed = 1 # \xff")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_settings(path, {})


def test_the_shipped_file_is_valid_and_says_what_the_defaults_say() -> None:
    shipped, plain = load_settings(ROOT / "homerec.toml", {}), Settings()
    different = [
        f.name for f in fields(Settings) if getattr(shipped, f.name) != getattr(plain, f.name)
    ]
    assert different == []


def test_zero_threads_means_one_per_core() -> None:
    assert Settings(threads=0).n_threads >= 1
    assert Settings(threads=3).n_threads == 3


def test_resources_are_found_or_an_error() -> None:
    assert resource("sql/features/card.sql").is_file()
    with pytest.raises(SettingsError, match=r"sql/none.sql is not part of this installation"):
        resource("sql/none.sql")


def test_every_error_of_settings_is_a_homerec_error_and_a_value_error() -> None:
    assert issubclass(SettingsError, HomerecError)
    assert issubclass(SettingsError, ValueError)
