"""What `vicinal learn` and `vicinal lm` still load by themselves."""

import argparse
import contextlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from vicinal.data.labels import Labels
    from vicinal.data.tables import Id
    from vicinal.indexes.exact import Exact


def vectors(path: str, place: str, index: "Exact", at_least: int = 1) -> "np.ndarray":
    """Return the rows of a file, all of which can be used."""
    from vicinal.data.embeddings import load

    return load(path, metric=index.metric, name=place, at_least=at_least).vectors


def labels_of(arguments: argparse.Namespace, n: int) -> "Labels":
    """Return the labels of the n rows, after a check that the embeddings were made from these rows."""
    from vicinal.data import labels, provenance

    found = labels.read_labels(arguments.labels, "--labels", n, arguments.embeddings)
    provenance.verify(arguments.embeddings, labels.parse(arguments.labels, "--labels")[0], found.ids, contents=False)
    return found


def ids_of(arguments: argparse.Namespace, n: int, array: str) -> "list[Id]":
    """Return the ids of the n rows of an array, as `labels_of`; row numbers where no file is named."""
    from vicinal.data import labels, provenance

    ids = labels.read_ids(arguments.ids, "--ids", n, array)
    if arguments.ids is not None:
        provenance.verify(array, labels.parse(arguments.ids, "--ids")[0], ids, contents=False)
    return ids


def share(text: str, place: str) -> float:
    """Return the number in an option, or raise UsageError."""
    from vicinal.errors import UsageError

    number = math.nan
    with contextlib.suppress(ValueError):
        number = float(text)
    if not math.isfinite(number):
        raise UsageError(f'{place}: expected a number, got "{text}"')
    return number


def at_most(k: int, n: int) -> int:
    """Return k, or n where that is less, with a warning that names both."""
    import warnings

    if k > n:
        warnings.warn(f"k = {k}, but only {n} rows are known; using k = {n}", stacklevel=2)
    return min(k, n)
