import subprocess
import sys
from pathlib import Path

import pytest

from homerec.errors import SettingsError
from homerec.models import get_model, model_names
from homerec.models.catalogue import read_catalogue
from homerec.settings import Settings

FILE = '''"""Books that a listener may like.

More about it.
"""

from typing import Final

from homerec.models.spec import ModelSpec

LATER = 45

MODEL: Final = ModelSpec(name="books", shelf="Books for you", position=LATER{more})
'''


def write(folder: Path, more: str = "", text: str = FILE) -> Path:
    (folder / "books.py").write_text(text.replace("{more}", more), encoding="utf-8")
    (folder / "helper.py").write_text("VALUE = 1\nvalue: int\n", encoding="utf-8")
    return folder


def test_it_says_what_the_models_themselves_say() -> None:
    settings = Settings(models={"podcasts": {"cadence": "0 6 * * *", "enabled": False}})
    entries = read_catalogue(settings)
    assert [entry.name for entry in entries] == model_names()
    for entry in entries:
        spec = get_model(entry.name, settings)
        assert (entry.shelf, entry.cadence, entry.enabled) == (
            spec.shelf,
            spec.cadence,
            spec.enabled,
        )


def test_a_new_file_is_a_new_model(tmp_path: Path) -> None:
    (entry,) = read_catalogue(Settings(), write(tmp_path))
    assert (entry.name, entry.shelf, entry.cadence) == ("books", "Books for you", "0 4 * * 1")
    assert entry.enabled
    assert entry.doc == "Books that a listener may like."


def test_the_files_own_cadence_counts(tmp_path: Path) -> None:
    folder = write(tmp_path, ', cadence="0 5 * * *", enabled=False')
    (entry,) = read_catalogue(Settings(), folder)
    assert (entry.cadence, entry.enabled) == ("0 5 * * *", False)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (", cadence=CADENCE", r"books\.py:12: cadence is 'CADENCE', a literal is needed"),
        (', cadence=f"0 {h} * * *"', "a literal is needed"),
    ],
)
def test_what_is_no_literal_is_named_with_its_place(
    tmp_path: Path, more: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        read_catalogue(Settings(), write(tmp_path, more))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL = OTHER\n", "MODEL is not a call of ModelSpec"),
        ('MODEL = ModelSpec(shelf="x")\n', "gives no name by keyword"),
        ("MODEL = (\n", "not valid Python"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_catalogue(Settings(), write(tmp_path, text=text))


def test_reading_it_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from homerec.models.catalogue import read_catalogue\n"
        "from homerec.settings import Settings\n"
        "assert read_catalogue(Settings())\n"
        "heavy = {'numpy', 'pandas', 'duckdb', 'sklearn', 'implicit'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
