"""The diagnosis of a data set: vectors, and labels where there are any, into figures, warnings and lists.

One neighbour pass serves all of them.
"""

from dataclasses import dataclass, field

import numpy as np

from vicinal.analysis.diagnostics import (
    BoundaryPairs,
    Kappa,
    LabelErrors,
    boundary_pairs,
    cohen_kappa,
    confusion,
    error_by_share,
    label_errors,
)
from vicinal.analysis.scores import hubness
from vicinal.analysis.votes import WEIGHTS, accuracy_by_k
from vicinal.data.labels import Labels
from vicinal.data.tables import Id
from vicinal.indexes.exact import Exact
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.diagnose.figures import HUB_K, Figure, figures_of_labels, figures_of_vectors
from vicinal.tasks.predict import Curve, refuse_lone_classes
from vicinal.typing import Progress

ERROR_K = 30
MOST_CLASSES = 4000  # of which a square table of counts is made


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the neighbours say of a data set; fields that need labels are None without them."""

    source: str
    n: int
    dim: int
    metric: str
    k: int
    ids: list[Id]
    neighbors: Neighbors
    norms: np.ndarray
    figures: list[Figure]
    warnings: list[str]
    labels: Labels | None = None
    curve: Curve | None = None
    convergence: tuple[np.ndarray, np.ndarray] | None = None
    confusion: np.ndarray | None = None
    errors: LabelErrors | None = None
    pairs: BoundaryPairs | None = None
    kappa: Kappa | None = None
    occurrences: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def label(self, code: int) -> str | int | float:
        """The label of a code, as it was written."""
        assert self.labels is not None
        return self.labels.classes[code]


def diagnose(
    source: str,
    vectors: np.ndarray,
    index: Exact,
    k: int = 50,
    labels: Labels | None = None,
    second: np.ndarray | None = None,
    ids: list[Id] | None = None,
    pairs: int = 100,
    evaluation: float = 0.5,
    progress: Progress | None = None,
) -> Diagnosis:
    """All figures of a data set, from one pass over k neighbours of each row.

    source  : what the vectors are called
    index   : an index of the metric, which is fitted to the vectors here
    labels  : the label of each row; second: another judge's, as codes of the same classes, for kappa
    pairs   : how many boundary pairs at most, of which the share `evaluation` is set aside
    Raises    as `Exact.neighbors`; UsageError for inner products, which are no distances
    """
    if labels is not None:
        refuse_lone_classes(labels)
    found = index.fit(vectors, invalid={}).neighbors(k, progress=progress)
    ids = list(range(len(vectors))) if ids is None else ids
    norms = np.sqrt((np.asarray(vectors, dtype=np.float64) ** 2).sum(axis=1))
    figures, warnings = figures_of_vectors(vectors, index, found, norms)
    hub_k = min(HUB_K, found.k)
    common = {
        "source": source,
        "n": len(vectors),
        "dim": vectors.shape[1],
        "metric": index.metric.name,
        "k": found.k,
        "ids": ids,
        "neighbors": found,
        "norms": norms,
        "occurrences": hubness(found, hub_k),
    }
    if labels is None:
        return Diagnosis(**common, figures=figures, warnings=warnings)
    ks = list(range(1, found.k + 1))
    curve = Curve("accuracy", ks, {name: accuracy_by_k(found, labels.codes, ks, name) for name in WEIGHTS})
    best_k, best_weights = curve.best
    convergence = error_by_share(found, labels.codes)
    table = None
    if len(labels.classes) <= MOST_CLASSES:
        table = confusion(found, labels.codes, len(labels.classes), best_k, best_weights)
    else:
        warnings.append(f"{len(labels.classes):,} classes: confusion is told of at most {MOST_CLASSES:,}")
    error_k = min(ERROR_K, found.k)
    errors = label_errors(found, labels.codes, len(labels.classes), error_k)
    kappa = None if second is None else cohen_kappa(labels.codes, second)
    told, said = figures_of_labels(curve, convergence, errors, labels, kappa, error_k, len(vectors))
    return Diagnosis(
        **common,
        figures=told + figures,
        warnings=said + warnings,
        labels=labels,
        curve=curve,
        convergence=convergence,
        confusion=table,
        errors=errors,
        pairs=boundary_pairs(found, labels.codes, pairs, evaluation),
        kappa=kappa,
    )
