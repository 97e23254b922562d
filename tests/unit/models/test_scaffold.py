"""New models as files: what is written is sound, and what must not be written is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from homerec.cli import main
from homerec.errors import SettingsError
from homerec.models.catalogue import read_catalogue
from homerec.models.scaffold import draft, paths_of, removable, remove, write
from homerec.settings import ROOT, Settings
from homerec.training.experiments.reading import read_experiment


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What of a checkout it looks at."""
    shutil.copytree(ROOT / "homerec/models", tmp_path / "homerec/models")
    (tmp_path / "tests/unit/models").mkdir(parents=True)
    return tmp_path


def test_four_files_are_written_and_removed(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = tmp_path_factory.mktemp("removed")
    before = sorted(project.rglob("*"))
    made = draft("morning_news", shelf='News "live"', types=("show", "playlist"), root=project)
    assert sorted(project.rglob("*")) == before
    write(made, project)
    for path in paths_of("morning_news").values():
        assert (project / path).read_text(encoding="utf-8") == made.files[path]
    entries = {e.name: e for e in read_catalogue(Settings(), project / "homerec/models")}
    assert entries["morning_news"].shelf == 'News "live"'
    assert entries["morning_news"].cadence == "0 5 * * 1"
    own = project / "homerec/models/morning_news.py"
    own.write_text(own.read_text(encoding="utf-8") + "# my own work\n", encoding="utf-8")
    assert set(remove("morning_news", kept, project)) == set(made.files)
    assert (kept / "homerec/models/morning_news.py").read_text(encoding="utf-8").endswith("work\n")
    assert [p for p in sorted(project.rglob("*")) if p.is_file()] == [
        p for p in before if p.is_file()
    ]


def test_what_is_written_passes_the_projects_own_checks(project: Path) -> None:
    # Its rules differ by folder, relative to the configuration.
    shutil.copy(ROOT / "pyproject.toml", project)
    for name, types in (("morning_news", ("show",)), ("bands", ("artist", "album"))):
        write(draft(name, types=types, root=project), project)
        code = [str(p) for p in paths_of(name).values() if p.suffix == ".py"]
        for check in (("check",), ("format", "--check")):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *check, "--no-cache", *code],
                capture_output=True, text=True, check=False, timeout=60, cwd=project,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_title_may_hold_what_code_and_yaml_are_made_of(project: Path) -> None:
    title = 'News: "live" \'now\' """ # 100%'
    write(draft("morning_news", shelf=title, root=project), project)
    entries = {e.name: e for e in read_catalogue(Settings(), project / "homerec/models")}
    assert entries["morning_news"].shelf == title
    file = read_experiment(project / "experiments/morning_news.yaml")
    assert title in file.about
    compile((project / "tests/unit/models/test_morning_news.py").read_text(), "test", "exec")


def test_two_models_get_two_places(project: Path) -> None:
    for name in ("one_more", "two_more"):
        write(draft(name, positions=(32, 33), root=project), project)
    places = [
        line
        for name in ("one_more", "two_more")
        for line in (project / f"homerec/models/{name}.py").read_text().splitlines()
        if line.startswith("    position=")
    ]
    assert places == ["    position=34,", "    position=35,"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Albums", {}, "'Albums' cannot name a model; small letters"),
        ("a", {}, "cannot name a model"),
        ("9lives", {}, "cannot name a model"),
        ("my-model", {}, "cannot name a model"),
        ("../etc", {}, "cannot name a model"),
        ("class", {}, "cannot name a model"),
        ("podcasts", {}, "The name podcasts is taken; models are playlists, podcasts, shortcuts"),
        ("spec", {}, "The name spec is taken"),
        ("templates", {}, "The name templates is taken"),
        ("new_episodes", {"reserved": ["new_episodes"]}, "The name new_episodes is taken"),
        ("albums", {"types": ("song",)}, "item types are song; one or more of artist, album"),
        ("albums", {"types": ()}, "item types are none"),
        ("albums", {"types": ("show", "show")}, "each once"),
        ("albums", {"shelf": "shortcuts"}, "The shelf 'shortcuts' is that of the model shortcuts"),
        ("albums", {"shelf": " x"}, "without blanks around them"),
        ("albums", {"shelf": ""}, "1 to 60 printable"),
        ("albums", {"shelf": "a\nb"}, "printable"),
        ("albums", {"shelf": "in {market}"}, "braces"),
    ],
)
def test_a_bad_or_taken_name_is_refused(
    project: Path, name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        draft(name, root=project, **options)  # type: ignore[arg-type]


def test_nothing_is_overwritten(project: Path) -> None:
    (project / "docs/models").mkdir(parents=True)
    (project / "docs/models/albums.md").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"docs/models/albums\.md is there already"):
        draft("albums", root=project)


def test_only_what_it_made_is_removed(project: Path) -> None:
    with pytest.raises(SettingsError, match="was not made by new-model"):
        removable("podcasts", project)
    with pytest.raises(SettingsError, match="There is no model albums"):
        removable("albums", project)
    with pytest.raises(SettingsError, match="is no checkout"):
        draft("albums", root=project / "tests")


def test_the_command_says_what_it_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-model", "test_only_albums", "--type", "album", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert 'name="test_only_albums"' in out
    assert 'item_types=("album",)' in out
    assert "Nothing was written." in out
    assert not (ROOT / "homerec/models/test_only_albums.py").exists()
    assert main(["new-model", "popular"]) == 1
    assert "The name popular is taken" in capsys.readouterr().err
