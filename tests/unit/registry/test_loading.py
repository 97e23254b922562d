"""Versions that were trained with what this homerec does not have."""

import json
from pathlib import Path
from typing import Any

import pytest

from homerec.errors import OutdatedArtifactError
from homerec.models import get_model
from homerec.models.spec import ModelSpec
from homerec.registry.loading import load_folder
from homerec.settings import Settings


def values_of(spec: ModelSpec) -> dict[str, Any]:
    """A manifest's values, as they are read back."""
    return {"parameters": {"spec": json.loads(json.dumps(spec.to_json()))}}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("source parameter", "starts: there is no parameter skipped_odds"),
        ("source", "There is no candidate source oracle"),
        ("baseline parameter", "popular: there is no parameter mood"),
        ("ranker parameter", "there is no parameter depth"),
        ("field", "unexpected keyword argument 'mood'"),
    ],
)
def test_a_version_of_another_homerec_says_what_it_had_and_what_to_do(
    tmp_path: Path, broken: str, said: str
) -> None:
    values = values_of(get_model("podcasts", Settings(home=tmp_path)))
    spec = values["parameters"]["spec"]
    starts = next(source for source in spec["sources"] if source["name"] == "starts")
    if broken == "source parameter":
        starts["parameters"]["skipped_odds"] = 0.75
    elif broken == "source":
        starts["name"] = "oracle"
    elif broken == "baseline parameter":
        spec["baseline"]["parameters"]["mood"] = "blue"
    elif broken == "ranker parameter":
        spec["ranker_parameters"]["depth"] = 3
    else:
        spec["mood"] = "blue"
    with pytest.raises(OutdatedArtifactError, match=f"another homerec: .*{said}.*Train the model"):
        load_folder(tmp_path, values)
