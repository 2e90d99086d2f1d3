"""The recall of an approximate result: an estimate from a random sample of rows, with a confidence interval."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vicinal.errors import UsageError

Z = 1.959963984540054  # of a two-sided interval of 95 %


@dataclass(frozen=True)
class Recall:
    """The share of the true neighbours that a result holds, estimated on a random sample of its rows.

    A neighbour in the result counts as true if it is not farther than the exact k-th neighbour, so that of equally far
    rows it does not matter which the result holds.

    Attributes
    ----------
    estimate : float
        The share in the sample.
    low, high : float
        Wilson's interval of 95 % for all rows. It allows for the fact that the neighbours of one row are not
        independent of each other.
    sample : int
        The number of rows that were compared with exact search.
    seed : int
        Draws the sample, and everything random in the graph.
    target : float
        What was asked for; `low` reaches it.
    k : int
        The number of neighbours of a row that the share is of.
    exact : bool
        Whether the exact pass was made instead, because it is cheaper; the recall is then 1. A `sample` of 0 says that
        nothing had to be searched.
    radius : float or None
        Of pairs within a radius, in the metric's unit; `k` is then the length of the lists that they come from.

    Examples
    --------
    >>> found = Recall(0.995, 0.991, 0.998, 1000, 0, 0.99, 10)
    >>> print(found)
    approximate, recall 0.9950 (0.9910 to 0.9980, from 1,000 rows)
    >>> print(Recall(0.995, 0.991, 0.998, 4000, 0, 0.99, 16, radius=0.05))
    approximate, recall of pairs within 0.05: 0.9950 (0.9910 to 0.9980, from 4,000 rows)
    """

    estimate: float
    low: float
    high: float
    sample: int
    seed: int
    target: float
    k: int
    exact: bool = False
    radius: float | None = None

    def __str__(self) -> str:
        if self.exact:
            why = "no approximate pass is cheaper here" if self.sample else "equal rows need no search, so no recall"
            return f"exact, recall 1: {why}"
        of = "recall" if self.radius is None else f"recall of pairs within {self.radius:g}:"
        return f"approximate, {of} {self.estimate:.4f} ({self.low:.4f} to {self.high:.4f}, from {self.sample:,} rows)"

    @classmethod
    def of_exact(cls, target: float, k: int, n: int, seed: int, radius: float | None = None) -> "Recall":
        """The recall of an exact pass."""
        return cls(1.0, 1.0, 1.0, n, seed, target, k, exact=True, radius=radius)

    @classmethod
    def of_sample(cls, hits: np.ndarray, of: np.ndarray, target: float, k: int, seed: int) -> "Recall":
        """The recall that a sample shows.

        Parameters
        ----------
        hits, of : ndarray of int64, shape (n_sampled,)
            How many of its true neighbours each sampled row has, and how many there are.
        """
        estimate, low, high = wilson(hits, of)
        return cls(estimate, low, high, len(hits), seed, target, k)

    @classmethod
    def of_pairs(cls, hits: np.ndarray, of: np.ndarray, target: float, k: int, seed: int, radius: float) -> "Recall":
        """The recall of pairs within a radius that a sample shows: the lower one of two shares.

        These are the share of all pairs, and the mean over the rows of the share of a row's pairs. The second one sees
        what is missing elsewhere where clumps of near copies hold most of the pairs.

        Parameters
        ----------
        hits, of : ndarray of int64, shape (n_sampled,)
            How many of its true pairs each sampled row has, and how many there are. A row that was searched exactly may
            count for fewer than it has.
        """
        some = of > 0
        hits, of = hits[some].astype(np.float64), of[some].astype(np.float64)
        shares = (_wilson_of_clusters(hits, of), _wilson_of_clusters(hits / of, np.ones_like(of)))
        estimate, low, high = min(shares, key=lambda one: one[1])
        return cls(estimate, low, high, len(some), seed, target, k, radius=radius)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Recall":
        """The recall that `as_json` describes.

        Raises    ValueError, KeyError where a field has another type or is missing
        """
        for name, kind in FORM.items():
            if not isinstance(record[name], kind):
                raise ValueError(f"recall.{name}: found {record[name]!r}")
        return cls(**{name: record[name] for name in FORM})

    def as_json(self) -> dict[str, Any]:
        """The fields, as JSON can hold them; without the radius where there is none."""
        return {name: value for name, value in asdict(self).items() if value is not None}


FORM: dict[str, Any] = {
    "estimate": (int, float),
    "low": (int, float),
    "high": (int, float),
    "sample": int,
    "seed": int,
    "target": (int, float),
    "k": int,
    "exact": bool,
}
"""The form of `Recall.as_json` in a manifest."""


def recall_fields(recall: Recall | None) -> dict[str, Any]:
    """{"recall": ...} as summaries and manifests hold it; empty for a result without one."""
    return {} if recall is None else {"recall": recall.as_json()}


def recall_note(recall: Recall | None, before: str = "; ") -> str:
    """A recall at the end of a line about a result; empty for an exact result that was asked for."""
    return "" if recall is None else f"{before}{recall}"


def wilson(hits: np.ndarray, of: np.ndarray) -> tuple[float, float, float]:
    """The share of hits, and the ends of Wilson's interval of 95 %.

    Trials of one row are correlated, so the number of independent trials is that which explains the variance of the
    rows' own shares: between the number of rows and the number of trials.

    Parameters
    ----------
    hits, of : ndarray of int64, shape (n,)
        Of each row.

    Examples
    --------
    >>> tuple(round(x, 4) for x in wilson(np.array([10, 10, 10, 10]), np.array([10, 10, 10, 10])))
    (1.0, 0.9124, 1.0)
    """
    rows, trials = int((of > 0).sum()), int(of.sum())
    if not trials:
        return 1.0, 1.0, 1.0
    share = float(hits.sum() / trials)
    # The variance of a ratio of sums, and the number of independent trials that has it.
    spread = float(((hits - share * of) ** 2).sum()) / trials**2
    effective = share * (1 - share) / spread if spread > 0 else float(trials)
    return _interval(share, float(min(max(effective, rows), trials)))


def _wilson_of_clusters(hits: np.ndarray, of: np.ndarray) -> tuple[float, float, float]:
    """As `wilson`, for rows of very different sizes: without a miss, only equally large rows are independent trials."""
    trials = float(of.sum())
    if not trials:
        return 1.0, 0.0, 1.0
    share = float(hits.sum() / trials)
    rows = trials**2 / float((of**2).sum())
    spread = float(((hits - share * of) ** 2).sum()) / trials**2
    effective = share * (1 - share) / spread if spread > 0 else rows
    return _interval(share, min(max(effective, rows), trials))


def _interval(share: float, m: float) -> tuple[float, float, float]:
    """A share of m independent trials, and the ends of Wilson's interval of 95 %."""
    middle = (share + Z * Z / (2 * m)) / (1 + Z * Z / m)
    half = Z / (1 + Z * Z / m) * float(np.sqrt(share * (1 - share) / m + Z * Z / (4 * m * m)))
    return share, max(0.0, middle - half), 1.0 if share == 1 else min(1.0, middle + half)


def check_recall(recall: object) -> float:
    """The wanted recall as a float.

    Raises
    ------
    UsageError
        Where it is not a number above 0 and at most 1.
    """
    number = isinstance(recall, int | float | np.number) and not isinstance(recall, bool)
    if not number or not 0 < float(recall) <= 1:  # type: ignore[arg-type]
        raise UsageError(f"recall: expected a number above 0 and at most 1, such as 0.99, got {recall!r}")
    return float(recall)  # type: ignore[arg-type]
