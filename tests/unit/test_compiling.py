from pathlib import Path

from homerec import compiling
from homerec.compiling import _drop_stale

SOURCES = Path(compiling.__file__).parent


def test_code_kept_from_other_sources_is_dropped_once(tmp_path: Path) -> None:
    (tmp_path / "listening.nbi").touch()
    _drop_stale.__wrapped__(tmp_path, SOURCES)
    assert not (tmp_path / "listening.nbi").exists()
    (tmp_path / "listening.nbi").touch()
    _drop_stale.__wrapped__(tmp_path, SOURCES)
    assert (tmp_path / "listening.nbi").exists()


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").touch()
    _drop_stale.__wrapped__(tmp_path / "file", SOURCES)
    assert "may be out of date" in caplog.text
