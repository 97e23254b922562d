"""Compilation of loops by numba: without the GIL, and kept on disk until a source changes."""

import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger(__name__)
_STAMP: Final = "homerec-sources.sha256"


def compiled(function: F) -> F:
    """Compile a function that other compiled functions call."""
    return cast("F", numba.njit(nogil=True)(function))


def compiled_adding_freely(function: F) -> F:
    """Compile as :func:`compiled`; sums may be added up in the order that is fastest.

    The order is chosen by the compiler, not by the data: the same input has the same bits.
    """
    return cast("F", numba.njit(nogil=True, fastmath={"reassoc"})(function))


def entry_point(function: F) -> F:
    """Compile a function that Python calls, keeping the machine code between runs if possible."""
    try:
        dispatcher = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        # numba refuses where neither the package nor the user's cache folder can be written.
        return compiled(function)
    _drop_stale(Path(str(dispatcher.stats.cache_path)), Path(function.__code__.co_filename).parent)
    return cast("F", dispatcher)


@functools.cache
def _drop_stale(folder: Path, sources: Path) -> None:
    """Remove kept code of a package that was made from other sources.

    numba looks only at the file of the entry point, while its code holds all that it calls.
    """
    digest = hashlib.sha256()
    for source in sorted(sources.glob("*.py")):
        digest.update(source.read_bytes())
    stamp = folder / _STAMP
    try:
        if stamp.exists() and stamp.read_text(encoding="utf-8") == digest.hexdigest():
            return
        for index in folder.glob("*.nbi"):
            index.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        stamp.write_text(digest.hexdigest(), encoding="utf-8")
    except OSError as error:
        logger.warning("The compiled code in %s may be out of date: %s", folder, error)
