"""The night: one function a step, each idempotent for its as_of, and all of them in order."""

from homerec.night.run import NightReport, run_night

__all__ = ["NightReport", "run_night"]
