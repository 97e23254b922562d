"""The command line: every capability without Airflow."""

from homerec.cli.main import main

__all__ = ["main"]
