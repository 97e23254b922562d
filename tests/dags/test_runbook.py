"""What the runbook tells people to type is what the commands take."""

import re
import shlex
from pathlib import Path

import pytest

from homerec.cli.main import build_parser

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
PLACEHOLDERS = {"DATE": "2026-03-02", "MODEL": "podcasts", "VERSION": "6", "FEATURE": "item_trend"}
TYPED = sorted(
    set(re.findall(r"^ {4,}(homerec [^#\n]+)", TEXT, re.MULTILINE))
    | set(re.findall(r"`(homerec [^`]+)`", TEXT))
)


def test_there_are_commands_to_check() -> None:
    assert len(TYPED) > 15


@pytest.mark.parametrize("line", TYPED)
def test_a_command_of_the_runbook_parses(line: str) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line.strip())[1:]]
    if words == ["--help"]:
        return
    assert build_parser().parse_args(words).command == words[0]


def test_every_link_within_the_page_has_its_heading() -> None:
    headings = set(re.findall(r"^## (\w+)$", TEXT, re.MULTILINE))
    assert set(re.findall(r"\]\(#(\w+)\)", TEXT)) <= headings
