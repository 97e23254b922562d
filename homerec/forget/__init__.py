"""Forget: a listener removed from everything that homerec owns, and kept away for good."""

from homerec.forget.report import Finding, ForgetReport
from homerec.forget.run import forget

__all__ = ["Finding", "ForgetReport", "forget"]
