"""Made-up titles: pronounceable, varied, and the same for the same seed."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def _words(text: str, separator: str | None = None) -> list[str]:
    return text.split(separator)


_FIRST: Final = _words(
    "Midnight Velvet Paper Golden Silver Hollow Quiet Distant Broken Electric Crimson Amber "
    "Northern Southern Wild Slow Burning Frozen Salt Glass Iron Copper Marble Hidden Second "
    "Last Lost Little Great Open Blue Green Scarlet Pale Ancient Modern Secret Common "
    "Restless Gentle Endless Sunday Monday Winter Summer Autumn April Violet Cobalt Neon "
    "Lunar Solar Coastal Urban Rural Borrowed Crooked Honest Patient Wandering Tender Loud "
    "Bright "
)
_SECOND: Final = _words(
    "Ledger Harbor Garden River Signal Mirror Engine Lantern Orchard Station Window Compass "
    "Archive Parade Kitchen Meadow Machine Theater Letter Island Tunnel Bridge Feather Anchor "
    "Atlas Market Corner Highway Satellite Weather Question Answer Memory Season Shadow "
    "Current Circle Ladder Notebook Postcard Telegram Carousel Avenue Canyon Valley Forest "
    "Ocean Desert Empire Republic Village Museum Library Hotel Ballroom Arcade Courtyard "
    "Horizon Echo Fable Riddle Whisper "
)
_PLACE: Final = _words(
    "of the North;after Dark;in Bloom;on Trial;at Dawn;Revisited;Tonight;for Two;"
    "in Motion;without Maps;by the Sea;at the Border;Unplugged;in Reverse;from Home;"
    "Underground",
    ";",
)
_ONSETS: Final = _words("b br c d dr f g gr h j k kl l m n p pr r s st t tr v w z ")
_VOWELS: Final = _words("a e i o u ai ea io oa ")
_CODAS: Final = ["", "", "", *_words("n r l s m nd rk th x")]
_BANDS: Final = _words(
    "The {}s;{} Collective;{};{};{};{} Trio;DJ {};{} and Sons",
    ";",
)


def _syllables() -> list[str]:
    return [o + v + c for o in _ONSETS for v in _VOWELS for c in _CODAS]


def _take(words: list[str], choice: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(words).take(pa.array(choice))


def phrases(rng: np.random.Generator, n: int) -> pa.Array:
    """Return n titles of two or three words, such as "Hollow Lantern after Dark"."""
    first = _take(_FIRST, rng.integers(0, len(_FIRST), n))
    second = _take(_SECOND, rng.integers(0, len(_SECOND), n))
    ends = ["", *[" " + p for p in _PLACE]]
    # Half of the titles have no ending.
    end = np.maximum(rng.integers(-len(_PLACE), len(_PLACE) + 1, n), 0)
    both = pc.binary_join_element_wise(first, second, " ")
    return pc.binary_join_element_wise(both, _take(ends, end), "")


def names(rng: np.random.Generator, n: int) -> pa.Array:
    """Return n names of artists, such as "Tralio Benth" or "The Koarks"."""
    syllables = _syllables()
    parts = rng.integers(0, len(syllables), (n, 4))
    forms = rng.integers(0, len(_BANDS), n)
    made = []
    for (a, b, c, d), form in zip(parts.tolist(), forms.tolist(), strict=True):
        word = (syllables[a] + syllables[b]).capitalize()
        if form in (2, 3):
            word += " " + (syllables[c] + syllables[d]).capitalize()
        made.append(_BANDS[form].format(word))
    return pa.array(made)


def tagged(titles: pa.Array, tags: list[str], tag: npt.NDArray[np.int64]) -> pa.Array:
    """Append each title's tag: "Midnight Ledger · true crime"."""
    return pc.binary_join_element_wise(titles, _take(tags, tag), " · ")


def identifiers(prefix: str, first: int, n: int, width: int) -> pa.Array:
    """Return n text ids counted from ``first``, such as "show-00031"."""
    return pa.array([f"{prefix}-{i:0{width}d}" for i in range(first, first + n)], pa.string())
