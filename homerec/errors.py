"""Every error homerec raises on purpose, under one root.

A message says what broke, what was measured, what is allowed, where, and what to do next. Leaves
also derive from a built-in (``ValueError``, ``KeyError``, ...) so that callers can catch what they
know.
"""


class HomerecError(Exception):
    """Root of every error that homerec raises on purpose."""


class TransientError(HomerecError):
    """A failure of the surroundings (network, ...): the same call may succeed later."""


class SettingsError(HomerecError, ValueError):
    """A setting is missing, misspelt or out of its range."""


class ContractError(HomerecError, ValueError):
    """Input data breaks its contract beyond what may be set aside row by row."""


class MalformedFile(ContractError):
    """An input file cannot be read in the format its mapping names."""


class SourceError(HomerecError, ValueError):
    """A source cannot be read as it is: nothing there, no permission, a query that fails."""


class QuarantineExceeded(ContractError):
    """More rows broke the contract than the configured share allows; nothing was written."""


class RowsLost(HomerecError, AssertionError):
    """An ingest cannot say what became of every row that it read; nothing was written."""


class MappingError(HomerecError, ValueError):
    """A mapping file is wrong: an unknown table, column or unit, or a column missing."""


class EmptyInput(HomerecError, ValueError):
    """A step has nothing to work on, and an empty result must not be published."""


class SnapshotError(HomerecError, ValueError):
    """A snapshot is missing, incomplete, or differs from what the same SQL computes now."""


class TrainingError(HomerecError, ValueError):
    """A training set cannot be made or a model cannot be fitted on it."""


class ExperimentError(HomerecError, ValueError):
    """An experiment's file is wrong, or there is no such experiment, or nothing of it succeeded."""


class ArtifactError(HomerecError, ValueError):
    """A saved model is incomplete, altered, or was written by an incompatible version."""


class OutdatedArtifactError(ArtifactError):
    """A saved model is whole, but was written by a version that learned something else."""


class UnknownModel(HomerecError, KeyError):
    """No model of that name."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class BenchmarkError(HomerecError, ValueError):
    """A benchmark's two ways do not give the same answer, so no ratio of theirs means anything."""


class RegistryError(HomerecError, ValueError):
    """The registry has no such version, or refuses what was asked of it."""


class GateError(HomerecError, ValueError):
    """The gate cannot judge: NaN, an empty evaluation set, or a missing threshold."""


class DriftExceeded(HomerecError, ValueError):
    """The distance between two feature distributions exceeds its limit, or a volume collapsed."""


class AuditFailed(HomerecError, ValueError):
    """A release broke an audit check; the pointer was not moved."""


class ReleaseError(HomerecError, ValueError):
    """No such release, or it cannot be made live."""


class DatabaseError(HomerecError):
    """Postgres cannot be started, reached or migrated."""


class ForgetError(HomerecError):
    """Something of a forgotten listener is left where homerec cannot remove it by itself."""


class StackError(HomerecError):
    """Airflow's processes cannot be started or reached, or a run of theirs failed."""
