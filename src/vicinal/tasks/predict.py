"""Predictions of whole sets: vectors and labels in, classes, values or outliers out, with one neighbour pass."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.analysis.scores import kth_distance, local_outlier_factor
from vicinal.analysis.votes import accuracy_by_k, class_probabilities, r2_by_k, values_by_k
from vicinal.data.labels import Labels
from vicinal.data.tables import Id
from vicinal.errors import DataError, UsageError, some
from vicinal.indexes.exact import Exact
from vicinal.knn.neighbors import Neighbors
from vicinal.typing import Progress

LOF_LIMIT = 1.5  # scikit-learn's, where no contamination is given
OUTLIER_SCORES = {"lof": local_outlier_factor, "distance": kth_distance}


@dataclass(frozen=True, eq=False)
class Curve:
    """The leave-one-out score of every k.

    score   : "accuracy" or "R2"
    ks      : the numbers of neighbours
    scores  : weighting -> float64 (len(ks),)
    """

    score: str
    ks: list[int]
    scores: dict[str, np.ndarray]

    @property
    def best(self) -> tuple[int, str]:
        """The k and the weighting of the best score; of equals the first weighting, then the smallest k."""
        weights = max(self.scores, key=lambda name: self.scores[name].max())
        return self.ks[int(self.scores[weights].argmax())], weights


def leave_one_out(
    index: Exact, known: Labels | np.ndarray, max_k: int, weightings: tuple[str, ...], progress: Progress | None = None
) -> Curve:
    """The score of every k from 1 to max_k, or to the number of other rows, from one pass over the index's rows.

    known   : the labels (accuracy) or float values (R2) of the rows
    Raises    as `Exact.neighbors`; DataError where no class has two rows, so that none could be told
    """
    if isinstance(known, Labels):
        refuse_lone_classes(known)
    found = index.neighbors(max_k, progress=progress)
    ks = list(range(1, found.k + 1))
    if isinstance(known, Labels):
        scores = {name: accuracy_by_k(found, known.codes, ks, name) for name in weightings}
        return Curve("accuracy", ks, scores)
    return Curve("R2", ks, {name: r2_by_k(found, known, ks, name) for name in weightings})


def table(curve: Curve, n: int) -> list[str]:
    """The curve as lines of text, the best marked."""
    best_k, best_weights = curve.best
    lines = [
        f"{'k':>5} {'n/k':>9}" + "".join(f" {name:>10}" for name in curve.scores) + f"   leave-one-out {curve.score}"
    ]
    for at, k in enumerate(curve.ks):
        cells = "".join(f" {values[at]:>10.4f}" for values in curve.scores.values())
        lines.append(f"{k:>5} {n / k:>9.1f}{cells}" + (f"   best: {best_weights}" if k == best_k else ""))
    return lines


def smaller_than(labels: Labels, k: int) -> str:
    """The classes with fewer rows than k, whom the others can outvote wherever they are, in words; empty for none."""
    small = [f"{labels.classes[code]!r} ({labels.counts[code]})" for code in np.flatnonzero(labels.counts < k)]
    which = "a class" if len(small) == 1 else f"{len(small)} classes"
    return f"larger than {which} of {labels.place}: {some(small)}, which the others outvote" if small else ""


def refuse_small_classes(labels: Labels, k: int) -> None:
    """Raises UsageError where a class has fewer rows than k."""
    if found := smaller_than(labels, k):
        raise UsageError(
            f"-k: {k} is {found}; give -k {labels.counts.min()} or less, -k auto, --weights distance, or "
            "--allow-small-classes"
        )


def warn_of_small_classes(labels: Labels, k: int, weights: str) -> None:
    """Warns where the k that leave-one-out chose is larger than a class, if each neighbour has one vote."""
    if weights == "uniform" and (found := smaller_than(labels, k)):
        warnings.warn(f"the chosen k = {k} is {found}; give a smaller --max-k, or --weights distance", stacklevel=2)


def refuse_lone_classes(labels: Labels) -> None:
    """Raises DataError where no class has two rows."""
    if labels.counts.max() < 2:
        raise DataError(
            f"{labels.place}: all {len(labels.codes)} labels are different, so no row's neighbours can have its own; "
            "is it the right field? Values, not classes, are for regress and for choose-k --targets"
        )


def classify(found: Neighbors, labels: Labels, weights: str, ids: list[Id], evidence: bool) -> Iterator[dict[str, Any]]:
    """A record of each query: its class, that class's probability, and all classes' probabilities.

    found    : each query's nearest labelled rows
    evidence : whether to name the neighbours: id, distance and label
    """
    shares = class_probabilities(found, labels.codes, len(labels.classes), weights)
    names = [str(label) for label in labels.classes]
    for row, share in enumerate(shares):
        best = int(share.argmax())
        record: dict[str, Any] = {
            "id": ids[row],
            "label": labels.classes[best],
            "probability": round(float(share[best]), 6),
        }
        record["probabilities"] = {name: round(float(part), 6) for name, part in zip(names, share, strict=True)}
        if evidence:
            record["neighbors"] = [
                {"id": labels.ids[one], "distance": float(str(far)), "label": labels.classes[labels.codes[one]]}
                for one, far in zip(found.indices[row], found.distances[row], strict=True)
            ]
        yield record


def regress(
    found: Neighbors, values: np.ndarray, weights: str, ids: list[Id], known: list[Id] | None
) -> Iterator[dict[str, Any]]:
    """A record of each query: the weighted mean of its neighbours' values, and their spread.

    known : the ids of the rows with values, to name the neighbours; None where they are not wanted
    """
    means = values_by_k(found, values, [found.k], weights)[0]
    spread = values[found.indices].std(axis=1)
    for row, mean in enumerate(means):
        record: dict[str, Any] = {"id": ids[row], "value": float(mean), "spread": float(spread[row])}
        if known is not None:
            record["neighbors"] = [
                {"id": known[one], "distance": float(str(far)), "value": float(values[one])}
                for one, far in zip(found.indices[row], found.distances[row], strict=True)
            ]
        yield record


def check_contamination(contamination: float) -> None:
    """Raises UsageError where it is not a share of rows."""
    if not 0 < contamination <= 0.5:
        raise UsageError(f"--contamination: expected auto, or a share above 0 and at most 0.5, got {contamination:g}")


def outliers(found: Neighbors, by: str, contamination: float | None) -> tuple[np.ndarray, np.ndarray, float]:
    """The outlier score of each row, whether it is above the limit, and the limit.

    by            : "lof", the local outlier factor, or "distance", the distance to the k-th neighbour
    contamination : the share of rows to call outliers, above 0 and at most 0.5; None for a limit of 1.5 for lof, and
                    of the upper quartile and 1.5 interquartile ranges (Tukey 1977) for distances
    Raises          UsageError where contamination is out of range; DataError where a row has no score
    """
    scores = OUTLIER_SCORES[by](found, found.k).astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        raise DataError(f"{len(wrong)} rows have no finite score: {some(wrong.tolist())}; are their values too large?")
    if contamination is not None:
        check_contamination(contamination)
        limit = float(np.percentile(scores, 100 * (1 - contamination)))
    elif by == "lof":
        limit = LOF_LIMIT
    else:
        low, high = np.percentile(scores, [25, 75])
        limit = float(high + 1.5 * (high - low))
    return scores, scores > limit, limit
