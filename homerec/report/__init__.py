"""Data reports: what an ingest brought and what a snapshot holds, kept, printed and drawn."""

from homerec.report.keeping import (
    has_snapshot,
    ingest_report,
    newest_ingest,
    newest_snapshot,
    report_ingest,
    report_snapshot,
    snapshot_before,
    snapshot_report,
)

__all__ = [
    "has_snapshot",
    "ingest_report",
    "newest_ingest",
    "newest_snapshot",
    "report_ingest",
    "report_snapshot",
    "snapshot_before",
    "snapshot_report",
]
