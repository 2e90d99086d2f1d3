"""Checks of class sizes before neighbours vote."""

import warnings

import numpy as np

from vicinal.data.labels import Labels
from vicinal.errors import DataError, some


def smaller_than(labels: Labels, k: int) -> str:
    """Return the classes with fewer than k rows as words, empty where there are none.

    >>> from vicinal.data.labels import from_values
    >>> smaller_than(from_values(["a", "a", "b"], [0, 1, 2], "labels"), 2)
    "larger than a class of labels: 'b' (1)"
    """
    small = [f"{labels.classes[code]!r} ({labels.counts[code]})" for code in np.flatnonzero(labels.counts < k)]
    which = "a class" if len(small) == 1 else f"{len(small)} classes"
    return f"larger than {which} of {labels.place}: {some(small)}" if small else ""


def warn_of_small_classes(labels: Labels, k: int, weights: str, chosen: bool = True) -> None:
    """Warn where k is larger than a class and each neighbour has one vote; `chosen` says that k was not given."""
    if weights == "uniform" and (small := smaller_than(labels, k)):
        which = f"the chosen k = {k}" if chosen else f"k = {k}"
        least = int(labels.counts.min())
        remedy = "a smaller --max-k" if chosen else f"-k {least} or less, -k auto"
        in_python = "max_k" if chosen else f"k={least}, k='auto'"
        warnings.warn(
            f"{which} is {small}, so other classes can outvote it even among its own rows; give {remedy} or --weights "
            f"distance (in Python: {in_python} or weights='distance')",
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
