"""What a fit keeps as one file of arrays, without pickles."""

import json
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from homerec.candidates.starts.attributes import Attributes
from homerec.candidates.starts.languages import Languages
from homerec.candidates.starts.learned import Learned, Member
from homerec.candidates.starts.novelty import Novelty
from homerec.candidates.starts.popularity import Choosing, Popularity
from homerec.candidates.starts.support import Chooser
from homerec.columns import ITEM_TYPES
from homerec.errors import OutdatedArtifactError

#: Arrays with one line for each member.
_OF_MEMBERS: Final = (
    "factors", "of_attributes", "support_weight", "followed", "log_chance", "due", "log_mass",
    "mean", "covariance",
)  # fmt: skip
#: Raised when the same factors would give a listener another place, or an item another score.
_READING: Final = 7


def write(learned: Learned, path: Path) -> None:
    """Write a fit as a file of numpy's npz format."""
    members = learned.members
    choosing = [m.popularity.choosing for m in members]
    np.savez(
        path,
        reading=np.array(_READING),
        weights=np.array([learned.weights.get(t, 0.0) for t in ITEM_TYPES]),
        item_keys=learned.item_keys,
        factors=np.stack([m.factors for m in members]),
        of_attributes=np.stack([m.of_attributes for m in members]),
        support_weight=np.stack([m.support_weight for m in members]),
        followed=np.stack([m.languages.share for m in members]),
        log_chance=np.stack([m.popularity.log_chance for m in members]),
        due=np.stack([m.popularity.due for m in members]),
        log_mass=np.stack([c.log_mass for c in choosing]),
        mean=np.stack([c.mean for c in choosing]),
        covariance=np.stack([c.covariance for c in choosing]),
        began=np.array(learned.began.isoformat()),
        novelty=np.array(json.dumps({t: n.to_json() for t, n in learned.novelty.items()})),
        types=learned.types,
        kinds=np.array(learned.kinds, dtype=np.str_),
        shares=learned.shares,
        spoken=learned.spoken,
        tags=np.array(learned.attributes.tags, dtype=np.str_),
        languages=np.array(learned.attributes.languages, dtype=np.str_),
        markets=np.array(learned.markets, dtype=np.str_),
        support=learned.chooser.items,
        bounds=learned.chooser.bounds,
    )


def read(path: Path, *, tag_strength: float, foreign: float, ceiling: float) -> Learned:
    """Read a fit.

    Parameters
    ----------
    path : Path
    tag_strength, foreign, ceiling : float
        The source's parameters, which stand in the model's manifest.

    Raises
    ------
    OutdatedArtifactError
        Its factors were learned from starts that were read in another way.
    """
    with np.load(path, allow_pickle=False) as arrays:
        if "reading" not in arrays.files or arrays["reading"] != _READING:
            raise OutdatedArtifactError(
                f"{path} is of an older homerec, which read starts in another way. "
                "Train the model again (homerec train), or use the version that wrote it."
            )
        columns = {name: arrays[name] for name in _OF_MEMBERS}
        members = tuple(
            Member(
                one["factors"],
                one["of_attributes"],
                one["support_weight"],
                Languages(one["followed"], foreign),
                Popularity(
                    one["log_chance"],
                    one["due"],
                    Choosing(one["log_mass"], one["mean"], one["covariance"]),
                ),
            )
            for one in (
                {name: values[number] for name, values in columns.items()}
                for number in range(len(columns["factors"]))
            )
        )
        novelty = json.loads(str(arrays["novelty"]))
        # How likely an item was to be chosen is in the weights already.
        inclusion = np.ones(len(arrays["support"]))
        return Learned(
            members=members,
            item_keys=arrays["item_keys"],
            types=arrays["types"],
            kinds=tuple(str(kind) for kind in arrays["kinds"]),
            shares=arrays["shares"],
            spoken=arrays["spoken"],
            attributes=Attributes(
                tuple(str(tag) for tag in arrays["tags"]),
                tuple(str(language) for language in arrays["languages"]),
                tag_strength,
            ),
            markets=tuple(str(market) for market in arrays["markets"]),
            chooser=Chooser(arrays["support"], arrays["bounds"], inclusion, ceiling),
            novelty={kind: Novelty.from_json(values) for kind, values in novelty.items()},
            began=date.fromisoformat(str(arrays["began"])),
            weights=dict(zip(ITEM_TYPES, arrays["weights"].tolist(), strict=True)),
        )
