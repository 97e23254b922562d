"""The command line: help, exit codes, and the form of errors."""

import argparse
import getpass
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from homerec import __version__
from homerec.cli import data, main
from homerec.cli.common import (
    Progress,
    current_user,
    parse_date,
    parse_moment,
    resolve_as_of,
    table,
)
from homerec.cli.main import build_parser
from homerec.errors import EmptyInput, TransientError
from homerec.lake import Lake
from homerec.settings import Settings
from support.lake import build_lake, event, item, listener, write_events


def commands(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    yield path
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from commands(inner, (*path, name))


EVERY = list(commands(build_parser()))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HOMEREC_HOME", "HOMEREC_CONFIG", "HOMEREC_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_every_capability_has_a_command() -> None:
    assert {path[0] for path in EVERY if path} >= {
        "world", "ingest", "features", "train", "models", "drift", "night", "releases", "home",
        "report", "housekeeping", "forget",
    }  # fmt: skip


@pytest.mark.parametrize("path", EVERY, ids=lambda path: " ".join(path) or "homerec")
def test_help_explains_every_command(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*path, "--help")
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(['homerec', *path])}")


def test_the_lake_is_compacted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = build_lake(tmp_path, events=[event(1, "2026-03-01T10:00", show=1)])
    write_events(Lake(tmp_path), [event(1, "2026-03-01T09:00", show=1)], name="late")
    home = ("-q", "--home", tmp_path)
    assert run(*home, "lake", "compact", "--until", "2026-03-01") == 0
    assert "0 files of 0 dates" in capsys.readouterr().out
    assert run(*home, "lake", "compact") == 0
    assert "2 files of 1 dates became 1 (2 rows)" in capsys.readouterr().out
    assert len(Lake(settings.home).files("events", date(2026, 3, 1))) == 1
    assert run(*home, "lake", "compact", "--most-files", "0") == 1
    assert "SettingsError: Compaction was asked for 0 files" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("--version")
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"homerec {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["features", "--as-of", "2026-02-30"], "'2026-02-30' is not a date; write YYYY-MM-DD"),
        (["night", "--as-of", "yesterday"], "'yesterday' is not a date"),
        (["drift", "accept", "podcasts", "x", "--until", "soon", "--reason", "y"], "not a date"),
        (["home", "--moment", "noon"], "'noon' is not an instant"),
        (["models", "promote", "podcasts", "one", "--reason", "x"], "invalid int value: 'one'"),
        (["models", "promote", "podcasts", "1"], "required: --reason"),
        (["releases", "rollback"], "required: --reason"),
    ],
)
def test_wrong_arguments_exit_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["features"], "EmptyInput: The lake has no events. Ingest some: `homerec ingest`."),
        (["features", "--as-of", "2026-03-10"], "EmptyInput: The lake has no event before 2026"),
        (["train", "films"], "EmptyInput: The lake has no events"),
        (["train", "films", "--as-of", "2026-03-10"], "UnknownModel: There is no model films"),
        (
            ["night", "--as-of", "2026-03-10", "--models", "podcasts", "nosuch"],
            "UnknownModel: There is no model nosuch; homerec/models has ",
        ),
        (
            ["report", "--html", "/no/such/folder/page.html"],
            "SettingsError: The folder /no/such/folder of the page does not exist",
        ),
        (["report", "ingest", "--html", "/"], "SettingsError: / is a folder. Name the page"),
        (
            ["drift", "accept", "films", "x", "--until", "2026-03-10", "--reason", "y"],
            "UnknownModel: There is no model films",
        ),
    ],
)
def test_an_error_is_one_message_with_its_class_and_exit_1(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--home", tmp_path, *arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(message)
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err


def test_a_night_of_an_unknown_model_computes_nothing(tmp_path: Path) -> None:
    settings = build_lake(
        tmp_path,
        events=[event(1, "2026-03-09T10:00", show=1)],
        items=[item(1)],
        listeners=[listener(1)],
    )
    assert run("--home", settings.home, "-q", "night", "--models", "nosuch") == 1
    assert not Lake(settings.home).snapshot(date(2026, 3, 10)).exists()


def test_libraries_that_wait_for_the_variables_are_not_loaded_before_they_are_set() -> None:
    code = (
        "import sys, homerec.cli.main\n"
        "print(sorted({'sklearn', 'implicit', 'numba', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_waiting_threads_sleep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert run("--home", tmp_path, "drift", "list") == 0
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert run("--home", tmp_path, "drift", "list") == 0
    assert os.environ["OMP_WAIT_POLICY"] == "active"


def test_wrong_settings_are_said_like_any_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--config", tmp_path / "none.toml", "features") == 1
    assert capsys.readouterr().err.startswith("SettingsError: The settings file ")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (TransientError("try later"), 75, "TransientError: try later\n"),
        (EmptyInput("nothing"), 1, "EmptyInput: nothing\n"),
        (KeyboardInterrupt(), 130, "Stopped. What was finished is kept; run the command again.\n"),
    ],
)
def test_exit_codes_tell_what_a_retry_is_worth(
    tmp_path: Path,
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(data, "_features", fail)
    assert run("--home", tmp_path, "features") == code
    assert capsys.readouterr().err == said


def test_a_fault_of_the_program_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(data, "_features", fail)
    with pytest.raises(ZeroDivisionError):
        run("--home", tmp_path, "features")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    build_lake(
        tmp_path / "chosen",
        events=[event(1, "2026-03-09T10:00", show=1)],
        items=[item(1)],
        listeners=[listener(1)],
    )
    return tmp_path / "chosen"


def test_home_is_stronger_than_the_environment(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOMEREC_HOME", str(tmp_path / "other"))
    assert run("--home", home, "features") == 0
    said = capsys.readouterr()
    assert said.out.startswith(
        f"Snapshot {home}/snapshots/as_of=2026-03-10, known at 2026-03-10 03"
    )
    assert "2 logged rows recomputed through the training path: all equal" in said.out
    assert "listener_item, 1 rows" in said.err
    assert not (tmp_path / "other").exists()


def test_the_environment_names_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMEREC_HOME", str(home))
    assert run("-q", "features", "--as-of", "2026-03-12") == 0
    said = capsys.readouterr()
    assert f"{home}/snapshots/as_of=2026-03-12" in said.out
    assert said.err == ""


def test_as_of_is_the_day_after_the_newest_event(home: Path) -> None:
    settings = Settings(home=home)
    assert resolve_as_of(settings, None) == date(2026, 3, 10)
    assert resolve_as_of(settings, date(2026, 1, 1)) == date(2026, 1, 1)
    with pytest.raises(EmptyInput, match="no events"):
        resolve_as_of(Settings(home=home / "none"), None)


def test_acceptances_are_listed_and_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accept = ["drift", "accept", "podcasts", "item_trend", "--until", "2030-01-31"]
    assert run("--home", tmp_path, *accept, "--reason", "a new catalog", "--who", "ada") == 0
    assert run("--home", tmp_path, "drift", "list") == 0
    out = capsys.readouterr().out
    for word in ("podcasts", "item_trend", "2030-01-31", "ada", "a new catalog"):
        assert word in out
    assert run("--home", tmp_path, "drift", "revoke", "podcasts", "item_trend") == 0
    assert run("--home", tmp_path, "drift", "list") == 0
    assert "No drift has been accepted." in capsys.readouterr().out


def test_instants_without_an_offset_are_utc() -> None:
    assert parse_moment("2026-03-01T10:00") == datetime(2026, 3, 1, 10, tzinfo=UTC)
    east = timezone(timedelta(hours=2))
    assert parse_moment("2026-03-01T10:00+02:00") == datetime(2026, 3, 1, 10, tzinfo=east)
    assert parse_date("2026-03-01") == date(2026, 3, 1)


def test_tables_are_laid_out_in_columns() -> None:
    assert table(("a", "long"), [(1, None), ("wide", 2)]) == "a     long\n1     None\nwide  2"


def test_quiet_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(quiet=True)("x")
    Progress()("y")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("s] y\n")
    assert "x" not in said.err


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 50000")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert current_user().startswith("uid ")
    assert build_parser().parse_args(["releases", "resume"]).who.startswith("uid ")


def test_a_password_typed_as_an_argument_leaves_the_list_of_processes(tmp_path: Path) -> None:
    mapping = tmp_path / "m.yaml"
    mapping.write_text("tables: {listeners: {table: users, columns: identity}}")
    # A server that never answers keeps the command waiting while we look.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"postgresql+psycopg2://ada:canary-pw@127.0.0.1:{port}/log"
        code = "import sys; from homerec.cli import main; sys.exit(main(sys.argv[1:]))"
        arguments = ["--home", str(tmp_path), "ingest", url, "--mapping", str(mapping)]
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment())
        try:
            server.settimeout(60)
            connection, _ = server.accept()
            title = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            connection.close()
        finally:
            process.kill()
            process.wait()
    assert b"canary-pw" not in title
    assert f"ada:***@127.0.0.1:{port}/log".encode() in title


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_ingest_takes_uris_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inbox = tmp_path / "in" / "listeners"
    inbox.mkdir(parents=True)
    (inbox / "a.csv").write_text(
        "listener_id,market,time_zone,registered_at\nu,US,UTC,2026-01-01\n"
    )
    source = f"file://{tmp_path}/in"
    assert run("--home", tmp_path, "-q", "ingest", source) == 0
    assert run("--home", tmp_path, "-q", "ingest", source, "--since", "2026-01-01") == 0
    assert "Files skipped, already ingested: listeners 1" in capsys.readouterr().out
    assert run("--home", tmp_path, "-q", "ingest", source, "--again") == 0
    assert "skipped" not in capsys.readouterr().out
    assert run("--home", tmp_path, "ingest", source, "--dry-run", "--rows", "1") == 0
    assert "listeners: 1 rows looked at, 0 break a rule" in capsys.readouterr().out
    assert run("--home", tmp_path, "ingest", "memory://nowhere") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("SourceError: memory://nowhere")
