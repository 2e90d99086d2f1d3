"""Which rows to keep: strategies that choose exactly so many, deterministically, ties to the lower row.

    by_merit           the largest values
    k_center           each next row is the one farthest from all that were chosen before it (Gonzalez 1985)
    facility_location  each next row is the one that serves its neighbours best where they are served badly so far
                       (lazy greedy, Minoux 1978; within 1 - 1/e of the best choice, Nemhauser, Wolsey, Fisher 1978)

Every row has a weight, which multiplies what a strategy maximises. Rows may belong to groups, each with a number of
seats: the number of its rows that are chosen.
"""

import numpy as np

from vicinal.analysis.choices import Choice
from vicinal.analysis.facility import facility_location
from vicinal.analysis.k_center import k_center
from vicinal.errors import UsageError

__all__ = ["Choice", "by_merit", "facility_location", "k_center", "shares"]


def shares(groups: np.ndarray, keep: int, most: np.ndarray | None = None) -> np.ndarray:
    """Return how many rows each group may keep: its part of `keep`, by the largest remainder, ties to the lower group.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        The group of each row, from 0.
    keep : int
    most : ndarray of int64, shape (n_groups,), optional
        The most that each group can give; by default, its size. What is left over goes to the others by the same rule.

    Returns
    -------
    ndarray of int64, shape (n_groups,)
        The sum is `keep`.

    Raises
    ------
    UsageError
        The groups have fewer than `keep` rows to give.

    Examples
    --------
    >>> shares(np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2]), keep=4).tolist()
    [2, 1, 1]
    """
    sizes = np.bincount(groups)
    most = sizes if most is None else most
    if most.sum() < keep:
        raise UsageError(f"keep: expected at most {most.sum()}, the number of rows that the groups have, got {keep}")
    seats = np.zeros(len(sizes), dtype=np.int64)
    while left := keep - int(seats.sum()):
        open_ = np.flatnonzero(seats < most)
        part = left * sizes[open_]  # in units of 1 / sum, whole numbers throughout
        whole, rest = np.divmod(part, sizes[open_].sum())
        spare = left - int(whole.sum())
        whole[np.lexsort((open_, -rest))[:spare]] += 1
        seats[open_] = np.minimum(seats[open_] + whole, most[open_])
    return seats


def at_random(
    weight: np.ndarray, keep: int, groups: np.ndarray | None = None, seats: np.ndarray | None = None, seed: int = 0
) -> Choice:
    """Return rows drawn at random without replacement: the baseline of every other strategy.

    Parameters
    ----------
    weight : ndarray of float64, shape (n,)
        At each draw, the chance of a row is its share of the weights that are left.
    keep : int
        How many rows to choose where there are no groups.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).
    seed : int

    Returns
    -------
    Choice
        `because` is the last row drawn, of the row's own group where there are groups.

    References
    ----------
    Efraimidis & Spirakis 2006, "Weighted random sampling with a reservoir".

    Examples
    --------
    >>> at_random(np.array([1.0, 1.0, 1.0, 0.0]), keep=3).order.tolist()
    [0, 1, 2]
    """
    with np.errstate(divide="ignore"):
        key = np.log(np.random.default_rng(seed).random(len(weight))) / weight
    return by_merit(key, keep, groups, seats)


def by_merit(merit: np.ndarray, keep: int, groups: np.ndarray | None = None, seats: np.ndarray | None = None) -> Choice:
    """Return the rows of the largest merit.

    Parameters
    ----------
    merit : ndarray of float, shape (n,)
    keep : int
        How many rows to choose where there are no groups.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).

    Returns
    -------
    Choice
        `because` is the last row chosen, of the row's own group where there are groups.

    Examples
    --------
    >>> by_merit(np.array([0.2, 0.9, 0.5, 0.5]), keep=2).order.tolist()
    [1, 2]
    """
    n = len(merit)
    order = np.lexsort((np.arange(n), -merit))
    groups = np.zeros(n, dtype=np.int64) if groups is None else groups
    seats = np.array([keep]) if seats is None else seats
    ordered = groups[order]
    by_group = np.argsort(ordered, kind="stable")
    begins = np.searchsorted(ordered[by_group], np.arange(len(seats)))
    place = np.empty(n, dtype=np.int64)
    place[by_group] = np.arange(n) - begins[ordered[by_group]]
    chosen = order[place < seats[ordered]]
    last = np.full(len(seats), -1)
    last[groups[chosen]] = chosen  # of several, the last assignment stays
    return Choice(chosen, last[groups], np.full(n, np.nan))
