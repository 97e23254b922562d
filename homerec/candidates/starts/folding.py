"""Where listeners stand among the items they start: one maximum each, found by itself.

Every listener is computed alone and in one order of operations, so the answer is the same to the
last bit whoever else is asked for, and in whatever shard.
"""

from typing import Any, Final

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from homerec.candidates.starts.languages import Languages, heed
from homerec.candidates.starts.support import Support
from homerec.candidates.starts.vectors import Doubles, Integers, Vectors
from homerec.compiling import compiled, compiled_adding_freely, entry_point

#: A step is cut to this length, in standard deviations of the prior.
_LONGEST: Final = 1.5
#: Chances of less than exp of it, of the largest, count as that.
_LEAST: Final = -700.0


def fold(
    started: sparse.csr_matrix,
    types: Integers,
    vectors: Vectors,
    support: Support,
    markets: Integers,
    *,
    known: Doubles,
    log_chance: Doubles,
    languages: Languages,
    begin: Doubles | None = None,
    steps: int,
) -> Doubles:
    """Most probable coordinates of listeners, given what they started.

    With w_i the chance of item i in the listener's market and o_i(x) its odds, a start of a type is
    drawn with probability w_i o_i(x) / sum_j (1 - q_j) w_j o_j(x) over the items of the type, where
    q_j says for how much of the listener's choosing j was known already. The log of the odds is
    what attributes add and, of the product of the learned factors,
    :func:`homerec.candidates.starts.acceptance.log_acceptance`; x has a standard normal prior
    there. What languages add is the log of a mean over following them or not, found anew at each
    step by :func:`homerec.candidates.starts.languages.heed`. The listener's own items are summed
    one by one, the support stands for the others. Steps are Newton's with the curvature taken at
    x = 0 and q = 0, which is factored once a listener.

    Parameters
    ----------
    started : csr_matrix float64 (n, m)
        Weight of each start, in (0, 1]; indices ascend within a row.
    types : int64 (m,)
        Number of the type of each item, as in ``support.bounds``; ascending.
    vectors : Vectors
        Of the m items.
    support : Support
    markets : int64 (n,)
        Market of each listener; -1 for one that is not known.
    known : float64 (nnz,)
        The q of each start, in [0, 1], in the order of ``started.data``; 0 for everything else.
    log_chance : float64 (n_markets + 1, m)
        Log of the w of all items.
    languages : Languages
    begin : float64 (n, width), optional
        Where to begin; at 0 by default.
    steps : int

    Returns
    -------
    float64 (n, width)
        0 for a listener who started nothing.
    """
    n, kind = started.shape[0], types[started.indices]
    amount = np.zeros((n, len(support.bounds) - 1))
    row = np.repeat(np.arange(n), np.diff(started.indptr))
    np.add.at(amount, (row, kind), started.data)
    out = np.zeros((n, vectors.width)) if begin is None else begin.copy()
    others = support.vectors
    # Products with several threads would add in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        _fold(
            started.indptr.astype(np.int64),
            started.indices.astype(np.int64),
            started.data.astype(np.float64),
            amount,
            np.where(markets < 0, len(support.weight) - 1, markets).astype(np.int64),
            (
                np.ascontiguousarray(vectors.factors),
                vectors.attribute,
                vectors.strength,
                vectors.language,
            ),
            # Factor by factor and attribute by attribute, so that loops run along memory.
            tuple(
                np.ascontiguousarray(of.T)
                for of in (others.factors, others.attribute, others.strength, others.language)
            ),
            support.bounds,
            np.log(support.weight),
            types.astype(np.int64),
            1.0 - known,
            support.place,
            log_chance,
            support.curvature,
            support.ceiling,
            languages.share,
            languages.foreign,
            steps,
            out,
        )
    return out


@compiled
def _factored(amount: Any, curvature: Any) -> Any:
    """Cholesky factor of the prior's and all types' curvature of one listener."""
    hessian = np.eye(curvature.shape[1])
    for kind in range(len(amount)):
        if amount[kind] > 0.0:
            hessian += amount[kind] * curvature[kind]
    return np.linalg.cholesky(hessian)


@compiled
def _solve(lower: Any, slope: Any) -> None:
    """Solve lower lower' x = slope in place."""
    n = len(slope)
    for i in range(n):
        total = slope[i]
        for j in range(i):
            total -= lower[i, j] * slope[j]
        slope[i] = total / lower[i, i]
    for i in range(n - 1, -1, -1):
        slope[i] /= lower[i, i]
        for j in range(i):
            slope[j] -= lower[i, j] * slope[i]


@compiled
def _evidence(out: Any, at: Any, amount: Any, bound: Any, items: Any) -> None:
    """Sum the vectors of a listener's items into ``out``, without their languages.

    ``bound`` is how much factors do yet.
    """
    factors, attribute, strength, _ = items
    k = factors.shape[1]
    out[:] = 0.0
    for e in range(len(at)):
        out[:k] += amount[e] * bound[e] * factors[at[e]]
        for a in range(attribute.shape[1]):
            out[k + attribute[at[e], a]] += amount[e] * strength[at[e], a]


@compiled_adding_freely
def _exponentials(exponent: Any, largest: float) -> None:
    """Replace y by exp(y - largest), which is (exp(z / 1024))**1024 with a polynomial.

    That goes for several numbers at a time: to eleven digits near 0, to eight where it is -40.
    """
    for s in range(len(exponent)):
        y = max(exponent[s] - largest, _LEAST) / 1024.0
        power = 1.0 + y * (1.0 + y * (1 / 2 + y * (1 / 6 + y * (1 / 24 + y / 120))))
        for _ in range(10):
            power *= power
        exponent[s] = power


@compiled_adding_freely
def _shared_out(
    exponent: Any, bound: Any, amount: float, mine: Any, my_bound: Any, left: Any
) -> None:
    """Turn the exponents of a type's support and of the listener's own items into expected starts.

    ``bound`` multiplies the odds; ``left`` weighs the own items.
    """
    largest = -np.inf
    for s in range(len(exponent)):
        largest = max(largest, exponent[s])
    for e in range(len(mine)):
        largest = max(largest, mine[e])
    _exponentials(exponent, largest)
    total = 0.0
    for s in range(len(exponent)):
        exponent[s] *= bound[s]
        total += exponent[s]
    for e in range(len(mine)):
        mine[e] = left[e] * my_bound[e] * np.exp(mine[e] - largest)
        total += mine[e]
    share = amount / total
    for e in range(len(mine)):
        mine[e] *= share
    for s in range(len(exponent)):
        exponent[s] *= share


@compiled
def _exponents(
    x: Any, at: Any, items: Any, log_chance: Any, ceiling: float, n_languages: int
) -> Any:
    """Compute the logs of the odds of a listener's own items, bound apart, and the bound."""
    factors, attribute, strength, language = items
    k, first = factors.shape[1], len(x) - n_languages
    out, bound = np.empty(len(at)), np.empty(len(at))
    for e in range(len(at)):
        item = at[e]
        taste = 0.0
        for j in range(k):
            taste += x[j] * factors[item, j]
        out[e] = log_chance[item] + taste
        bound[e] = 1.0 / (1.0 + np.exp(min(taste - ceiling, -_LEAST)))
        for a in range(attribute.shape[1]):
            out[e] += x[k + attribute[item, a]] * strength[item, a]
        if language[item] >= 0:
            out[e] += x[first + language[item]]
    return out, bound


@compiled
def _by_language(
    chance: Any, bounds: Any, of_support: Any, mine: Any, at: Any, kinds: Any, of_items: Any,
    n_languages: int,
) -> Any:  # fmt: skip
    """Sum expected starts by type and language; the last column is of items without one."""
    out = np.zeros((len(bounds) - 1, n_languages + 1))
    for kind in range(len(bounds) - 1):
        for s in range(bounds[kind], bounds[kind + 1]):
            out[kind, of_support[s]] += chance[s]
    for e in range(len(at)):
        out[kinds[at[e]], of_items[at[e]]] += mine[e]
    return out


@compiled
def _add_fixed(chance: Any, x: Any, k: int, first: int, support: Any) -> None:
    """Add what attributes and languages do to the exponents of the support."""
    _, attribute, strength, language = support
    for a in range(len(attribute)):
        for s in range(len(chance)):
            chance[s] += x[k + attribute[a, s]] * strength[a, s]
    for s in range(len(chance)):
        if language[s] >= 0:
            chance[s] += x[first + language[s]]


@compiled
def _slope(
    slope: Any, x: Any, started: Any, amount: Any, support: Any, bounds: Any, log_weight: Any,
    at: Any, kinds: Any, left: Any, place: Any, items: Any, log_chance: Any, ceiling: float,
    spoken: Any, share: Any, foreign: float, expected: Any,
) -> None:  # fmt: skip
    """Write the gradient of the log posterior of one listener at x into ``slope``.

    What languages do has none: it is found anew, in x.
    """
    factors, attribute, strength, language = support
    k, n_languages = factors.shape[0], len(share)
    first = len(x) - n_languages
    chance = np.dot(x[:k].copy(), factors)
    # The derivative of the bounded log is also what the bound makes of the odds.
    bound = np.minimum(chance - ceiling, -_LEAST)
    _exponentials(bound, 0.0)
    bound = 1.0 / (1.0 + bound)
    chance += log_weight
    _add_fixed(chance, x, k, first, support)
    mine, my_bound = _exponents(x, at, items, log_chance, ceiling, n_languages)
    _evidence(slope, at, started, my_bound, items)
    for item in at:
        if place[item] >= 0:
            chance[place[item]] = -np.inf
    low = 0
    for kind in range(len(amount)):
        high = low
        while high < len(at) and kinds[at[high]] == kind:
            high += 1
        own = slice(bounds[kind], bounds[kind + 1])
        if amount[kind] > 0.0:
            _shared_out(
                chance[own], bound[own], amount[kind], mine[low:high], my_bound[low:high],
                left[low:high],
            )  # fmt: skip
        else:
            chance[own] = 0.0
            mine[low:high] = 0.0
        low = high
    _evidence(expected, at, mine, my_bound, items)
    slope -= x + expected
    slope[:k] -= np.dot(factors, chance * bound)
    for a in range(len(attribute)):
        for s in range(len(chance)):
            slope[k + attribute[a, s]] -= chance[s] * strength[a, s]
    slope[first:] = 0.0
    due = _by_language(chance, bounds, language, mine, at, kinds, items[3], n_languages)
    heed(x[first:], due, amount, spoken, share, foreign)


@entry_point
def _fold(
    indptr: Any, indices: Any, data: Any, amount: Any, markets: Any, items: Any, support: Any,
    bounds: Any, log_weight: Any, kinds: Any, left: Any, place: Any, log_chance: Any,
    curvature: Any, ceiling: float, share: Any, foreign: float, steps: int, out: Any,
) -> None:  # fmt: skip
    step, expected = np.zeros(out.shape[1]), np.zeros(out.shape[1])
    spoken = np.zeros(share.shape[1] + 1)
    for i in range(len(out)):
        low, high = indptr[i], indptr[i + 1]
        if low == high:
            out[i] = 0.0
            continue
        lower = _factored(amount[i], curvature[markets[i]])
        spoken[:] = 0.0
        for e in range(low, high):
            spoken[items[3][indices[e]]] += data[e]
        for _ in range(steps):
            _slope(
                step, out[i], data[low:high], amount[i], support, bounds, log_weight[markets[i]],
                indices[low:high], kinds, left[low:high], place, items, log_chance[markets[i]],
                ceiling, spoken, share[markets[i]], foreign, expected,
            )  # fmt: skip
            _solve(lower, step)
            length = np.sqrt((step * step).sum())
            out[i] += step * min(1.0, _LONGEST / max(length, _LONGEST))
