"""Checks of the parameters that sources and rankers take: what their signatures say, at a call."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError, validate_call

F = TypeVar("F", bound=Callable[..., None])

#: A whole number of at least 1.
Count = Annotated[int, Field(ge=1, strict=True)]
#: Leaves of a tree.
Leaves = Annotated[int, Field(ge=2, strict=True)]
#: Any whole number; a seed.
Whole = Annotated[int, Field(strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
#: In [0, 1].
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
ItemType = Literal["artist", "album", "playlist", "show"]


def checked(init: F) -> F:
    """Check the arguments of an ``__init__`` against its annotations.

    What does not fit is a pydantic ValidationError, which :func:`complaint` writes for people.
    """
    return validate_call(init)


def complaint(error: ValidationError) -> str:
    """Name each argument that does not fit, what was given and what is allowed."""
    parts = []
    for one in error.errors(include_url=False):
        name = ".".join(str(part) for part in one["loc"])
        if one["type"] == "unexpected_keyword_argument":
            parts.append(f"there is no parameter {name}")
        else:
            parts.append(f"{name} is {one['input']!r}: {one['msg'][:1].lower()}{one['msg'][1:]}")
    return "; ".join(parts)
