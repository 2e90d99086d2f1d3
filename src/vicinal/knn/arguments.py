"""The checks of k, a radius, threads and groups: one place, one wording."""

import os
import warnings

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.knn import memory
from vicinal.knn.memory import SMALL, as_text

BYTES_OF_ONE = 12  # a neighbour's row and distance


def cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(threads: object) -> int:
    """The number of threads: as given, or the number of cores for None.

    Raises
    ------
    UsageError
        Where it is neither None nor a whole number above 0.
    """
    if threads is None:
        return cores()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads: expected a whole number above 0, got {threads!r}")
    return threads


def check_k(k: object) -> int:
    """The number of neighbours as an int.

    Raises
    ------
    UsageError
        Where it is not a whole number above 0.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise UsageError(f"k: expected a whole number above 0, got {k!r}")
    return int(k)


def k_that_fits(k: object, stored: int) -> int:
    """The columns of a search's result: the smaller of k and the number of stored rows, at least 1.

    Raises
    ------
    UsageError
        Where k is not a whole number above 0.

    Examples
    --------
    >>> k_that_fits(10**9, stored=3), k_that_fits(2, stored=3)
    (3, 2)
    """
    return max(1, min(check_k(k), stored))


def at_most(k: int, others: int) -> int:
    """The smaller of k and the number of other rows; warns where k is the larger."""
    if k > others:
        warnings.warn(f"k = {k}, but a row has only {others} others; using k = {others}", stacklevel=3)
        return others
    return k


def require_memory(n: int, k: int, stored: int, dim: int, made: bool = False) -> None:
    """Raise UsageError where k neighbours of n rows among `stored` rows cannot fit the memory.

    The result is counted twice, as it is while it is put together. The kernel's codes take a byte a coordinate, and do
    not count where they are made already.
    """
    result, codes = 2 * n * k * BYTES_OF_ONE, 0 if made else stored * dim
    remedy = "lower k, take fewer rows" if result > codes else "take fewer rows"
    what = f"{k} neighbours of {n} rows among {stored} of dim {dim}"
    memory.require(result + codes, what, f"{remedy}, or free or allow more memory")


def codes_on_disk(n: int, k: int, dim: int) -> bool:
    """Whether the codes of an approximate pass must lie on disk, for the rest to fit the memory: lists and result.

    The vectors themselves may be a memory map, and do not count.

    Raises
    ------
    UsageError
        The rest does not fit either.
    """
    lists, links, result = n * (8 * (k + max(6, k // 4)) + 24), n * (4 * max(10, k // 2) + 16), n * k * BYTES_OF_ONE
    rest = lists + max(links, result)  # the links and the codes are gone when the result is made
    what = f"an approximate pass for {k} neighbours of {n} rows of dim {dim}: lists and result, with codes on disk,"
    memory.require(rest, what, "lower k, take fewer rows, or free or allow more memory")
    return not memory.fits(max(rest, lists + links + n * dim))


def too_large(n: int, k: int) -> UsageError:
    """The error for k neighbours of n rows that do not fit the memory."""
    size = n * k * BYTES_OF_ONE
    if size < SMALL:
        return UsageError(
            f"not enough memory: not for {k} neighbours of {n} rows, which take {as_text(size)}, but for the vectors "
            "and what the kernel keeps of them, a byte a coordinate; free memory, or take fewer rows or a smaller dtype"
        )
    return UsageError(f"not enough memory: {k} neighbours of {n} rows take {as_text(size)} and as much again; lower k")


def as_radius(radius: object) -> float:
    """The radius as a float.

    Raises
    ------
    UsageError
        Where it is not a number, or NaN.
    """
    if isinstance(radius, bool) or not isinstance(radius, int | float | np.number) or np.isnan(radius):
        shown = f"an array of shape {radius.shape}" if isinstance(radius, np.ndarray) else repr(radius)
        raise UsageError(f"radius: expected a number in the metric's unit, got {shown}")
    return float(radius)


def as_groups(groups: object, n: int, name: str = "groups") -> np.ndarray | None:
    """The group of each of n rows as int64 (n,); None for None.

    Raises
    ------
    DataError
        Where they are not n whole numbers.
    """
    if groups is None:
        return None
    labels = np.asarray(groups)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise DataError(f"{name}: expected {n} whole numbers, one a row, found {labels.dtype} of shape {labels.shape}")
    return np.ascontiguousarray(labels, dtype=np.int64)


def check_both_groups(groups: object, query_groups: object) -> None:
    """Raise UsageError where only one of the two is given."""
    if (groups is None) != (query_groups is None):
        given, missing = ("groups", "query_groups") if query_groups is None else ("query_groups", "groups")
        raise UsageError(f"{missing}: missing; {given} are given, so that both are needed: give both or neither")
