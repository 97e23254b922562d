"""What is checked before anything is made, and what Airflow's processes are given."""

import json
import os
import shutil
import socket
import stat
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from homerec.database.secrets import read_secrets, secrets_file
from homerec.errors import StackError
from homerec.settings import Settings
from homerec.stack import ports
from homerec.stack.config import (
    StackConfig,
    admin_password,
    asked_port,
    check_machine,
    environment,
    make_config,
    named_airflow_database,
    read_config,
    write_passwords,
)

APP = "postgresql+psycopg2://app:app-secret@127.0.0.1:5432/homerec"
AIRFLOW = "postgresql+psycopg2://airflow:airflow-secret@127.0.0.1:5432/airflow"


def listener() -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


def test_a_taken_port_is_an_error_that_names_its_holder_and_a_way_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener() as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("HOMEREC_UI_PORT", str(port))
        wanted = rf"Port {port} .* taken by .*pid {os.getpid()}\).*HOMEREC_UI_PORT={port + 1}"
        with pytest.raises(StackError, match=wanted):
            make_config(settings)
    assert not settings.home.exists()


def test_who_holds_a_port_of_another_user_stays_unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as server:
        monkeypatch.setattr(ports, "_has_one_of", lambda process, sockets: False)
        assert ports.holder(server.getsockname()[1]) == "another process"


def test_without_a_wish_the_first_free_port_is_taken_and_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener() as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "FIRST_PORT", taken)
        made = make_config(settings)
        assert made.port > taken
    assert read_config(settings) == made
    # The first one is free again, but bookmarks point at the one that was taken.
    assert make_config(settings) == made


def test_a_row_of_taken_ports_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "port_is_free", lambda port: False)
    with pytest.raises(StackError, match="No port from 8080 to 8129 is free"):
        ports.free_port()


@pytest.mark.parametrize("asked", ["80", "eighty", "65536", "-1", "²³⁴⁵"])
def test_what_is_no_port_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEREC_UI_PORT", asked)
    with pytest.raises(StackError, match="a port from 1024 to 65535 is needed"):
        asked_port()


def test_an_empty_wish_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEREC_UI_PORT", "")
    assert asked_port() is None


def test_too_little_disk_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**9))
    with pytest.raises(StackError, match=r"0\.9 GiB free; the demo needs 2 GiB"):
        check_machine(settings)


def test_a_home_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"cannot be written .*HOMEREC_HOME=/some/folder"):
        check_machine(Settings(home=tmp_path / "file" / "home"))


def test_another_python_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    with pytest.raises(StackError, match=r"This is Python 3\.12\.1; homerec needs 3\.11"):
        check_machine(settings)
    assert not settings.home.exists()


def test_a_good_machine_passes_and_keeps_no_trace(settings: Settings) -> None:
    check_machine(settings)
    assert list(settings.home.iterdir()) == []


def test_a_postgres_of_ones_own_needs_a_database_for_airflow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(settings, database_url=APP)
    with pytest.raises(StackError, match="HOMEREC_AIRFLOW_DATABASE_URL="):
        named_airflow_database(own)
    monkeypatch.setenv("HOMEREC_AIRFLOW_DATABASE_URL", AIRFLOW)
    assert named_airflow_database(own) == AIRFLOW
    monkeypatch.delenv("HOMEREC_AIRFLOW_DATABASE_URL")
    assert named_airflow_database(settings) is None


@pytest.fixture
def env(settings: Settings, config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("HOMEREC_CONFIG", "some.toml")
    monkeypatch.setenv("HOMEREC_ALERTS", "json://example.org/")
    monkeypatch.setenv("no_proxy", "example.org")
    return environment(replace(settings, database_url=APP), config, AIRFLOW)


def test_airflow_listens_on_the_loopback_address_alone(env: dict[str, str]) -> None:
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8080/execution/"
    assert env["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8080"


def test_tasks_find_what_the_command_found(env: dict[str, str], settings: Settings) -> None:
    assert env["HOMEREC_HOME"] == str(settings.home)
    assert env["HOMEREC_DATABASE_URL"] == APP
    assert env["HOMEREC_CONFIG"] == str(Path("some.toml").resolve())
    assert env["HOMEREC_ALERTS"] == "json://example.org/"


def test_airflow_has_a_database_of_its_own(env: dict[str, str]) -> None:
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == AIRFLOW
    assert env["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


def test_airflow_may_keep_its_bytecode(env: dict[str, str]) -> None:
    assert "PYTHONDONTWRITEBYTECODE" not in env


def test_a_proxy_is_not_asked_for_the_loopback_address(env: dict[str, str]) -> None:
    assert env["NO_PROXY"] == env["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_secrets_are_long_differ_and_are_the_same_at_the_next_start(
    env: dict[str, str], settings: Settings, config: StackConfig
) -> None:
    names = (
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
    )
    values = [env[name] for name in names]
    assert len(set(values)) == len(values)
    assert len(env["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    again = environment(replace(settings, database_url=APP), config, AIRFLOW)
    assert [again[name] for name in names] == values
    assert stat.S_IMODE(secrets_file(settings).stat().st_mode) == 0o600


def test_passwords_are_for_their_owner_alone(settings: Settings, config: StackConfig) -> None:
    config.passwords_file.touch(mode=0o666)
    write_passwords(settings, config)
    assert stat.S_IMODE(config.passwords_file.stat().st_mode) == 0o600
    kept = json.loads(config.passwords_file.read_text(encoding="utf-8"))
    assert kept["admin"] == admin_password(settings)
    assert kept["viewer"] == read_secrets(settings)["airflow_viewer"] != kept["admin"]
