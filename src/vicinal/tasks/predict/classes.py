"""Checks of class sizes before neighbours vote."""

import warnings

import numpy as np

from vicinal.data.labels import Labels
from vicinal.errors import DataError, UsageError, some


def smaller_than(labels: Labels, k: int) -> str:
    """Return the classes with fewer than k rows as words, empty where there are none.

    >>> from vicinal.data.labels import from_values
    >>> smaller_than(from_values(["a", "a", "b"], [0, 1, 2], "labels"), 2)
    "larger than a class of labels: 'b' (1)"
    """
    small = [f"{labels.classes[code]!r} ({labels.counts[code]})" for code in np.flatnonzero(labels.counts < k)]
    which = "a class" if len(small) == 1 else f"{len(small)} classes"
    return f"larger than {which} of {labels.place}: {some(small)}" if small else ""


def refuse_small_classes(labels: Labels, k: int) -> None:
    """Raise UsageError where a class has fewer than k rows."""
    if small := smaller_than(labels, k):
        least = int(labels.counts.min())
        raise UsageError(
            f"k: {k} is {small}, so other classes can outvote it even among its own rows; give -k {least} or less, "
            "-k auto, --weights distance or --allow-small-classes (in Python: "
            f"k={least}, k='auto', weights='distance' or allow_small_classes=True)"
        )


def warn_of_small_classes(labels: Labels, k: int, weights: str) -> None:
    """Warn where a chosen k is larger than a class and each neighbour has one vote."""
    if weights == "uniform" and (small := smaller_than(labels, k)):
        warnings.warn(
            f"the chosen k = {k} is {small}, so other classes can outvote it even among its own rows; give a smaller "
            "--max-k or --weights distance (in Python: max_k or weights='distance')",
            stacklevel=3,
        )


def refuse_lone_classes(labels: Labels) -> None:
    """Raise DataError where no class has two rows, so that no row has a neighbour of its own class."""
    if labels.counts.max() < 2:
        raise DataError(
            f"{labels.place}: all {len(labels)} labels are different, so no row has a neighbour with its own label; is "
            "it the right field? Numbers that are values, not classes, are for regress and for choose-k --targets "
            "(in Python: targets=)"
        )
