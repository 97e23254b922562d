"""Objects of an object store, or of anything else that fsspec opens by a URI.

Objects are listed, and those that a mapping's patterns name are copied to the staging folder of the
ingest, several at once and each in pieces; from there on they are files like any others.
"""

import errno
import fnmatch
import glob
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import fsspec  # type: ignore[import-untyped]

from homerec.errors import MalformedFile, SourceError, TransientError
from homerec.ingest.mapping import TableMap
from homerec.ingest.sources.found import Found, Progress, in_order, is_wanted
from homerec.ingest.sources.hiding import masked

#: Objects copied at once.
DOWNLOADS: Final = 8
#: Bytes of disk that stay free beside the copies: text is staged a second time, as Parquet.
KEEP_FREE: Final = 1 << 28

#: What stores call the properties that change with an object's content.
_STAMPS: Final = (
    "ETag", "etag", "md5Hash", "content_md5", "generation", "VersionId", "LastModified",
    "last_modified", "updated", "mtime", "modified", "created",
)  # fmt: skip
#: Packages of the stores' clients, whose errors are about the network unless named below.
_CLIENTS: Final = ("botocore", "aiobotocore", "aiohttp", "google", "gcsfs", "azure", "requests")
_NO_CREDENTIALS: Final = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "DefaultCredentialsError",
)
_EXTRAS: Final = {"s3": "s3", "s3a": "s3"}
_NEXT: Final = count()


class ObjectStore:
    """Objects below a prefix, or one object (then only that one can match).

    Parameters
    ----------
    uri : str
        Such as ``s3://bucket/prefix``. Credentials and endpoint come from the environment.

    Raises
    ------
    SourceError
        The package of the store is not installed.
    """

    must_copy = True

    def __init__(self, uri: str) -> None:
        self.shown = masked(uri).rstrip("/")
        self._scheme = uri.partition("://")[0]
        try:
            self._store, root = fsspec.core.url_to_fs(uri)
        except ImportError as error:
            extra = _EXTRAS.get(self._scheme)
            hint = (
                f"install homerec with its extra: pip install 'homerec[{extra}]'"
                if extra
                else "install fsspec's package for it beside homerec"
            )
            raise SourceError(
                f"{self.shown} cannot be opened: {error}. For {self._scheme}:// sources {hint}."
            ) from error
        self._root = str(root).rstrip("/")
        self._single = False

    def find(self, table: TableMap) -> list[Found]:
        """List the objects that a table's patterns match, in the order of their names.

        Raises
        ------
        SourceError
            There is no such bucket, or no permission to list it.
        TransientError
            The store cannot be reached.
        """
        with self._talking(self.shown):
            # Listings are cached for the life of the process, and a worker lives long.
            self._store.invalidate_cache()
            listed: dict[str, list[dict[str, Any]]] = {}
            infos = [
                info
                for pattern in table.files
                for info in self._matching(self._root, pattern.split("/"), listed)
            ]
            if not infos:
                infos = self._one(table)
        return in_order(self._found(i) for i in infos if is_wanted(_name(i)))

    def named(self, name: str) -> Found:
        """Return the one object of that name.

        Raises
        ------
        MalformedFile
            There is none.
        TransientError
            The store cannot be reached.
        """
        root = self._root.rpartition("/")[0] if self._single else self._root
        with self._talking(f"{self.shown}/{name}"):
            try:
                return self._found(self._store.info(f"{root}/{name}"))
            except FileNotFoundError:
                raise MalformedFile(
                    f"{self.shown}/{name} is named in the mapping, and is not there. Deliver it."
                ) from None

    def fetch(self, files: Sequence[Found], staging: Path, progress: Progress) -> list[Path]:
        """Copy objects to staging, several at once.

        Raises
        ------
        SourceError
            The disk has no room for them, or one may not be read.
        TransientError
            The store cannot be reached, or an object changed while it was copied.
        """
        total = sum(found.size for found in files)
        free = shutil.disk_usage(staging).free
        if total + KEEP_FREE > free:
            raise SourceError(
                f"{self.shown}: {len(files)} objects with {total / 2**30:.2f} GiB are to be copied "
                f"to {staging}, where {free / 2**30:.2f} GiB are free and {KEEP_FREE / 2**30:.2f} "
                "GiB must stay so. Make room, or ingest fewer at a time."
            )
        folder = staging / f"objects{next(_NEXT)}"
        folder.mkdir()
        # A number keeps the order of the names, and a key may be longer than a file's name.
        paths = [
            folder / f"{number:09d}-{found.name.rpartition('/')[2][-100:]}"
            for number, found in enumerate(files)
        ]
        done = 0
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            futures = [pool.submit(self._copy, *pair) for pair in zip(files, paths, strict=True)]
            try:
                for number, (found, future) in enumerate(zip(files, futures, strict=True), start=1):
                    future.result()
                    done += found.size
                    progress(
                        f"copying {self.shown} ({number} of {len(files)} objects, "
                        f"{done / 2**20:,.0f} of {total / 2**20:,.0f} MiB)"
                    )
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return paths

    def _copy(self, found: Found, path: Path) -> None:
        with self._talking(found.label):
            self._store.get_file(found.address, str(path))
        size = path.stat().st_size
        if size != found.size:
            raise TransientError(
                f"{found.label} changed while it was copied: {found.size:,} bytes were listed, "
                f"{size:,} came. Ingest again when it is complete."
            )

    def _matching(
        self, folder: str, pattern: Sequence[str], listed: dict[str, list[dict[str, Any]]]
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects that a pattern matches, as a folder's glob would."""
        head, rest = pattern[0], pattern[1:]
        if rest and head != "**" and not glob.has_magic(head):
            yield from self._matching(f"{folder}/{head}", rest, listed)
            return
        if folder not in listed:
            listed[folder] = self._list(folder)
        if not rest:
            # ** at the end of a pattern stands for folders, and matches no object.
            yield from _those(listed[folder], head, folders=False) if head != "**" else ()
            return
        if head == "**":
            yield from self._matching(folder, rest, listed)
        for below in _those(listed[folder], "*" if head == "**" else head, folders=True):
            yield from self._matching(_path(below), pattern if head == "**" else rest, listed)

    def _list(self, folder: str) -> list[dict[str, Any]]:
        # Not the store's own glob: it takes a refused or broken listing for an empty one.
        try:
            infos = self._store.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        # An object that marks a folder has the folder's own name.
        return [i for i in infos if _path(i) != folder]

    def _one(self, table: TableMap) -> list[dict[str, Any]]:
        """Return the source itself, where it is an object that the table's patterns match."""
        # Where there is no such bucket or prefix, this is the call that says so.
        info = self._store.info(self._root)
        if info["type"] != "file":
            return []
        self._single = True
        path = Path(self._root)
        return [info] if any(path.match(pattern) for pattern in table.files) else []

    def _found(self, info: dict[str, Any]) -> Found:
        address = str(info["name"])
        name = _name(info) if self._single else address.removeprefix(self._root).lstrip("/")
        label = self.shown if self._single else f"{self.shown}/{name}"
        stamp = "/".join(f"{key}={info[key]}" for key in _STAMPS if info.get(key) is not None)
        return Found(name, label, int(info["size"] or 0), stamp, address)

    @contextmanager
    def _talking(self, what: str) -> Iterator[None]:
        """Translate the errors of a store into those that say whether a retry may help."""
        # Without their cause: a client's own message may quote what it was given.
        try:
            yield
        except FileNotFoundError as error:
            raise SourceError(
                f"{what} is not there: {_said(error)}. Check the name of the bucket and of "
                "the prefix."
            ) from None
        except PermissionError as error:
            raise SourceError(
                f"{what} may not be read: {_said(error)}. Check the credentials in the "
                "environment (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) "
                "and what they may do; needed are listing and reading."
            ) from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            if error.errno == errno.EINVAL:
                raise self._refused(what, error) from None
            raise self._unreachable(what, error) from None
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in _CLIENTS:
                raise
            if type(error).__name__ in _NO_CREDENTIALS:
                raise SourceError(
                    f"{what} needs credentials, and the environment has none (for S3: "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)."
                ) from None
            if type(error).__name__ == "ParamValidationError":
                raise self._refused(what, error) from None
            raise self._unreachable(what, error) from None

    def _refused(self, what: str, error: Exception) -> SourceError:
        return SourceError(
            f"{what} was refused: {_said(error)}. Check the names in the URI, and "
            "the region and endpoint in the environment."
        )

    def _unreachable(self, what: str, error: Exception) -> TransientError:
        return TransientError(
            f"{what} cannot be reached: {_said(error)}. Check the "
            "network and the endpoint (for S3: AWS_ENDPOINT_URL), and try again."
        )


def _those(infos: list[dict[str, Any]], pattern: str, *, folders: bool) -> list[dict[str, Any]]:
    return [
        info
        for info in infos
        if (info["type"] == "directory") == folders and fnmatch.fnmatchcase(_name(info), pattern)
    ]


def _path(info: dict[str, Any]) -> str:
    return str(info["name"]).rstrip("/")


def _name(info: dict[str, Any]) -> str:
    return _path(info).rpartition("/")[2]


def _said(error: Exception) -> str:
    return masked(" ".join(str(error).split())) or type(error).__name__
