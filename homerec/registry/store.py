"""The registry: versions, aliases and verdicts of models, kept in MLflow.

What is in production is one thing only: the alias ``champion``. Everything else (who was promoted
when, why a version was held) is written on the versions as tags, and a status is derived from both.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlparse

from homerec.errors import RegistryError
from homerec.lake import checksum
from homerec.registry.artifacts import MANIFEST, read_artifact
from homerec.registry.files import ARTIFACT_PATH, version_folder
from homerec.registry.history import champion_of_date, in_order_of_promotion, past_champions
from homerec.registry.mlflow_client import is_absent, make_client, translated
from homerec.registry.runs import aliases_of, create_model, experiment_id, log_run
from homerec.registry.verdict import Verdict
from homerec.registry.version import (
    CHALLENGER,
    CHAMPION,
    PREFIX,
    Hold,
    Version,
    version_from,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["CHALLENGER", "CHAMPION", "Hold", "Registry", "Version"]

_log = logging.getLogger(__name__)

#: MLflow's limit on one tag of a version.
_TAG_LENGTH: Final = 100_000
_PAGE: Final = 200


class Registry:
    """Versions of every model of one deployment.

    MLflow is imported, and its tables are made, when the registry is first asked something.

    Parameters
    ----------
    tracking_uri : str
        Database URL or server that holds runs and versions.
    artifact_root : Path
        Folder for the versions' files, and for copies of files that an MLflow server keeps.
    experiment : str
        MLflow experiment; registered models are named ``<experiment>-<model>``.
    """

    def __init__(self, tracking_uri: str, artifact_root: Path, experiment: str = "homerec") -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root.resolve()
        self.experiment = experiment

    def register(
        self,
        model: str,
        folder: Path,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        as_of: date,
    ) -> Version:
        """Copy a saved model into the registry: a new version with the alias ``challenger``.

        Parameters
        ----------
        model : str
            Name of the model.
        folder : Path
            Saved model with its manifest; it is copied and may be deleted afterwards.
        params, metrics, tags : mapping
            Logged to the MLflow run. A ``@`` in a metric's name is logged as ``_at_``.
        as_of : date
            The date whose events it was trained before.

        Raises
        ------
        ArtifactError
            The folder is incomplete or altered.
        RegistryError, TransientError
            The manifest is of another model or date, or MLflow refuses.
        """
        manifest = read_artifact(folder)
        if (manifest.model, manifest.as_of) != (model, as_of):
            raise RegistryError(
                f"{folder} holds {manifest.model} as of {manifest.as_of}; {model} as of {as_of} "
                "was to be registered."
            )
        name = self._name(model)
        facts = {
            "model": model,
            "as_of": as_of.isoformat(),
            "labels_end": manifest.labels_end.isoformat(),
            "manifest_checksum": checksum(folder / MANIFEST),
            "metrics": json.dumps({k: float(v) for k, v in metrics.items()}, allow_nan=False),
        }
        version_tags = dict(tags) | {PREFIX + key: value for key, value in facts.items()}
        client = self._client
        with translated(f"registering {model} as of {as_of}"):
            create_model(client, name)
            run = client.create_run(
                self._experiment_id,
                run_name=f"{model} {as_of}",
                tags=dict(tags) | {f"{PREFIX}model": model, f"{PREFIX}as_of": as_of.isoformat()},
            )
            run_id = run.info.run_id
            try:
                log_run(client, run_id, params, metrics)
                client.log_artifacts(run_id, str(folder), ARTIFACT_PATH)
                made = client.create_model_version(
                    name, f"{run.info.artifact_uri}/{ARTIFACT_PATH}", run_id, tags=version_tags
                )
                client.set_registered_model_alias(name, CHALLENGER, str(made.version))
            except BaseException:
                client.set_terminated(run_id, "FAILED")
                raise
            client.set_terminated(run_id, "FINISHED")
        _log.info("Registered %s v%s as of %s.", model, made.version, as_of)
        return self.version(model, int(made.version))

    def versions(self, model: str) -> list[Version]:
        """Every version of a model, newest first; none when the model was never registered."""
        name = self._name(model)
        with translated(f"listing the versions of {model}"):
            aliases = aliases_of(self._client, name)
            found: list[ModelVersion] = []
            token: str | None = None
            while token is None or token:
                page = self._client.search_model_versions(
                    f"name='{name}'", max_results=_PAGE, page_token=token
                )
                found += page
                token = page.token or ""
        kept = [v for v in found if f"{PREFIX}manifest_checksum" in v.tags]
        if len(kept) < len(found):
            _log.warning("%s has versions that homerec did not register; they are left out.", name)
        made = [self._version(model, v, aliases.get(int(v.version), ())) for v in kept]
        return sorted(made, key=lambda v: v.version, reverse=True)

    def version(self, model: str, number: int) -> Version:
        """One version of a model.

        Raises
        ------
        RegistryError
            There is no such version, or it was not registered by homerec.
        """
        name = self._name(model)
        with translated(f"reading {model} v{number}"):
            try:
                found = self._client.get_model_version(name, str(number))
            except Exception as error:
                if not is_absent(error):
                    raise
                raise RegistryError(
                    f"{model} has no version {number}. List them: homerec models."
                ) from error
        return self._version(model, found, tuple(found.aliases))

    def champion(self, model: str) -> Version | None:
        """Return the version in production, or ``None``."""
        return self._by_alias(model, CHAMPION)

    def challenger(self, model: str) -> Version | None:
        """Return the newest version that was neither promoted nor rejected, or ``None``."""
        return self._by_alias(model, CHALLENGER)

    def champion_as_of(self, model: str, as_of: date) -> tuple[Version | None, bool]:
        """Return the champion whose training knew nothing of a date, for recomputing that date.

        Returns
        -------
        Version or None
            The version promoted last among those whose labels end at or before ``as_of``; versions
            that were rolled back do not count. Without one, the version that reaches least far
            beyond.
        bool
            Whether that one has seen the date (hindsight): its results are barred from evaluation.
        """
        return champion_of_date(self._promoted(model), as_of)

    def champions_of_last(
        self, model: str, days: int = 90, now: datetime | None = None
    ) -> list[Version]:
        """Champions, without today's, that were in production in the last days, best metric first.

        Parameters
        ----------
        model : str
            Name of the model.
        days : int
            Length of the period.
        now : datetime, optional
            Aware end of the period, by default the present.

        Returns
        -------
        list of Version
            By the metric of their last verdict; versions without one come last. Versions that were
            rolled back are left out: they are no standard to be measured by.
        """
        moment = now or datetime.now(UTC)
        return past_champions(self._promoted(model), moment - timedelta(days=days), moment)

    def best_of_last(
        self, model: str, days: int = 90, now: datetime | None = None
    ) -> Version | None:
        """First of :meth:`champions_of_last`, to be re-scored beside the champion."""
        past = self.champions_of_last(model, days, now)
        return past[0] if past else None

    def promote(
        self,
        model: str,
        version: int,
        verdict: Verdict | None,
        forced_by: str | None = None,
        reason: str | None = None,
        *,
        now: datetime | None = None,
    ) -> Version:
        """Make a version the champion: one move of the alias.

        Parameters
        ----------
        model, version : str, int
            What to promote.
        verdict : Verdict or None
            The gate's; ``None`` only in a forced promotion.
        forced_by, reason : str, optional
            Who overrides the gate (or a hold) and why; both or neither.
        now : datetime, optional
            Aware moment of the promotion, by default the present.

        Raises
        ------
        RegistryError
            The verdict does not promote this version, the model is on hold, or a forced promotion
            does not name who and why.
        ArtifactError
            The version's files are not what was registered.
        """
        chosen = self.version(model, version)
        if bool(forced_by) != bool(reason):
            raise RegistryError(
                f"A forced promotion of {chosen.name} names who and why; given are "
                f"{forced_by!r} and {reason!r}."
            )
        if not forced_by:
            self._check_free(chosen, verdict)
        chosen.manifest()
        if verdict is not None:
            self._record(chosen, verdict)
        self._set_champion(chosen, now or datetime.now(UTC))
        self._tag(chosen, {"forced_by": forced_by or "", "forced_reason": reason or ""})
        if forced_by:
            _log.warning("%s was promoted by force: %s (%s).", chosen.name, reason, forced_by)
        else:
            _log.info("%s is the champion.", chosen.name)
        return self.version(model, version)

    def hold(self, model: str, version: int, verdict: Verdict) -> Version:
        """Keep a hold verdict; the version stays the challenger.

        Raises
        ------
        RegistryError
            The verdict is not a hold, or of another version.
        """
        return self._refuse(model, version, verdict, "hold")

    def reject(self, model: str, version: int, verdict: Verdict) -> Version:
        """Keep a reject verdict; the version is no challenger any more.

        Raises
        ------
        RegistryError
            The verdict is not a rejection, or of another version.
        """
        refused = self._refuse(model, version, verdict, "reject")
        self._drop_challenger(refused)
        return self.version(model, version)

    def rollback(
        self, model: str, to: int, who: str, why: str, *, now: datetime | None = None
    ) -> Version:
        """Put a former champion back, and hold the model so that a retraining does not undo it.

        Raises
        ------
        RegistryError
            The version was never champion, or is now; or ``who`` or ``why`` is empty.
        ArtifactError
            The version's files are not what was registered.
        """
        if not who.strip() or not why.strip():
            raise RegistryError(f"Rolling {model} back to v{to} needs who and why.")
        chosen = self.version(model, to)
        current = self.champion(model)
        if current is not None and current.version == to:
            raise RegistryError(f"{chosen.name} is the champion already.")
        if chosen.promoted_at is None:
            raise RegistryError(
                f"{chosen.name} was never champion; promote it, by force if need be."
            )
        chosen.manifest()
        moment = now or datetime.now(UTC)
        note = {"who": who, "why": why, "since": moment.isoformat()}
        # The hold comes first: if this stops half-way, nothing else can take the place meanwhile.
        with translated(f"holding {model}"):
            self._client.set_registered_model_tag(
                self._name(model), f"{PREFIX}hold", json.dumps(note)
            )
        self._set_champion(chosen, moment)
        if current is not None:
            self._tag(current, {"rolled_back": json.dumps({**note, "to": to})})
        _log.warning("%s was rolled back to v%s by %s: %s.", model, to, who, why)
        return self.version(model, to)

    def held(self, model: str) -> Hold | None:
        """Return the hold that a rollback set on a model, or ``None``."""
        with translated(f"reading the hold of {model}"):
            try:
                stored = self._client.get_registered_model(self._name(model)).tags
            except Exception as error:
                if not is_absent(error):
                    raise
                return None
        text = stored.get(f"{PREFIX}hold")
        if not text:
            return None
        value = json.loads(text)
        return Hold(value["who"], value["why"], datetime.fromisoformat(value["since"]))

    def resume(self, model: str) -> bool:
        """Lift a model's hold; says whether there was one."""
        if self.held(model) is None:
            return False
        with translated(f"resuming {model}"):
            self._client.delete_registered_model_tag(self._name(model), f"{PREFIX}hold")
        return True

    @property
    def client(self) -> "MlflowClient":
        """MLflow's client, for modules of this package."""
        return self._client

    def registered_name(self, model: str) -> str:
        """Name of a model's versions in MLflow."""
        return self._name(model)

    @cached_property
    def _client(self) -> "MlflowClient":
        return make_client(self.tracking_uri)

    @cached_property
    def _experiment_id(self) -> str:
        # A server decides itself where its artifacts lie.
        remote = urlparse(self.tracking_uri).scheme in ("http", "https", "databricks")
        location = None if remote else (self.artifact_root / self.experiment).as_uri()
        return experiment_id(self._client, self.experiment, location)

    def _name(self, model: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", model):
            raise RegistryError(
                f"{model!r} cannot name a model; letters, digits, '_', '.' and '-' are allowed."
            )
        return f"{self.experiment}-{model}"

    def _by_alias(self, model: str, alias: str) -> Version | None:
        name = self._name(model)
        with translated(f"looking up the {alias} of {model}"):
            try:
                found = self._client.get_model_version_by_alias(name, alias)
            except Exception as error:
                if not is_absent(error):
                    raise
                return None
        return self._version(model, found, tuple(found.aliases))

    def _promoted(self, model: str) -> list[Version]:
        """Versions that are or were champion and were not rolled back, by promotion."""
        return in_order_of_promotion(self.versions(model))

    def _version(self, model: str, found: "ModelVersion", aliases: tuple[str, ...]) -> Version:
        return version_from(model, found, aliases, partial(self._folder, model, found))

    def _folder(self, model: str, found: "ModelVersion") -> Path:
        return version_folder(
            self._client, model, found, self.artifact_root / self.experiment, self.artifact_root
        )

    def _check_free(self, chosen: Version, verdict: Verdict | None) -> None:
        if verdict is None or not verdict.promoted:
            said = "there is no verdict" if verdict is None else f"the gate said {verdict.outcome}"
            raise RegistryError(
                f"{chosen.name} cannot be promoted: {said}. To override, force it with who and why."
            )
        hold = self.held(chosen.model)
        if hold is not None:
            raise RegistryError(
                f"{chosen.model} is on hold since {hold.since:%Y-%m-%d %H:%M} UTC by {hold.who}: "
                f"{hold.why}. Lift it first: homerec models resume {chosen.model}."
            )

    def _refuse(self, model: str, version: int, verdict: Verdict, outcome: str) -> Version:
        chosen = self.version(model, version)
        if verdict.outcome != outcome:
            raise RegistryError(
                f"The verdict on {chosen.name} is {verdict.outcome!r}; {outcome!r} was to be kept."
            )
        self._record(chosen, verdict)
        _log.warning("%s: %s. %s", chosen.name, outcome, verdict.summary)
        return self.version(model, version)

    def _record(self, chosen: Version, verdict: Verdict) -> None:
        """Keep a verdict as a file of the run, and the last one as a tag of the version."""
        if verdict.model != chosen.model or verdict.version not in (None, chosen.version):
            raise RegistryError(
                f"The verdict is on {verdict.model} v{verdict.version}, not on {chosen.name}."
            )
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z"
        text = verdict.to_json()
        with translated(f"keeping the verdict on {chosen.name}"):
            self._client.log_text(chosen.run_id, text, f"verdicts/{stamp}.json")
        if len(text) > _TAG_LENGTH:
            # The file holds every check; the tag then does without the segments that passed.
            kept = [c for c in verdict.checks if not (c.passed and c.name.startswith("segment"))]
            text = replace(verdict, checks=tuple(kept)).to_json()
        self._tag(chosen, {"verdict": text, "outcome": verdict.outcome})

    def _set_champion(self, chosen: Version, moment: datetime) -> None:
        name = self._name(chosen.model)
        current = self.champion(chosen.model)
        if current is not None and f"{PREFIX}promoted_at" not in current.tags:
            # Left by a process that died between the alias and the tag; without it, this champion
            # would be forgotten with the alias.
            when = current.promoted_at or current.created_at
            self._tag(current, {"promoted_at": when.isoformat()})
        if current is not None and current.version == chosen.version:
            # A repeated call, such as a task's retry, changes nothing.
            self._drop_challenger(chosen)
            return
        with translated(f"promoting {chosen.name}"):
            self._client.set_registered_model_alias(name, CHAMPION, str(chosen.version))
        self._tag(chosen, {"promoted_at": moment.astimezone(UTC).isoformat(), "rolled_back": ""})
        self._drop_challenger(chosen)

    def _drop_challenger(self, version: Version) -> None:
        challenger = self.challenger(version.model)
        if challenger is not None and challenger.version == version.version:
            with translated(f"removing the alias of {version.name}"):
                self._client.delete_registered_model_alias(self._name(version.model), CHALLENGER)

    def _tag(self, version: Version, tags: Mapping[str, str]) -> None:
        with translated(f"tagging {version.name}"):
            for key, value in tags.items():
                self._client.set_model_version_tag(
                    self._name(version.model), str(version.version), PREFIX + key, value
                )
