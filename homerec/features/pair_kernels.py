"""Compiled loops over pairs of listener and item; :mod:`homerec.features.pairs` calls them.

All arrays of pairs are sorted by pair and hold each pair once. A pair's days are the entries
``offsets[p]`` to before ``offsets[p + 1]`` of ``days`` and ``plays``: ascending, each day once.
Everything is summed in integers, so that no result depends on an order.
"""

from typing import Any

from homerec.compiling import compiled, entry_point

#: A set of days has a bit for each of the last so many.
DAYS_IN_SET = 56


@compiled
def _add_day(days: Any, plays: Any, first: int, end: int, day: int, n: int) -> int:
    """Add plays to the entries from first to end, in their order; returns their new end."""
    at = end
    while at > first and days[at - 1] > day:
        at -= 1
    if at > first and days[at - 1] == day:
        plays[at - 1] += n
        return end
    for moved in range(end, at, -1):
        days[moved] = days[moved - 1]
        plays[moved] = plays[moved - 1]
    days[at] = day
    plays[at] = n
    return end + 1


@entry_point
def group(
    order: Any,
    pair: Any,
    day: Any,
    n_plays: Any,
    counts: Any,
    sums: Any,
    first_at: Any,
    last_at: Any,
    out_row: Any,
    out_counts: Any,
    out_sums: Any,
    out_first: Any,
    out_last: Any,
    offsets: Any,
    days: Any,
    plays: Any,
) -> int:
    """Sum daily rows by pair.

    Parameters
    ----------
    order : int64 (n,)
        Rows in an order in which equal pairs follow each other.
    pair : int64 (n,)
    day, n_plays : int32 (n,)
    counts : tuple of int32 (n,)
    sums : tuple of int64 (n,)
    first_at, last_at : int64 (n,)
    out_row : int64 (n,)
        A row of each pair.
    out_counts, out_sums, out_first, out_last, offsets, days, plays : arrays (n,), offsets (n + 1,)

    Returns
    -------
    int
        Number of pairs.
    """
    n_pairs = 0
    end = 0
    for at in range(order.shape[0]):
        row = order[at]
        if at == 0 or pair[row] != pair[order[at - 1]]:
            out_row[n_pairs] = row
            offsets[n_pairs] = end
            for k in range(len(counts)):
                out_counts[k][n_pairs] = 0
            for k in range(len(sums)):
                out_sums[k][n_pairs] = 0
            out_first[n_pairs] = first_at[row]
            out_last[n_pairs] = last_at[row]
            n_pairs += 1
        p = n_pairs - 1
        for k in range(len(counts)):
            out_counts[k][p] += counts[k][row]
        for k in range(len(sums)):
            out_sums[k][p] += sums[k][row]
        out_first[p] = min(out_first[p], first_at[row])
        out_last[p] = max(out_last[p], last_at[row])
        end = _add_day(days, plays, offsets[p], end, day[row], n_plays[row])
    offsets[n_pairs] = end
    return n_pairs


@entry_point
def merge(
    pair_a: Any,
    counts_a: Any,
    sums_a: Any,
    first_a: Any,
    last_a: Any,
    offsets_a: Any,
    days_a: Any,
    plays_a: Any,
    pair_b: Any,
    counts_b: Any,
    sums_b: Any,
    first_b: Any,
    last_b: Any,
    offsets_b: Any,
    days_b: Any,
    plays_b: Any,
    out_pair: Any,
    out_counts: Any,
    out_sums: Any,
    out_first: Any,
    out_last: Any,
    offsets: Any,
    days: Any,
    plays: Any,
) -> int:
    """Add two sets of pairs.

    Parameters
    ----------
    pair_a, ..., plays_b : arrays
        Two sets, as :func:`group` makes them.
    out_pair, ..., plays : arrays
        Room for as many pairs and days as both have together.

    Returns
    -------
    int
        Number of pairs.
    """
    a = b = p = end = 0
    while a < pair_a.shape[0] or b < pair_b.shape[0]:
        from_a = b == pair_b.shape[0] or (a < pair_a.shape[0] and pair_a[a] <= pair_b[b])
        from_b = a == pair_a.shape[0] or (b < pair_b.shape[0] and pair_b[b] <= pair_a[a])
        offsets[p] = end
        if from_a:
            out_pair[p] = pair_a[a]
            for k in range(len(counts_a)):
                out_counts[k][p] = counts_a[k][a]
            for k in range(len(sums_a)):
                out_sums[k][p] = sums_a[k][a]
            out_first[p] = first_a[a]
            out_last[p] = last_a[a]
            for at in range(offsets_a[a], offsets_a[a + 1]):
                days[end] = days_a[at]
                plays[end] = plays_a[at]
                end += 1
            a += 1
        if from_b:
            out_pair[p] = pair_b[b]
            for k in range(len(counts_b)):
                out_counts[k][p] = counts_b[k][b] + (out_counts[k][p] if from_a else 0)
            for k in range(len(sums_b)):
                out_sums[k][p] = sums_b[k][b] + (out_sums[k][p] if from_a else 0)
            out_first[p] = min(first_b[b], out_first[p]) if from_a else first_b[b]
            out_last[p] = max(last_b[b], out_last[p]) if from_a else last_b[b]
            for at in range(offsets_b[b], offsets_b[b + 1]):
                end = _add_day(days, plays, offsets[p], end, days_b[at], plays_b[at])
            b += 1
        p += 1
    offsets[p] = end
    return p


@entry_point
def weigh(
    today: int, offsets: Any, days: Any, plays: Any, weights: Any, windows: Any, decayed: Any,
    n_days: Any, day_set: Any,
) -> None:  # fmt: skip
    """Sum each pair's plays by their age.

    Parameters
    ----------
    today : int
        Days since 1970; a play of the day before has age 1.
    offsets, days, plays : arrays
        Of the pairs.
    weights : int64 (max_age + 1, n_weights)
        Weights by age.
    windows : int32 (4, n_pairs)
        Receives plays of all days, the last 7, the last 28, and the days 7, 14, ... days ago.
    decayed : int64 (n_weights, n_pairs)
        Receives the weighted sums of plays.
    n_days : int32 (n_pairs,)
    day_set : int64 (n_pairs,)
        Receives the set of the last 56 days with a play, bit 0 is the day before today.
    """
    for p in range(n_days.shape[0]):
        for w in range(decayed.shape[0]):
            decayed[w, p] = 0
        total = in_7 = in_28 = same_weekday = 0
        found = 0
        for at in range(offsets[p], offsets[p + 1]):
            age = today - days[at]
            n = plays[at]
            total += n
            if age <= 7:
                in_7 += n
            if age <= 28:
                in_28 += n
            if age % 7 == 0:
                same_weekday += n
            if age <= DAYS_IN_SET:
                found |= 1 << (age - 1)
            for w in range(decayed.shape[0]):
                decayed[w, p] += n * weights[age, w]
        windows[0, p] = total
        windows[1, p] = in_7
        windows[2, p] = in_28
        windows[3, p] = same_weekday
        n_days[p] = offsets[p + 1] - offsets[p]
        day_set[p] = found
