"""Histograms of features: edges are frozen when a model is trained, and counted on every night."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from homerec.errors import ArtifactError, EmptyInput

Kind = Literal["numeric", "discrete"]

MISSING: Final = "missing"
OTHER: Final = "other"
#: Up to so many distinct values are counted one by one instead of in ranges.
MAX_DISCRETE: Final = 32

_FORMAT: Final = 1


@dataclass(frozen=True)
class FeatureHistogram:
    """Counts of one feature.

    Attributes
    ----------
    kind : {"numeric", "discrete"}
        Counted in ranges, or value by value.
    edges : tuple of float
        ``numeric``: ascending edges of the ranges, each a float32 value; a range includes its lower
        edge, the last one also its upper edge. ``discrete``: the values, ascending.
    counts : tuple of int
        ``numeric``: underflow, one per range, overflow, missing; that is ``len(edges) + 2``.
        ``discrete``: one per value, other, missing; that is ``len(edges) + 2``.
    """

    kind: Kind
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse counts that do not fit the edges, so that a damaged file cannot be compared."""
        if self.kind not in ("numeric", "discrete") or len(self.counts) != len(self.edges) + 2:
            raise ArtifactError(
                f"A {self.kind} histogram with {len(self.edges)} edges has {len(self.counts)} "
                f"counts, {len(self.edges) + 2} are needed. Its file is damaged: restore it."
            )
        if self.kind == "numeric" and len(self.edges) < 2:
            raise ArtifactError("A numeric histogram needs two edges. Its file is damaged.")
        if any(count < 0 for count in self.counts):
            raise ArtifactError("A histogram holds a negative count. Its file is damaged.")

    def labels(self) -> tuple[str, ...]:
        """Name each bin, in the order of ``counts``; no two are alike."""
        # float32's shortest text is unique among float32 values, so two bins never share a name.
        edges = [str(np.float32(edge)) for edge in self.edges]
        if self.kind == "discrete":
            return (*edges, OTHER, MISSING)
        last = len(edges) - 2
        ranges = (
            f"[{low}, {high}{']' if i == last else ')'}"
            for i, (low, high) in enumerate(itertools.pairwise(edges))
        )
        return (f"< {edges[0]}", *ranges, f"> {edges[-1]}", MISSING)

    def bins(self) -> dict[str, int]:
        """Return the counts by bin name."""
        return dict(zip(self.labels(), self.counts, strict=True))


@dataclass(frozen=True)
class Histograms:
    """Histograms of several features over the same rows.

    Attributes
    ----------
    features : dict of str to FeatureHistogram
        By feature name, in the order of the columns.
    n_rows : int
        Rows counted.
    label : str
        Which rows, for messages, such as ``"2026-03-08 (champion podcasts v7)"``.
    extra : tuple of str
        Columns that were there but that the frozen edges do not know.
    """

    features: dict[str, FeatureHistogram]
    n_rows: int
    label: str = ""
    extra: tuple[str, ...] = ()

    def subset(self, names: Sequence[str]) -> "Histograms":
        """Keep the named features that are there; extra columns are dropped."""
        kept = {name: self.features[name] for name in names if name in self.features}
        return replace(self, features=kept, extra=())

    def same_edges(self, other: "Histograms") -> bool:
        """Whether they share a feature, and every shared one was counted on the same edges."""
        shared = self.features.keys() & other.features.keys()
        return bool(shared) and all(
            (self.features[n].kind, self.features[n].edges)
            == (other.features[n].kind, other.features[n].edges)
            for n in shared
        )

    def to_json(self) -> str:
        """Write as JSON text; :meth:`from_json` reads the same value back."""
        features = {
            name: {"kind": h.kind, "edges": list(h.edges), "counts": list(h.counts)}
            for name, h in self.features.items()
        }
        value = {
            "format": _FORMAT,
            "label": self.label,
            "n_rows": self.n_rows,
            "extra": list(self.extra),
            "features": features,
        }
        return json.dumps(value, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Histograms":
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ArtifactError
            The text is not such JSON, or its counts do not fit its edges.
        """
        try:
            value = json.loads(text)
            if value["format"] != _FORMAT:
                raise ArtifactError(
                    f"Histograms have format {value['format']}, {_FORMAT} can be read."
                )
            features = {name: _feature(stored) for name, stored in value["features"].items()}
            return cls(features, int(value["n_rows"]), value["label"], tuple(value["extra"]))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"Histograms cannot be read: {type(error).__name__} {error}. Restore their file, "
                "or delete it to have it recorded anew."
            ) from error


def _feature(stored: Mapping[str, Any]) -> FeatureHistogram:
    return FeatureHistogram(
        stored["kind"],
        tuple(float(edge) for edge in stored["edges"]),
        tuple(int(count) for count in stored["counts"]),
    )


def freeze(
    values: npt.NDArray[np.floating],
    names: Sequence[str],
    bins: int = 20,
    *,
    label: str = "",
) -> Histograms:
    """Choose edges from these rows, and count them.

    A column with at most 32 distinct values, each on average in two rows or more, is counted by
    value. Any other is cut at its quantiles; equal quantiles become one edge. Infinite values never
    make an edge.

    Parameters
    ----------
    values : float32 (n, f)
        NaN means missing.
    names : sequence of str, length f
        Names of the columns.
    bins : int
        Ranges of a numeric feature, at most.
    label : str
        Which rows these are, for messages.

    Raises
    ------
    EmptyInput
        There are no rows or no columns.
    ArtifactError
        Names and columns do not match, or ``bins`` is below 2.

    Examples
    --------
    >>> import numpy as np
    >>> h = freeze(np.array([[0], [0], [1], [1], [np.nan]], dtype=np.float32), ["clicks"])
    >>> h.features["clicks"].bins()
    {'0.0': 2, '1.0': 2, 'other': 0, 'missing': 1}
    """
    matrix = _matrix(values, names, label)
    if bins < 2:
        raise ArtifactError(f"Histograms need at least 2 bins, {bins} were asked for.")
    features = {}
    for at, name in enumerate(names):
        column = np.ascontiguousarray(matrix[:, at])
        kind, edges = _edges(column, bins)
        features[name] = FeatureHistogram(kind, edges, _counts(column, kind, edges))
    return Histograms(features, len(matrix), label)


def count(
    reference: Histograms,
    values: npt.NDArray[np.floating],
    names: Sequence[str],
    *,
    label: str = "",
) -> Histograms:
    """Count other rows on frozen edges.

    Parameters
    ----------
    reference : Histograms
        Whose edges to use.
    values : float32 (n, f)
        NaN means missing.
    names : sequence of str, length f
        Names of the columns, in any order. A feature of the reference that is not among them is
        left out, which :func:`homerec.drift.check.compare` reports; unknown columns are listed in
        ``extra``.
    label : str
        Which rows these are, for messages.

    Raises
    ------
    EmptyInput
        There are no rows or no columns.
    ArtifactError
        Names and columns do not match.
    """
    matrix = _matrix(values, names, label)
    at = {name: position for position, name in enumerate(names)}
    features = {
        name: FeatureHistogram(
            frozen.kind,
            frozen.edges,
            _counts(np.ascontiguousarray(matrix[:, at[name]]), frozen.kind, frozen.edges),
        )
        for name, frozen in reference.features.items()
        if name in at
    }
    extra = tuple(name for name in names if name not in reference.features)
    return Histograms(features, len(matrix), label, extra)


def merge(parts: Sequence[Histograms]) -> Histograms:
    """Add the counts of several shards that were counted on the same edges.

    Raises
    ------
    EmptyInput
        There are no parts.
    ArtifactError
        The parts differ in features or edges.
    """
    if not parts:
        raise EmptyInput("There are no histograms to merge: no shard was counted.")
    first = parts[0]
    for part in parts[1:]:
        if part.features.keys() != first.features.keys() or not part.same_edges(first):
            raise ArtifactError(
                f"Histograms of {part.label or 'a shard'} and {first.label or 'another'} have "
                "different features or edges; count every shard on the same frozen histograms."
            )
    features = {
        name: replace(
            h,
            counts=tuple(
                sum(c) for c in zip(*(p.features[name].counts for p in parts), strict=True)
            ),
        )
        for name, h in first.features.items()
    }
    extra = tuple(dict.fromkeys(name for part in parts for name in part.extra))
    return Histograms(features, sum(part.n_rows for part in parts), first.label, extra)


def _matrix(
    values: npt.NDArray[np.floating], names: Sequence[str], label: str
) -> npt.NDArray[np.float32]:
    matrix = np.asarray(values, dtype=np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != len(names) or len(set(names)) != len(names):
        raise ArtifactError(
            f"Histograms need values (n, f) and f distinct names; values are {matrix.shape}, "
            f"names are {len(names)} of which {len(set(names))} are distinct."
        )
    if matrix.size == 0:
        raise EmptyInput(
            f"Values{f' of {label}' if label else ''} are {matrix.shape}: at least one row and one "
            "column are needed to judge drift. Check that the snapshot before it has rows."
        )
    return matrix


def _edges(column: npt.NDArray[np.float32], bins: int) -> tuple[Kind, tuple[float, ...]]:
    finite = np.sort(column[np.isfinite(column)])
    if len(finite) == 0:
        return "discrete", ()
    starts = np.flatnonzero(np.concatenate(([True], finite[1:] != finite[:-1])))
    n_distinct = len(starts)
    # With nearly as many values as rows, another sample shows other values: that is no category.
    if n_distinct == 1 or n_distinct <= min(MAX_DISCRETE, len(finite) // 2):
        return "discrete", _floats(finite[starts])
    at = np.linspace(0, len(finite) - 1, bins + 1).round().astype(np.int64)
    edges = np.unique(finite[at])
    return "numeric", _floats(edges)


def _floats(values: npt.NDArray[np.float32]) -> tuple[float, ...]:
    # Adding zero turns -0.0 into 0.0, which compares equal and would get another name.
    return tuple(float(value) + 0.0 for value in values)


def _counts(
    column: npt.NDArray[np.float32], kind: Kind, edges: tuple[float, ...]
) -> tuple[int, ...]:
    n = len(edges)
    missing = np.isnan(column)
    present = column[~missing]
    cuts = np.asarray(edges, dtype=np.float32)
    if n == 0:
        tally = np.array([len(present)])
    elif kind == "discrete":
        at = np.minimum(np.searchsorted(cuts, present), n - 1)
        tally = np.bincount(np.where(cuts[at] == present, at, n), minlength=n + 1)
    else:
        # 0 is underflow, i the i-th range, n overflow; the top edge belongs to the last range.
        at = np.searchsorted(cuts, present, side="right")
        at[present == cuts[-1]] = n - 1
        tally = np.bincount(at, minlength=n + 1)
    return (*(int(c) for c in tally), int(missing.sum()))
