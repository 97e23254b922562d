"""The sources of a card, packed into one integer."""

import numpy as np
import pytest

from homerec.errors import ReleaseError
from homerec.home import sources
from homerec.home.sources import MAX_PROPOSERS, NUMBERS, pack_proposers, proposers_of
from homerec.models.spec import SOURCES

NAN = np.nan
NAMES = ["als", "co_listening", "popular"]


def told(ranks: list[list[float]], names: list[str] = NAMES) -> list[list[str]]:
    packed = pack_proposers(names, np.array(ranks, dtype=np.float32))
    assert packed.dtype == np.int32
    return [proposers_of(int(one)) for one in packed]


def test_sources_come_in_the_order_in_which_they_ranked_the_card() -> None:
    assert told([[3, NAN, 1], [1, NAN, 7], [2, 5, NAN]]) == [
        ["co_listening", "popular", "als"],
        ["popular"],
        ["als", "co_listening"],
    ]


def test_sources_that_ranked_a_card_alike_come_in_the_order_of_the_model() -> None:
    assert told([[2], [1], [1]]) == [["co_listening", "popular", "als"]]


def test_no_card_is_no_error_and_a_card_of_nobody_has_no_source() -> None:
    assert told([[], [], []]) == []
    assert told([[NAN], [NAN], [NAN]]) == [[]]


def test_the_six_best_of_more_sources_are_kept() -> None:
    names = [name for name in NUMBERS if name in SOURCES]
    assert len(names) > MAX_PROPOSERS
    ranks = [[float(len(names) - n)] for n in range(len(names))]
    assert told(ranks, names) == [names[::-1][:MAX_PROPOSERS]]


def test_every_candidate_source_has_a_number_that_fits() -> None:
    for name in SOURCES:
        assert told([[1.0]], [name]) == [[name]]


def test_a_number_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.NUMBERS, "als", 32)
    with pytest.raises(ReleaseError, match=r"Source als has number 32; .* must be below 32"):
        told([[1], [NAN], [2]])
