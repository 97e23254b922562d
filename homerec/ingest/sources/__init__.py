"""Sources of an ingest: files of a folder, objects of an object store, queries of a database.

Each kind ends as files that DuckDB scans as Parquet (:class:`Opened`), and from there on the way is
one.
"""

from homerec.ingest.sources.found import FileSource, Found, Progress
from homerec.ingest.sources.locating import Sources, locate, shown, without_password
from homerec.ingest.sources.opening import (
    COMPRESSIONS,
    FILE_COLUMN,
    FORGOTTEN,
    JSON_FLAG,
    ROW_COLUMN,
    SUFFIXES,
    Opened,
    Reject,
    malformed,
    open_as,
    open_file,
    scan_of,
    verify,
)

__all__ = [
    "COMPRESSIONS",
    "FILE_COLUMN",
    "FORGOTTEN",
    "JSON_FLAG",
    "ROW_COLUMN",
    "SUFFIXES",
    "FileSource",
    "Found",
    "Opened",
    "Progress",
    "Reject",
    "Sources",
    "locate",
    "malformed",
    "open_as",
    "open_file",
    "scan_of",
    "shown",
    "verify",
    "without_password",
]
