import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from homerec.errors import ArtifactError, RegistryError
from homerec.registry.artifacts import write_manifest
from homerec.registry.store import Registry, Version
from homerec.registry.verdict import Check, Outcome, Verdict

MONDAY = datetime(2026, 3, 2, 4, tzinfo=UTC)
_COUNTER = itertools.count()

Register = Callable[..., Version]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    home = tmp_path_factory.mktemp("mlflow")
    return Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts")


@pytest.fixture
def model() -> str:
    return f"podcasts{next(_COUNTER)}"


def save(folder: Path, model: str, as_of: date) -> Path:
    folder.mkdir()
    (folder / "histograms.json").write_text("{}")
    labels_end = as_of - timedelta(days=7)
    write_manifest(
        folder,
        {
            "model": model,
            "as_of": as_of,
            "created_at": MONDAY,
            "code_version": "0.1.0",
            "seed": 1,
            "features": ["a"],
            "training_snapshots": [labels_end - timedelta(days=7)],
            "label_windows": [(labels_end - timedelta(days=7), labels_end)],
            "metrics": {"ndcg@10": 0.25},
            "thresholds": {},
            "histograms": "histograms.json",
            "parameters": {},
        },
    )
    return folder


@pytest.fixture
def register(registry: Registry, model: str, tmp_path: Path) -> Register:
    def make(as_of: date = date(2026, 3, 1)) -> Version:
        folder = save(tmp_path / f"saved{next(_COUNTER)}", model, as_of)
        parameters = {"factors": 64, "types": ("show",), "note": "x" * 7_000}
        return registry.register(
            model, folder, parameters, {"ndcg@10": 0.25}, {"trigger": "schedule"}, as_of
        )

    return make


def verdict(version: Version, outcome: Outcome = "promote", value: float = 0.3) -> Verdict:
    return Verdict(
        model=version.model,
        version=version.version,
        outcome=outcome,
        summary="so it is",
        metric="ndcg_at_10",
        value=value,
        baseline_value=0.1,
        champion_value=None,
        n_listeners=500,
        minimal_detectable_lift=0.01,
        evaluation_as_of=date(2026, 3, 8),
        seed=1,
        checks=(Check("floor", value, 0.1, outcome == "promote", outcome, "above"),),
    )


def test_a_registered_model_is_the_challenger(registry: Registry, register: Register) -> None:
    version = register()
    assert (version.version, version.status) == (1, "challenger")
    assert version.aliases == ("challenger",)
    assert version.metrics == {"ndcg@10": 0.25}
    assert version.as_of == date(2026, 3, 1)
    assert version.labels_end == date(2026, 2, 22)
    assert version.tags["trigger"] == "schedule"
    assert registry.challenger(version.model) == version
    assert registry.champion(version.model) is None
    run = registry._client.get_run(version.run_id)
    assert run.data.metrics == {"ndcg_at_10": 0.25}
    assert run.data.params["types"] == '["show"]'
    assert len(run.data.params["note"]) == 6_000
    assert run.info.status == "FINISHED"


def test_the_registered_files_are_a_verified_copy(registry: Registry, register: Register) -> None:
    version = register()
    assert registry.artifact_root in version.folder.parents
    assert version.manifest().model == version.model
    (version.folder / "histograms.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"altered histograms\.json"):
        version.manifest()


def test_an_unknown_model_has_nothing(registry: Registry) -> None:
    assert registry.versions("nobody") == []
    assert registry.champion("nobody") is None
    assert registry.challenger("nobody") is None
    assert registry.champion_as_of("nobody", date(2026, 3, 1)) == (None, False)
    assert registry.best_of_last("nobody") is None
    assert registry.held("nobody") is None
    with pytest.raises(RegistryError, match="nobody has no version 3"):
        registry.version("nobody", 3)
    with pytest.raises(RegistryError, match="cannot name a model"):
        registry.champion("a/b")


def test_a_model_is_registered_under_its_own_name_only(
    registry: Registry, register: Register, model: str, tmp_path: Path
) -> None:
    folder = save(tmp_path / "saved", model, date(2026, 3, 1))
    for name, as_of in (("other", date(2026, 3, 1)), (model, date(2026, 3, 2))):
        with pytest.raises(RegistryError, match="was to be registered"):
            registry.register(name, folder, {}, {}, {}, as_of)
    (folder / "extra").write_text("x")
    with pytest.raises(ArtifactError, match="extra extra"):
        registry.register(model, folder, {}, {}, {}, date(2026, 3, 1))


def test_a_failed_registration_leaves_a_failed_run_and_no_version(
    registry: Registry, model: str, tmp_path: Path
) -> None:
    folder = save(tmp_path / "saved", model, date(2026, 3, 1))
    with pytest.raises(RegistryError, match="refused while registering"):
        registry.register(model, folder, {}, {}, {"k" * 300: "too long"}, date(2026, 3, 1))
    assert registry.versions(model) == []


def test_a_promotion_moves_the_alias_and_keeps_the_verdict(
    registry: Registry, register: Register
) -> None:
    first, second = register(), register()
    said = verdict(second)
    registry.promote(first.model, first.version, verdict(first))
    promoted = registry.promote(second.model, second.version, said, now=datetime.now(UTC))
    assert promoted.status == "champion"
    assert promoted.aliases == ("champion",)
    assert promoted.verdict == said
    assert registry.champion(first.model) == promoted
    assert registry.challenger(first.model) is None
    assert [(v.version, v.status) for v in registry.versions(first.model)] == [
        (2, "champion"),
        (1, "former"),
    ]
    kept = list((promoted.folder.parent / "verdicts").iterdir())
    assert [Verdict.from_json(file.read_text()) for file in kept] == [said]


def test_promoting_again_changes_nothing(registry: Registry, register: Register) -> None:
    version = register()
    once = registry.promote(version.model, 1, verdict(version), now=MONDAY)
    again = registry.promote(version.model, 1, verdict(version), now=MONDAY + timedelta(days=1))
    assert again.promoted_at == once.promoted_at == MONDAY


def test_only_a_promoting_verdict_promotes(registry: Registry, register: Register) -> None:
    version = register()
    with pytest.raises(RegistryError, match="the gate said hold"):
        registry.promote(version.model, 1, verdict(version, "hold"))
    with pytest.raises(RegistryError, match="there is no verdict"):
        registry.promote(version.model, 1, None)
    with pytest.raises(RegistryError, match="not on"):
        registry.promote(version.model, 1, replace(verdict(version), version=4))
    assert registry.champion(version.model) is None


def test_a_forced_promotion_names_who_and_why(registry: Registry, register: Register) -> None:
    version = register()
    with pytest.raises(RegistryError, match="names who and why"):
        registry.promote(version.model, 1, None, forced_by="ada")
    promoted = registry.promote(
        version.model, 1, verdict(version, "reject"), forced_by="ada", reason="launch"
    )
    assert promoted.status == "champion"
    assert promoted.tags["homerec.forced_by"] == "ada"
    assert promoted.tags["homerec.forced_reason"] == "launch"
    assert promoted.verdict is not None
    assert promoted.verdict.outcome == "reject"


def test_an_altered_model_is_not_promoted(registry: Registry, register: Register) -> None:
    version = register()
    (version.folder / "histograms.json").unlink()
    with pytest.raises(ArtifactError, match="missing histograms"):
        registry.promote(version.model, 1, verdict(version))
    assert registry.champion(version.model) is None


def test_a_hold_stays_the_challenger_and_a_rejection_does_not(
    registry: Registry, register: Register
) -> None:
    version = register()
    held = registry.hold(version.model, 1, verdict(version, "hold"))
    assert (held.status, held.aliases) == ("hold", ("challenger",))
    rejected = registry.reject(version.model, 1, verdict(version, "reject"))
    assert (rejected.status, rejected.aliases) == ("reject", ())
    with pytest.raises(RegistryError, match="'promote'; 'hold' was to be kept"):
        registry.hold(version.model, 1, verdict(version))


def test_every_verdict_is_kept_and_a_long_one_fits_the_tag(
    registry: Registry, register: Register
) -> None:
    version = register()
    fine = Check("segment market=X floor", 1.0, 0.0, True, "promote", "d" * 300)
    long = replace(verdict(version), checks=verdict(version).checks + (fine,) * 400)
    registry.hold(version.model, 1, verdict(version, "hold"))
    promoted = registry.promote(version.model, 1, long)
    files = sorted((promoted.folder.parent / "verdicts").iterdir())
    assert [Verdict.from_json(f.read_text()).outcome for f in files] == ["hold", "promote"]
    assert Verdict.from_json(files[1].read_text()) == long
    assert promoted.verdict is not None
    assert [c.name for c in promoted.verdict.checks] == ["floor"]


def test_the_champion_of_a_date_knew_nothing_of_it(registry: Registry, register: Register) -> None:
    for week in range(3):
        version = register(date(2026, 3, 1) + timedelta(weeks=week))
        registry.promote(
            version.model, version.version, verdict(version), now=MONDAY + timedelta(weeks=week)
        )
    model = version.model

    def on(day: date) -> tuple[int | None, bool]:
        found, hindsight = registry.champion_as_of(model, day)
        return found.version if found else None, hindsight

    assert on(date(2026, 2, 21)) == (1, True)
    assert on(date(2026, 2, 22)) == (1, False)
    assert on(date(2026, 3, 7)) == (2, False)
    assert on(date(2026, 3, 8)) == (3, False)
    assert on(date(2027, 1, 1)) == (3, False)


def test_a_version_never_promoted_is_nobodys_champion(
    registry: Registry, register: Register
) -> None:
    version = register()
    registry.reject(version.model, 1, verdict(version, "reject"))
    assert registry.champion_as_of(version.model, date(2027, 1, 1)) == (None, False)


def test_the_best_past_champion_of_the_last_days(registry: Registry, register: Register) -> None:
    for value, days in ((0.9, 0), (0.5, 50), (0.7, 100), (0.6, 120), (0.4, 150)):
        version = register()
        moment = MONDAY + timedelta(days=days)
        registry.promote(version.model, version.version, verdict(version, value=value), now=moment)
    now = MONDAY + timedelta(days=160)
    past = registry.champions_of_last(version.model, 90, now)
    # v1 left production on day 50, before day 70; v5 is today's.
    assert [v.version for v in past] == [3, 4, 2]
    best = registry.best_of_last(version.model, 90, now)
    assert best is not None
    assert best.version == 3
    assert registry.best_of_last(version.model, 5, now) is None


def test_a_rollback_puts_a_former_champion_back_and_holds(
    registry: Registry, register: Register
) -> None:
    for day in range(3):
        version = register()
        moment = MONDAY + timedelta(days=day)
        registry.promote(version.model, version.version, verdict(version), now=moment)
    model = version.model
    back = registry.rollback(model, 2, "ada", "odd shelves", now=MONDAY + timedelta(days=3))
    assert back.status == "champion"
    assert [v.status for v in registry.versions(model)] == ["rolled_back", "champion", "former"]
    assert registry.champion_as_of(model, date(2027, 1, 1)) == (back, False)
    now = MONDAY + timedelta(days=4)
    assert [v.version for v in registry.champions_of_last(model, 90, now)] == [1]
    held = registry.held(model)
    assert held is not None
    assert (held.who, held.why) == ("ada", "odd shelves")

    new = register()
    with pytest.raises(RegistryError, match="on hold since 2026-03-05 04:00 UTC by ada: odd"):
        registry.promote(model, new.version, verdict(new))
    assert registry.resume(model)
    assert not registry.resume(model)
    assert registry.promote(model, new.version, verdict(new)).status == "champion"


def test_a_version_rolled_back_may_be_promoted_again(
    registry: Registry, register: Register
) -> None:
    first, second = register(), register()
    model = first.model
    registry.promote(model, 1, verdict(first), now=MONDAY)
    registry.promote(model, 2, verdict(second), now=MONDAY + timedelta(days=1))
    registry.rollback(model, 1, "ada", "odd")
    registry.promote(model, 2, None, forced_by="ada", reason="was fine")
    registry.promote(model, 1, None, forced_by="ada", reason="again")
    assert [v.status for v in registry.versions(model)] == ["former", "champion"]


def test_a_rollback_needs_a_former_champion_and_a_reason(
    registry: Registry, register: Register
) -> None:
    first = register()
    register()
    registry.promote(first.model, 1, verdict(first))
    with pytest.raises(RegistryError, match="is the champion already"):
        registry.rollback(first.model, 1, "ada", "why")
    with pytest.raises(RegistryError, match="was never champion"):
        registry.rollback(first.model, 2, "ada", "why")
    with pytest.raises(RegistryError, match="needs who and why"):
        registry.rollback(first.model, 2, "ada", " ")
    assert registry.held(first.model) is None


def test_a_champion_whose_promotion_was_cut_short_is_not_forgotten(
    registry: Registry, register: Register
) -> None:
    first, second = register(), register()
    model = first.model
    # What a process leaves that dies right after it moved the alias.
    registry._client.set_registered_model_alias(f"homerec-{model}", "champion", "1")
    champion = registry.champion(model)
    assert champion is not None
    assert champion.promoted_at is not None
    assert registry.champion_as_of(model, date(2027, 1, 1)) == (champion, False)
    registry.promote(model, 2, verdict(second))
    assert [v.status for v in registry.versions(model)] == ["champion", "former"]


def test_a_version_that_homerec_did_not_register_is_left_out(
    registry: Registry, register: Register
) -> None:
    version = register()
    name = f"homerec-{version.model}"
    registry._client.create_model_version(name, "file:///elsewhere", version.run_id)
    assert [v.version for v in registry.versions(version.model)] == [1]
    with pytest.raises(RegistryError, match="homerec did not register it"):
        registry.version(version.model, 2)


def test_more_versions_than_a_page_are_all_listed(
    registry: Registry, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homerec.registry.store._PAGE", 2)
    versions = [register() for _ in range(5)]
    assert [v.version for v in registry.versions(versions[0].model)] == [5, 4, 3, 2, 1]


def test_files_in_another_store_are_fetched_and_verified(
    registry: Registry, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register()
    name = f"homerec-{version.model}"
    found = registry._client.get_model_version(name, "1")
    found._source = f"mlflow-artifacts:/{version.run_id}/artifacts/model"
    monkeypatch.setattr(registry._client, "get_model_version", lambda *_: found)
    remote = registry.version(version.model, 1)
    assert remote.folder != version.folder
    assert remote.manifest().model == version.model
    (version.folder / "histograms.json").write_text("altered after it was fetched")
    assert registry.version(version.model, 1).manifest().model == version.model


def test_files_that_are_altered_in_another_store_are_not_kept(
    registry: Registry, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register()
    found = registry._client.get_model_version(f"homerec-{version.model}", "1")
    found._source = f"mlflow-artifacts:/{version.run_id}/artifacts/model"
    monkeypatch.setattr(registry._client, "get_model_version", lambda *_: found)
    (version.folder / "histograms.json").write_text("[]")
    with pytest.raises(ArtifactError, match="altered"):
        _ = registry.version(version.model, 1).folder
    assert not list((registry.artifact_root / "downloads" / version.model).iterdir())


def test_files_are_found_after_the_deployment_moved(
    registry: Registry, register: Register, tmp_path: Path
) -> None:
    version = register()
    moved = Registry(registry.tracking_uri, tmp_path / "moved")
    run = version.folder.parents[1]
    target = tmp_path / "moved" / "homerec" / run.name
    target.parent.mkdir(parents=True)
    run.rename(target)
    assert moved.version(version.model, 1).manifest().model == version.model
    with pytest.raises(ArtifactError, match="Restore the folder"):
        _ = registry.version(version.model, 1).folder


def test_a_wrong_address_is_said_without_its_password() -> None:
    bad = Registry("nosuch://ada:secret@host/db", Path("unused"))
    with pytest.raises(RegistryError, match=r"nosuch://ada:\*\*\*@host/db") as caught:
        bad.champion("podcasts")
    assert "secret" not in str(caught.value)


def test_importing_the_registry_does_not_import_mlflow() -> None:
    code = (
        "import sys, homerec.registry.store, homerec.registry.gate, homerec.drift.references\n"
        "sys.exit(any(m in sys.modules for m in ('mlflow', 'sklearn', 'skops', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
