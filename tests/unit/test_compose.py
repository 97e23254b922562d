"""The containers' files, checked without a container engine.

The schema is the Compose Specification's, in the copy that ships with check-jsonschema.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from homerec.settings import ROOT

COMPOSE = ROOT / "docker-compose.yaml"
TEXT = COMPOSE.read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
ONE_SHOT = {name for name, service in SERVICES.items() if service["restart"] == "no"}
LASTING = sorted(set(SERVICES) - ONE_SHOT)
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer"}

#: Variables that may have a default: none of them opens anything.
HARMLESS = {
    "HOMEREC_IMAGE",
    "HOMEREC_UI_PORT",
    "HOMEREC_WORKER_CONCURRENCY",
    "HOMEREC_WORKER_MEMORY",
}
SECRET = re.compile(r"PASSWORD|SECRET|KEY|TOKEN|_CONN|_URL|BACKEND")
#: Of which only the part after //user: is secret, or nothing is.
OPEN_ADDRESSES = {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "AIRFLOW__API__BASE_URL"}
INTERPOLATION = re.compile(r"\$\{(\w+)(:[?-])?([^}]*)\}")
# A substitution with $NAME has no place for a message or a default.
BARE = re.compile(r"(?<!\$)(?:\$\$)*\$(?![${])\w+")


def environment(service: dict[str, Any]) -> dict[str, Any]:
    return dict(service.get("environment") or {})


def validated(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    return subprocess.run(
        [*command, "vendor.compose-spec", str(path)], capture_output=True, text=True, check=False
    )


def test_the_file_follows_the_compose_specification() -> None:
    found = validated(COMPOSE)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_schema_refuses_a_key_that_compose_does_not_know(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yaml"
    wrong.write_text(TEXT.replace("    healthcheck:", "    healthchek:", 1), encoding="utf-8")
    found = validated(wrong)
    assert found.returncode == 1
    assert "healthchek" in found.stdout


def test_the_system_is_complete() -> None:
    assert set(SERVICES) == AIRFLOW | {"postgres", "redis", "worker", "roles", "init"}
    assert {"roles", "init"} == ONE_SHOT


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_service_restarts_has_a_health_check_and_a_limit(name: str) -> None:
    service = SERVICES[name]
    check = service["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert len(check["test"]) == 2 or check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_waits_only_for_what_can_come_true(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_completed_successfully":
            assert other in ONE_SHOT
        else:
            assert wait["condition"] == "service_healthy"
            assert "healthcheck" in SERVICES[other]


def test_nothing_of_airflow_starts_before_the_schemas_are_there() -> None:
    assert list(SERVICES["init"]["depends_on"]) == ["roles"]
    for name in AIRFLOW | {"worker"}:
        assert "init" in SERVICES[name]["depends_on"], name
    assert "airflow db migrate" in SERVICES["init"]["command"][-1]
    assert "homerec db migrate" in SERVICES["init"]["command"][-1]


def test_a_variable_stops_the_start_when_it_is_missing_unless_its_default_is_harmless() -> None:
    assert BARE.findall(TEXT) == []
    found = INTERPOLATION.findall(TEXT.replace("$$", ""))
    assert found
    for name, operator, rest in found:
        if name in HARMLESS:
            assert operator == ":-", name
            assert rest, name
        else:
            assert operator == ":?", name
            assert rest == "see docs/containers.md", name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_secret_is_written_down(name: str) -> None:
    for variable, value in environment(SERVICES[name]).items():
        if not SECRET.search(variable) or value is None or variable in OPEN_ADDRESSES:
            continue
        if variable.endswith("_PASSWORDS_FILE"):
            assert value == "/opt/airflow/passwords.json"
        elif "://" in str(value):
            assert re.search(r"://\w*:\$\{\w+:\?[^}]+\}@", value), variable
        else:
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_secret_is_in_an_argument_list(name: str) -> None:
    service = SERVICES[name]
    check = service.get("healthcheck", {}).get("test", [])
    for argument in [*service["command"], *check]:
        # ${NAME} would be replaced before the container starts; $$NAME is read inside it.
        assert not INTERPOLATION.search(argument.replace("$$", "")), argument


def test_the_workers_hold_no_key_of_airflow() -> None:
    keys = {
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    }
    for name in AIRFLOW:
        assert keys <= set(environment(SERVICES[name])), name
    assert not keys & set(environment(SERVICES["worker"]))


def test_ports_are_published_on_the_loopback_address_only() -> None:
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert list(published) == ["api-server"]
    assert all(port.startswith("127.0.0.1:") for port in published["api-server"])
    assert all("network_mode" not in service for service in SERVICES.values())


def test_every_named_volume_is_declared_and_used() -> None:
    used = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])}
    assert used == set(yaml.safe_load(TEXT)["volumes"])


def test_the_tasks_share_one_volume_for_lake_artifacts_and_logs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name in AIRFLOW | {"worker", "init"}:
        assert SERVICES[name]["volumes"] == ["homerec:/var/lib/homerec"], name
    assert "HOMEREC_HOME=/var/lib/homerec " in dockerfile
    assert "AIRFLOW__LOGGING__BASE_LOG_FOLDER=/var/lib/homerec/" in dockerfile


def test_images_are_pinned_to_a_version() -> None:
    for name, service in SERVICES.items():
        if "build" not in service:
            assert re.fullmatch(r"\w+:\d+(\.\d+)*", service["image"]), name
    from homerec.database.binaries import MAJOR

    assert SERVICES["postgres"]["image"] == f"postgres:{MAJOR}"
    assert SERVICES["roles"]["image"] == SERVICES["postgres"]["image"]


def test_postgres_gets_the_settings_of_the_embedded_one() -> None:
    from homerec.database.embedded import OPTIONS

    given = dict(argument.removeprefix("-c").split("=") for argument in argv("postgres")[1:])
    own = {"listen_addresses", "unix_socket_directories", "log_min_messages"}
    assert given == {name: value for name, value in OPTIONS.items() if name not in own}


def argv(name: str) -> list[str]:
    command: list[str] = SERVICES[name]["command"]
    return command


def test_the_image_is_built_from_the_lock_and_runs_as_an_ordinary_user() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    version = re.search(r"^UV_VERSION := (\S+)$", makefile, re.M)
    assert version
    assert f"ARG UV_VERSION={version[1]}\n" in dockerfile
    for line in re.findall(r"uv sync .*", dockerfile):
        assert "--frozen --extra celery --no-dev" in line
    last_stage = dockerfile.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER 10001:10001$", last_stage, re.M)
    assert not re.search(r"PASSWORD|SECRET|_KEY|://", dockerfile)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "celery" in project["optional-dependencies"]


def test_only_what_the_image_needs_is_sent_to_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert let_in.isdisjoint({".env", "var", ".git", ".venv", ".uv"})
    assert all((ROOT / name).exists() for name in let_in)


def test_the_documentation_names_every_variable() -> None:
    page = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    for name, _, _ in INTERPOLATION.findall(TEXT.replace("$$", "")):
        assert f"`{name}`" in page, name
