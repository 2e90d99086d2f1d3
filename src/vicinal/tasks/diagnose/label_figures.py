"""The figures of a diagnosis that need labels, and the warnings that follow from them.

Each figure and each warning is a small function of the facts, listed in `FIGURES` and `WARNINGS`.
"""

from dataclasses import dataclass

import numpy as np

from vicinal.analysis.agreement import Kappa
from vicinal.analysis.diagnostics import bayes_interval
from vicinal.data.labels import Labels
from vicinal.errors import some
from vicinal.tasks.diagnose.figure import Figure
from vicinal.tasks.predict.curve import Curve

FALLING = 0.005  # a 1-NN error that still falls by more from half the rows to all has not settled


@dataclass(frozen=True, eq=False)
class LabelFacts:
    """The measurements of labels that figures and warnings are computed from.

    Attributes
    ----------
    labels : Labels
    curve : Curve
        The leave-one-out accuracy of every k.
    convergence : tuple of ndarray
        Shares of the rows, ascending to 1, and the 1-NN error that each would give.
    error_k : int
        The number of neighbours used for likely label errors.
    n_errors : int
        The number of likely label errors.
    kappa : Kappa or None
        The agreement with a second column of labels.
    """

    labels: Labels
    curve: Curve
    convergence: tuple[np.ndarray, np.ndarray]
    error_k: int
    n_errors: int
    kappa: Kappa | None

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.labels)

    @property
    def best_error(self) -> float:
        """The least leave-one-out error."""
        return 1 - self.curve.best_score

    @property
    def one_nn_error(self) -> float:
        """The leave-one-out error of one neighbour."""
        return 1 - float(self.curve.scores["uniform"][0])

    @property
    def half_error(self) -> float:
        """The 1-NN error that half of the rows would give."""
        return float(np.interp(0.5, *self.convergence))

    @property
    def cover_hart(self) -> tuple[float, float]:
        """The ends of the Cover-Hart interval."""
        return bayes_interval(self.one_nn_error, len(self.labels.classes))


def figures_of(facts: LabelFacts) -> list[Figure]:
    """Return the figures in the order in which they are shown."""
    return [figure for figure in (make(facts) for make in FIGURES) if figure is not None]


def warnings_of(facts: LabelFacts) -> list[str]:
    """Return the warnings in the order in which they are shown."""
    return [text for text in (make(facts) for make in WARNINGS) if text is not None]


def _one_nn_error(facts: LabelFacts) -> Figure:
    most = facts.labels.counts.max() / facts.n
    return Figure(
        name="one_nn_error",
        title="1-NN error",
        value=facts.one_nn_error,
        unit="share of rows",
        formula="share of rows whose nearest other has another label",
        source="leave-one-out",
        meaning=f"Always predicting the largest class is wrong for {1 - most:.4f}.",
    )


def _cover_hart_lower(facts: LabelFacts) -> Figure:
    return Figure(
        name="cover_hart_lower",
        title="Cover-Hart interval, lower end",
        value=facts.cover_hart[0],
        unit="share of rows, an estimate",
        formula="(M - 1) / M (1 - sqrt(1 - M / (M - 1) e))",
        source="Cover & Hart 1967",
        meaning="With infinitely many rows, no classifier on these embeddings could have a smaller error.",
    )


def _cover_hart_upper(facts: LabelFacts) -> Figure:
    return Figure(
        name="cover_hart_upper",
        title="Cover-Hart interval, upper end",
        value=facts.cover_hart[1],
        unit="share of rows, an estimate",
        formula="e, the 1-NN error",
        source="Cover & Hart 1967",
        meaning="With infinitely many rows, the error of the best classifier would be at most this.",
    )


def _best_knn_error(facts: LabelFacts) -> Figure:
    k, weights = facts.curve.best
    return Figure(
        name="best_knn_error",
        title=f"best k-NN error (k = {k}, {weights} weights)",
        value=facts.best_error,
        unit="share of rows",
        formula="least leave-one-out error over k and weights",
        source="leave-one-out",
        meaning=f"Reached at n / k = {facts.n / k:,.0f}, the model's complexity: about the number of separate "
        "neighbourhoods.",
    )


def _half_error(facts: LabelFacts) -> Figure:
    return Figure(
        name="half_error",
        title="1-NN error with half the rows",
        value=facts.half_error,
        unit="share of rows",
        formula="expected over all subsamples: sum of s (1 - s)^(j - 1) [label_j differs]",
        source="leave-one-out",
        meaning="The difference from the 1-NN error is what the second half of the rows brought.",
    )


def _label_errors(facts: LabelFacts) -> Figure:
    return Figure(
        name="label_errors",
        title=f"likely label errors (k = {facts.error_k})",
        value=float(facts.n_errors),
        unit="rows",
        formula="another label has >= 50 % of the k nearest, the row's own <= 5 %",
        source="after Wilson 1972",
        meaning="Rows whose neighbours agree on another label; look at the first ones of the ranked list.",
    )


def _cohen_kappa(facts: LabelFacts) -> Figure | None:
    if facts.kappa is None:
        return None
    kappa = facts.kappa
    return Figure(
        name="cohen_kappa",
        title="Cohen's kappa of the two label columns",
        value=kappa.value,
        unit=f"1 is full agreement; {100 * kappa.confidence:.0f} % interval {kappa.low:.4f} to {kappa.high:.4f}",
        formula="(agreement - chance) / (1 - chance)",
        source="Cohen 1960; Fleiss, Cohen & Everitt 1969",
        meaning=f"The columns agree on {100 * kappa.agreement:.1f} % of {kappa.n:,} rows.",
    )


FIGURES = (
    _one_nn_error,
    _cover_hart_lower,
    _cover_hart_upper,
    _best_knn_error,
    _half_error,
    _label_errors,
    _cohen_kappa,
)


def _warn_of_interval(facts: LabelFacts) -> str | None:
    low, best = facts.cover_hart[0], facts.best_error
    if low <= best:
        return None
    return (
        f"the Cover-Hart lower end {low:.4f} lies above the best k-NN error {best:.4f}: it holds only for "
        "infinitely many rows, and these are too few for it; do not read it as a bound"
    )


def _warn_of_falling_error(facts: LabelFacts) -> str | None:
    half, one_nn = facts.half_error, facts.one_nn_error
    if half - one_nn <= FALLING:
        return None
    return (
        f"the 1-NN error still falls with more rows ({half:.4f} with half of them, {one_nn:.4f} with all): the "
        "Cover-Hart interval has not settled, and more data would help"
    )


def _warn_of_small_classes(facts: LabelFacts) -> str | None:
    labels = facts.labels
    codes = np.flatnonzero(labels.counts <= facts.error_k // 2)
    if not len(codes):
        return None
    small = [f"{labels.classes[code]!r} ({labels.counts[code]})" for code in codes]
    return (
        f"classes with too few rows for a majority of {facts.error_k} neighbours, so that their rows can seem wrongly "
        f"labelled: {some(small)}"
    )


WARNINGS = (_warn_of_interval, _warn_of_falling_error, _warn_of_small_classes)
