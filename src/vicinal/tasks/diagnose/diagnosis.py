"""The result of a diagnosis."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vicinal.analysis.agreement import Kappa
from vicinal.data.labels import Label, Labels
from vicinal.data.results import Columns
from vicinal.data.usable import Usable
from vicinal.errors import unknown
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.diagnose.figure import Figure
from vicinal.tasks.predict.curve import Curve
from vicinal.typing import Id


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """The figures, warnings and lists that describe a data set by its nearest neighbours.

    `print(diagnosis)` shows it as text, a notebook shows its tables, and `html()` gives the page.
    `diagnosis["two_nn_dimension"]` is the `Figure` of that name.

    Attributes
    ----------
    source : str
        What the embeddings are called.
    n, dim : int
    metric : str
    k : int
        The number of neighbours used.
    ids : list of int or str
    neighbors : Neighbors
    norms : ndarray of float64, shape (n,)
        The Euclidean lengths of the rows.
    occurrences : ndarray, shape (n,)
        In how many rows' lists each row is.
    figures : dict of str to Figure
    warnings : list of str
    seconds : float
        How long the work took.
    unusable : dict of int to str
        The rows that were left out, by number, and why.
    labels : Labels or None
        None without labels, as are the attributes below.
    curve : Curve or None
        The leave-one-out accuracy of every k.
    convergence : tuple of ndarray, or None
        Shares of the rows, ascending to 1, and the 1-NN error that each would give.
    confusion : ndarray of int64, shape (n_classes, n_classes), or None
        The row's class down, the vote of its neighbours at the best k across. None for very many classes too.
    label_errors : Columns or None
        Likely label errors, the most suspicious first: id, row, label, suggested, agreement, own.
    boundary_pairs : Columns or None
        Near rows with different labels, for experts to label: id, other_id, label, other_label, distance, row,
        other_row, split.
    kappa : Kappa or None
        The agreement with the second labels.
    use : Usable or None
        The rows and their vectors, which the page shows.
    measure : Metric or None
        The metric, with the matrix of one that was learned.
    """

    source: str
    n: int
    dim: int
    metric: str
    k: int
    ids: list[Id]
    neighbors: Neighbors
    norms: np.ndarray
    occurrences: np.ndarray
    figures: dict[str, Figure]
    warnings: list[str]
    seconds: float = 0.0
    unusable: dict[int, str] = field(default_factory=dict)
    labels: Labels | None = None
    curve: Curve | None = None
    convergence: tuple[np.ndarray, np.ndarray] | None = None
    confusion: np.ndarray | None = None
    label_errors: Columns | None = None
    boundary_pairs: Columns | None = None
    kappa: Kappa | None = None
    use: Usable | None = None
    measure: Metric | None = None

    def __getitem__(self, name: str) -> Figure:
        """The figure of a name."""
        if name not in self.figures:
            raise KeyError(unknown("figure", name, self.figures))
        return self.figures[name]

    def label(self, code: int) -> Label:
        """Return the label of a code, as it was given."""
        assert self.labels is not None
        return self.labels.classes[code]

    def text(self, top: int = 10) -> str:
        """Return the diagnosis as text for a terminal, with the first `top` items of each list."""
        from vicinal.tasks.diagnose.lines import lines

        return "\n".join(lines(self, top))

    def html(self) -> str:
        """Return the diagnosis as one self-contained HTML page, as `vicinal.report` makes it."""
        from vicinal.tasks.diagnose.page import pieces

        return b"".join(pieces(self)).decode("utf-8")

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        from vicinal.tasks.diagnose import tables

        return tables.as_json(self)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from vicinal.tasks.diagnose.lines import tables_of

        return tables_of(self)
