"""Ingest: contracts, mappings, sources, quarantine. Files of any shape become the lake's tables."""

from homerec.ingest.contracts import CONTRACTS, Column, Contract
from homerec.ingest.mapping import SourceMapping, load_mapping
from homerec.ingest.report import BrokenRule, DryRun, IngestReport, TableReport
from homerec.ingest.run import dry_run, ingest

__all__ = [
    "CONTRACTS",
    "BrokenRule",
    "Column",
    "Contract",
    "DryRun",
    "IngestReport",
    "SourceMapping",
    "TableReport",
    "dry_run",
    "ingest",
    "load_mapping",
]
