"""Where the stack keeps things, which ports it takes, and the environment its processes get."""

import base64
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from homerec.database.bootstrap import ensure_owned_database
from homerec.database.secrets import ensure_secrets
from homerec.database.urls import app_url
from homerec.errors import StackError
from homerec.lake import read_json, write_json
from homerec.settings import ROOT, Settings
from homerec.stack.ports import HOST, free_port, holder, port_is_free

#: Components in the order in which they are started.
COMPONENTS: Final = ("api-server", "scheduler", "dag-processor", "triggerer")
_MIN_FREE_BYTES: Final = 2 * 1024**3
_SECRETS: Final = (
    "airflow_fernet",
    "airflow_jwt",
    "airflow_api",
    "airflow_admin",
    "airflow_viewer",
)


@dataclass(frozen=True)
class StackConfig:
    """What a stack was started with; kept, so that stop and status find it.

    Attributes
    ----------
    folder : str
        Holds logs, pid files and Airflow's own files.
    port : int
        Of the web UI and the API, on 127.0.0.1.
    """

    folder: str
    port: int

    @property
    def url(self) -> str:
        """Address of the web UI."""
        return f"http://{HOST}:{self.port}"

    def pid_file(self, component: str) -> Path:
        """File with the pid of a component."""
        return Path(self.folder) / "pids" / f"{component}.pid"

    def log_file(self, component: str) -> Path:
        """File that a component writes its output to."""
        return Path(self.folder) / "logs" / f"{component}.log"

    @property
    def task_logs(self) -> Path:
        """Folder of the logs of tasks."""
        return Path(self.folder) / "task-logs"

    @property
    def passwords_file(self) -> Path:
        """Airflow's file of users and passwords (mode 0600)."""
        return Path(self.folder) / "passwords.json"


def _config_file(settings: Settings) -> Path:
    return settings.home / "airflow" / "stack.json"


def read_config(settings: Settings) -> StackConfig | None:
    """Return what the stack was last started with, or ``None``."""
    path = _config_file(settings)
    return StackConfig(**read_json(path)) if path.exists() else None


def asked_port() -> int | None:
    """Port that the environment asks for.

    Raises
    ------
    StackError
        It is not a port that an ordinary user may open.
    """
    asked = os.environ.get("HOMEREC_UI_PORT")
    if not asked:
        return None
    if not asked.isdecimal() or not 1024 <= int(asked) <= 65535:
        raise StackError(f"HOMEREC_UI_PORT is {asked!r}; a port from 1024 to 65535 is needed.")
    return int(asked)


def make_config(settings: Settings) -> StackConfig:
    """Choose the port and keep it: ``HOMEREC_UI_PORT``, else the last one, else a free one.

    Raises
    ------
    StackError
        The port is taken, or is not a port.
    """
    folder = settings.home / "airflow"
    kept = read_config(settings)
    port = asked_port() or (kept.port if kept else free_port())
    if not port_is_free(port):
        raise StackError(
            f"Port {port} on {HOST} is taken by {holder(port)}, the web UI cannot use it. Stop "
            f"that process, or choose another port: HOMEREC_UI_PORT={port + 1} make up"
        )
    config = StackConfig(str(folder), port)
    write_json(asdict(config), _config_file(settings))
    return config


def check_machine(settings: Settings) -> None:
    """See that the machine can carry the stack, before anything is made.

    Raises
    ------
    StackError
        The Python is another one, the data folder cannot be written, or the disk is too full.
    """
    if sys.version_info[:2] != (3, 11):
        version = ".".join(str(n) for n in sys.version_info[:3])
        raise StackError(f"This is Python {version}; homerec needs 3.11. Name it: make PYTHON=...")
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StackError(
            f"The data folder {settings.home} cannot be written ({error.strerror}). Choose "
            "another: HOMEREC_HOME=/some/folder make up"
        ) from error
    free = shutil.disk_usage(settings.home).free
    if free < _MIN_FREE_BYTES:
        raise StackError(
            f"{settings.home} has {free / 1024**3:.1f} GiB free; the demo needs "
            f"{_MIN_FREE_BYTES / 1024**3:.0f} GiB. Free some, or choose another disk: "
            "HOMEREC_HOME=/some/folder make up"
        )


def airflow_database(settings: Settings) -> str:
    """Return the URL of Airflow's own database, on the embedded server unless one is named.

    Raises
    ------
    StackError
        Postgres is one of your own, and no database for Airflow is named.
    """
    return named_airflow_database(settings) or ensure_owned_database(settings, "airflow")


def named_airflow_database(settings: Settings) -> str | None:
    """Return the URL that ``HOMEREC_AIRFLOW_DATABASE_URL`` names, if any.

    Raises
    ------
    StackError
        Postgres is one of your own, and no database for Airflow is named.
    """
    named = os.environ.get("HOMEREC_AIRFLOW_DATABASE_URL") or None
    if named is None and settings.database_url:
        raise StackError(
            "HOMEREC_DATABASE_URL names a Postgres of your own; name a database for Airflow on it "
            "too: HOMEREC_AIRFLOW_DATABASE_URL=postgresql+psycopg2://airflow:...@host/airflow"
        )
    return named


def environment(settings: Settings, config: StackConfig, database: str) -> dict[str, str]:
    """Environment of every Airflow process; secrets are in it and never in an argument list."""
    secret = ensure_secrets(settings, *_SECRETS)
    fernet = base64.urlsafe_b64encode(hashlib.sha256(secret["airflow_fernet"].encode()).digest())
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}",
        # Tasks run side by side: more threads than cores would make every one of them wait.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        # Tasks talk to the API server: a proxy of the surroundings cannot reach it.
        **dict.fromkeys(("NO_PROXY", "no_proxy"), _without_proxy(env)),
        "HOMEREC_HOME": str(settings.home),
        "HOMEREC_DATABASE_URL": app_url(settings),
        "HOMEREC_AIRFLOW_DATABASE_URL": database,
        "AIRFLOW_HOME": config.folder,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": fernet.decode(),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{config.url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(config.passwords_file),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(config.port),
        "AIRFLOW__API__BASE_URL": config.url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": hashlib.sha512(secret["airflow_api"].encode()).hexdigest(),
        "AIRFLOW__API_AUTH__JWT_SECRET": hashlib.sha512(secret["airflow_jwt"].encode()).hexdigest(),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(config.task_logs),
    }
    if os.environ.get("HOMEREC_CONFIG"):
        env["HOMEREC_CONFIG"] = str(Path(os.environ["HOMEREC_CONFIG"]).resolve())
    return env


def _without_proxy(env: Mapping[str, str]) -> str:
    named = env.get("no_proxy") or env.get("NO_PROXY") or ""
    return ",".join(dict.fromkeys([*filter(None, named.split(",")), HOST, "localhost"]))


def write_passwords(settings: Settings, config: StackConfig) -> None:
    """Write Airflow's users and passwords, for their owner's eyes only."""
    secret = ensure_secrets(settings, *_SECRETS)
    config.passwords_file.parent.mkdir(parents=True, exist_ok=True)
    config.passwords_file.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(config.passwords_file, flags, 0o600), "w", encoding="utf-8") as stream:
        json.dump({"admin": secret["airflow_admin"], "viewer": secret["airflow_viewer"]}, stream)


def admin_password(settings: Settings) -> str:
    """Password of the user ``admin``."""
    return ensure_secrets(settings, *_SECRETS)["airflow_admin"]
