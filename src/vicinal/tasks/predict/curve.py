"""The leave-one-out score of every number of neighbours."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vicinal.analysis.votes import accuracy_by_k, r2_by_k
from vicinal.data.labels import Labels
from vicinal.errors import need
from vicinal.indexes.exact import Exact
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import Recall, recall_fields, recall_note
from vicinal.tasks.predict.classes import refuse_lone_classes
from vicinal.typing import Progress


@dataclass(frozen=True, eq=False, repr=False)
class Curve:
    """The leave-one-out score of every k: each row is predicted from its nearest others.

    Attributes
    ----------
    score : {"accuracy", "R2"}
        Accuracy for labels, R2 for values; 1 is best.
    ks : list of int
        The numbers of neighbours, ascending.
    scores : dict of str to ndarray of float64, shape (len(ks),)
        Weighting -> the score of each k.
    n : int
        The number of rows. n / k is the complexity of the model: about the number of separate neighbourhoods.
    metric : str
        The name of the metric.
    seconds : float
        How long the neighbour pass and the scores took.
    unusable : dict of int to str
        The rows that were left out, by number, and why.
    recall : Recall or None
        Of approximate neighbours that were given; None for exact ones.
    """

    score: str
    ks: list[int]
    scores: dict[str, np.ndarray]
    n: int
    metric: str
    seconds: float = 0.0
    unusable: dict[int, str] = field(default_factory=dict)
    recall: Recall | None = None

    @property
    def best(self) -> tuple[int, str]:
        """The k and the weighting of the best score; of equal ones the first weighting, then the smallest k."""
        weights = max(self.scores, key=lambda name: self.scores[name].max())
        return self.ks[int(self.scores[weights].argmax())], weights

    @property
    def best_score(self) -> float:
        """The score of `best`."""
        k, weights = self.best
        return self.score_of(k, weights)

    def score_of(self, k: int, weights: str) -> float:
        """The score of one k and weighting."""
        return float(self.scores[weights][self.ks.index(k)])

    def table(self) -> str:
        """Return the curve as a table for a terminal, the best k marked."""
        best_k, best_weights = self.best
        heads = "".join(f" {name:>10}" for name in self.scores)
        lines = [f"{'k':>5} {'n/k':>9}{heads}   leave-one-out {self.score}"]
        for place, k in enumerate(self.ks):
            cells = "".join(f" {values[place]:>10.4f}" for values in self.scores.values())
            mark = f"   best: {best_weights}" if k == best_k else ""
            lines.append(f"{k:>5} {self.n / k:>9.1f}{cells}{mark}")
        return "\n".join(lines)

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with the columns k, n_per_k and one column a weighting."""
        return need("pandas").DataFrame({"k": self.ks, "n_per_k": self.n / np.array(self.ks), **self.scores})

    def picture(self) -> Any:
        """Return a matplotlib Figure of the score over k, the best k marked; below each k stands n / k."""
        from vicinal.tasks import pictures

        figure, place = pictures.axes("Leave-one-out score by number of neighbours", "k", f"leave-one-out {self.score}")
        for colour, (name, values) in zip(pictures.COLOURS, self.scores.items(), strict=False):
            place.plot(self.ks, values, color=colour, label=f"{name} weights", marker=".", markersize=4)
        k = self.best[0]
        place.plot([k], [self.best_score], "o", color="black", fillstyle="none", markersize=9)
        label = f"k = {k}: {self.best_score:.4f}"
        place.annotate(label, (k, self.best_score), xytext=(0, 9), textcoords="offset points", ha="center")
        place.margins(y=0.12)  # space for the label above the best score
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200) if self.ks[0] <= tick <= self.ks[-1]]
        pictures.log_ticks(place, ticks, [f"{tick}\n{self.n / tick:,.0f}" for tick in ticks])
        place.set_xlabel("k, and below it n / k: the model's complexity")
        place.legend(frameon=False, loc="lower center")
        return figure

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; scores are rounded to 6 decimals."""
        k, weights = self.best
        return {
            "n": self.n,
            "metric": self.metric,
            "unusable": len(self.unusable),
            "score": self.score,
            "best_k": k,
            "best_weights": weights,
            "ks": self.ks,
            "scores": {name: [round(float(one), 6) for one in values] for name, values in self.scores.items()},
            **recall_fields(self.recall),
        }

    def __repr__(self) -> str:
        k, weights = self.best
        said = recall_note(self.recall, ", ")
        return f"Curve(best k={k}, weights={weights!r}, {self.score}={self.best_score:.4f}, n={self.n}{said})"


def leave_one_out(
    index: Exact,
    known: Labels | np.ndarray,
    max_k: int,
    weightings: tuple[str, ...],
    progress: Progress | None = None,
    neighbors: Neighbors | None = None,
) -> Curve:
    """Return the score of every k from 1 to max_k, from one pass over the rows of an index.

    Parameters
    ----------
    index : Exact
        Fitted to the rows, or of their metric where neighbours are given.
    known : Labels or ndarray of float64
        The label (accuracy) or the value (R2) of each row.
    max_k : int
        The largest k; the number of other rows where that is less.
    weightings : tuple of str
        Of `vicinal.analysis.votes.WEIGHTS`.
    progress : callable, optional
        Called with (work done, work in all).
    neighbors : Neighbors, optional
        The max_k nearest others of each row, where they are known.

    Raises
    ------
    DataError
        No class has two rows.
    """
    if isinstance(known, Labels):
        refuse_lone_classes(known)
    if neighbors is None:
        neighbors = index.neighbors(max_k, progress=progress)
    ks = list(range(1, neighbors.k + 1))
    if isinstance(known, Labels):
        scores = {name: accuracy_by_k(neighbors, known.codes, ks, name) for name in weightings}
        return Curve("accuracy", ks, scores, len(neighbors), index.metric.name, recall=neighbors.recall)
    scores = {name: r2_by_k(neighbors, known, ks, name) for name in weightings}
    return Curve("R2", ks, scores, len(neighbors), index.metric.name, recall=neighbors.recall)
