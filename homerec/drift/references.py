"""The last histograms that passed, by model, place and weekday: the next night's reference."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from homerec.drift.check import DriftReport
from homerec.drift.histogram import Histograms
from homerec.errors import ArtifactError, SnapshotError
from homerec.lake import read_json, write_json

_N_WEEKDAYS: Final = 7


@dataclass(frozen=True)
class References:
    """Files below ``<home>/drift/references``, at most one per (model, place, weekday).

    Parameters
    ----------
    home : Path
        ``Settings.home``.
    """

    home: Path

    def path(self, model: str, place: str, weekday: int) -> Path:
        """File of a model and place (``"snapshot"``, ``"features"``) for a weekday, Monday being 0.

        Raises
        ------
        SnapshotError
            A name would leave the folder, or the weekday is not 0 to 6.
        """
        for name in (model, place):
            if not name or Path(name).name != name or name in {".", ".."}:
                raise SnapshotError(f"{name!r} cannot name a drift reference; use a plain name.")
        if not 0 <= weekday < _N_WEEKDAYS:
            raise SnapshotError(f"Weekday is {weekday}, 0 (Monday) to 6 is allowed.")
        return self.home / "drift" / "references" / model / place / f"weekday={weekday}.json"

    def save_passed(self, report: DriftReport, histograms: Histograms) -> bool:
        """Keep histograms whose check passed; says whether they were kept.

        A backfilled date does not replace a younger one.

        Raises
        ------
        SnapshotError
            The check did not pass: what failed never becomes a reference.
        """
        if not report.passed:
            raise SnapshotError(
                f"The {report.place} of {report.model} as of {report.as_of} failed its drift check "
                f"({len(report.failures)} failures) and cannot become a reference."
            )
        target = self.path(report.model, report.place, report.as_of.weekday())
        if target.exists() and _read(target)[0] > report.as_of:
            return False
        write_json({"as_of": report.as_of.isoformat(), "histograms": histograms.to_json()}, target)
        return True

    def load(
        self,
        model: str,
        place: str,
        as_of: date,
        *,
        like: Histograms | None = None,
        same_weekday: bool = False,
    ) -> Histograms | None:
        """Histograms to compare a date with.

        Parameters
        ----------
        model, place : str
            As they were saved.
        as_of : date
            The date to be judged; its own histograms are never its reference.
        like : Histograms, optional
            Take only references on the same edges; a new champion brings new edges.
        same_weekday : bool
            Take only references of the same weekday.

        Returns
        -------
        Histograms or None
            Of the latest earlier date; else, for a backfill, of the earliest later one.
        """
        weekdays = [as_of.weekday()] if same_weekday else range(_N_WEEKDAYS)
        files = (self.path(model, place, weekday) for weekday in weekdays)
        found = [_read(file) for file in files if file.exists()]
        if like is not None:
            found = [entry for entry in found if entry[1].same_edges(like)]
        earlier = [entry for entry in found if entry[0] < as_of]
        if earlier:
            return max(earlier, key=lambda entry: entry[0])[1]
        later = [entry for entry in found if entry[0] > as_of]
        return min(later, key=lambda entry: entry[0])[1] if later else None


def _read(path: Path) -> tuple[date, Histograms]:
    try:
        stored = read_json(path)
        return date.fromisoformat(stored["as_of"]), Histograms.from_json(stored["histograms"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"The drift reference {path} cannot be read ({error}). Delete it: the next night that "
            "passes records it anew."
        ) from error
