"""The embedded Postgres through its life: first start, restart, crash, wrong data, removal."""

import os
import signal
import socket
import stat
from pathlib import Path

import psycopg2
import pytest

from homerec.database import binaries, bootstrap, embedded, migrations, ports, secrets, state, urls
from homerec.errors import DatabaseError
from homerec.settings import Settings

SHOWN = ("listen_addresses", "unix_socket_directories", "password_encryption", "timezone")


@pytest.fixture
def own(tmp_path, server):
    """Settings of a deployment of this test's own; its server is removed at the end."""
    settings = Settings(home=tmp_path / "home")
    yield settings
    embedded.remove(settings)


def superuser(settings, database="postgres"):
    url = urls.embedded_url(settings, "postgres", database)
    return urls.psycopg2_connection(url, autocommit=True)


def query(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_a_server_starts_once_stops_and_returns_on_its_port(own):
    first = embedded.start(own)
    assert first.running
    assert embedded.start(own) == first
    assert not embedded.stop(own).running
    assert embedded.stop(own) == embedded.status(own)
    with pytest.raises(DatabaseError, match=r"does not run. Start it with: homerec db start"):
        urls.app_url(own)
    again = embedded.start(own)
    assert (again.port, again.data) == (first.port, first.data)
    assert again.pid != first.pid


def test_logins_need_a_password_over_loopback_and_secrets_are_private(own):
    status = embedded.start(own)
    with superuser(own) as connection:
        shown = {name: query(connection, f"SHOW {name}")[0][0] for name in SHOWN}
        rules = query(connection, "SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert shown == {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
    }
    assert rules == [("scram-sha-256",)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(
            host="127.0.0.1", port=status.port, user="homerec_app", password="no", dbname="homerec"
        )
    assert stat.S_IMODE(secrets.secrets_file(own).stat().st_mode) == 0o600
    assert set(secrets.read_secrets(own)) == {"postgres", "homerec_app", "homerec_reader"}


def test_a_killed_server_starts_again_with_its_data(own):
    status = embedded.start(own)
    with urls.psycopg2_connection(urls.app_url(own)) as connection:
        query(connection, "INSERT INTO homerec.blocked (item) VALUES (1)")
    os.kill(status.pid, signal.SIGKILL)
    assert embedded.start(own).pid != status.pid
    with urls.psycopg2_connection(urls.app_url(own)) as connection:
        assert query(connection, "SELECT item FROM homerec.blocked") == [(1,)]


def test_a_process_file_whose_number_is_another_process_does_not_stop_a_start(own):
    embedded.start(own)
    embedded.stop(own)
    kept = state.read_state(own)
    (kept.data / "postmaster.pid").write_text(f"{os.getpid()}\n{kept.data}\n")
    assert not embedded.status(own).running
    assert embedded.start(own).running


def test_a_taken_port_is_named_before_anything_is_made(own, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("HOMEREC_DB_PORT", str(port))
        with pytest.raises(
            DatabaseError, match=rf"Port {port} on .* is taken.*HOMEREC_DB_PORT={port + 1}"
        ):
            embedded.start(own)
    assert not embedded.status(own).initialised
    assert not embedded.status(own).data.exists()


def test_another_port_than_the_running_one_is_refused(own, monkeypatch):
    monkeypatch.setenv("HOMEREC_DB_PORT", str(ports.free_port(56100)))
    status = embedded.start(own)
    monkeypatch.setenv("HOMEREC_DB_PORT", str(status.port + 1))
    with pytest.raises(DatabaseError, match="Stop it first"):
        embedded.start(own)


def test_a_start_cut_short_in_initdb_is_done_anew(own):
    embedded.start(own)
    embedded.remove(own)
    made = embedded._place(own)
    for name in ("data", "data.unfinished"):
        folder = Path(made.root) / name
        (folder / "base").mkdir(parents=True)
        (folder / "PG_VERSION").write_text("18\n")
    assert embedded.start(own).running


def test_data_of_another_major_version_is_left_alone(own):
    embedded.start(own)
    embedded.stop(own)
    version = state.read_state(own).data / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(DatabaseError, match="is of Postgres 16, the embedded server is 18"):
        embedded.start(own)
    version.write_text("18\n")
    assert embedded.start(own).running


def test_data_that_lost_files_is_not_made_anew_silently(own):
    embedded.start(own)
    embedded.stop(own)
    (state.read_state(own).data / "global" / "pg_control").unlink()
    with pytest.raises(DatabaseError, match="no longer complete"):
        embedded.start(own)


def test_programs_that_cannot_be_reached_are_copied(own, monkeypatch):
    packaged = binaries.packaged()
    works = binaries.works
    monkeypatch.setattr(binaries, "works", lambda install: install != packaged and works(install))
    status = embedded.start(own)
    kept = state.read_state(own)
    assert status.running
    assert Path(kept.install).is_relative_to(kept.place)
    embedded.remove(own)
    assert not Path(kept.place).exists()


def test_remove_leaves_nothing_but_the_secrets(own):
    embedded.start(own)
    kept = state.read_state(own)
    embedded.remove(own)
    embedded.remove(own)
    assert not Path(kept.root).exists()
    assert sorted(p.name for p in own.home.iterdir()) == [".postgres.lock", "secrets.json"]
    with pytest.raises(DatabaseError, match="was never started"):
        urls.app_url(own)


def test_another_programs_database_is_its_own(server):
    url = bootstrap.ensure_owned_database(server, "airflow")
    assert bootstrap.ensure_owned_database(server, "airflow") == url
    with urls.psycopg2_connection(url) as connection:
        who = query(connection, "SELECT current_user::text, current_database()::text")
        assert who == [("airflow", "airflow")]
    with (
        pytest.raises(DatabaseError, match="cannot be reached"),
        urls.psycopg2_connection(urls.embedded_url(server, "homerec_reader", "airflow")),
    ):
        pass


def test_migrating_twice_changes_nothing(server):
    url = urls.app_url(server)
    before = migrations.migrate(url)
    with urls.psycopg2_connection(url) as connection:
        made = query(connection, "SELECT oid FROM pg_proc WHERE proname = 'home'")
    assert migrations.migrate(url) == before
    with urls.psycopg2_connection(url) as connection:
        assert query(connection, "SELECT oid FROM pg_proc WHERE proname = 'home'") == made


def test_a_postgres_of_ones_own_is_migrated_or_says_what_to_grant(own):
    status = embedded.start(own)
    with superuser(own) as connection:
        query(connection, "CREATE ROLE plain LOGIN PASSWORD 'x'")
        query(connection, "CREATE DATABASE mine")
    url = f"postgresql://plain:x@127.0.0.1:{status.port}/mine"
    with pytest.raises(DatabaseError, match="GRANT CREATE ON DATABASE mine TO plain; GRANT USAGE"):
        migrations.migrate(url)
    with superuser(own) as connection:
        query(connection, "ALTER DATABASE mine OWNER TO plain")
    with superuser(own, "homerec") as connection:
        query(connection, "DROP OWNED BY homerec_reader; DROP ROLE homerec_reader")
    with pytest.raises(DatabaseError, match="CREATE ROLE homerec_reader LOGIN PASSWORD"):
        migrations.migrate(url)
    with superuser(own) as connection:
        query(connection, "ALTER ROLE plain CREATEROLE")
    assert migrations.migrate(url) == "0003_proposers"
    mine = Settings(home=own.home, database_url=url)
    assert urls.app_url(mine) == f"postgresql+psycopg2://plain:x@127.0.0.1:{status.port}/mine"
    assert urls.reader_url(mine) is None


def test_an_unreachable_postgres_is_named_without_its_password():
    url = "postgresql://someone:hidden@127.0.0.1:1/none"
    with (
        pytest.raises(DatabaseError, match=r"someone@127\.0\.0\.1:1/none cannot") as caught,
        urls.psycopg2_connection(url),
    ):
        pass
    assert "hidden" not in str(caught.value)
    with pytest.raises(DatabaseError, match="cannot be reached to migrate it") as caught:
        migrations.migrate(url)
    assert "hidden" not in str(caught.value)


def test_a_server_that_dies_while_it_is_looked_at_is_started_again(own, monkeypatch):
    status = embedded.start(own)
    prepare, calls = bootstrap.prepare, []

    def dying(*args):
        calls.append(args)
        if len(calls) == 1:
            os.kill(status.pid, signal.SIGKILL)
            raise DatabaseError("server closed the connection unexpectedly")
        prepare(*args)

    monkeypatch.setattr(bootstrap, "prepare", dying)
    assert embedded.start(own).running
    assert len(calls) == 2
