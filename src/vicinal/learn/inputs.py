"""Read what `train` takes: embeddings with labels or pairs, or two sets of embeddings, from memory or from files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicinal.data import dataset
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.labels import from_values
from vicinal.data.usable import kind_of, usable
from vicinal.errors import DataError
from vicinal.learn.pairs import read_pairs

Pairs = tuple[NDArray[np.int64], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Rows:
    """Checked vectors and the data set that they are rows of."""

    vectors: NDArray[Any]
    data: Dataset
    unusable: dict[int, str]
    left: NDArray[np.int64]


def read_rows(
    data: object, source: tuple[object, object], labels: object, ids: object, on_invalid: OnInvalid = "error"
) -> Rows:
    """Return at least two rows of finite numbers, with their labels and ids as far as they are given.

    `source` is where the embeddings lie and how they are quantised.
    """
    fields = {"labels": (labels, kind_of("label", on_invalid))}
    rows = dataset.read(data, source[0], ids=ids, fields=fields, encoding=source[1])
    loaded = load(rows.embeddings, rows=rows, metric="euclidean", on_invalid=on_invalid, at_least=2)
    use = usable(rows, loaded, on_invalid, at_least=2)
    return Rows(use.vectors.vectors, use.rows, use.reasons, use.left)


def read_sides(
    joint: tuple[object, object], names: tuple[str, str], encoding: object, on_invalid: OnInvalid
) -> tuple[NDArray[Any], NDArray[Any], dict[int, str]]:
    """Return two sets of embeddings of the same rows, and the rows that were left out of both."""
    sides = []
    for source, name in zip(joint, names, strict=True):
        rows = dataset.read(source, argument=name, encoding=encoding)
        sides.append(load(rows.embeddings, rows=rows, metric="euclidean", on_invalid=on_invalid, name=name, at_least=2))
    first, second = sides
    unusable = dict(sorted((second.invalid | first.invalid).items()))
    if not unusable or len(first) != len(second):
        return first.vectors, second.vectors, unusable
    left = np.delete(np.arange(len(first)), list(unusable))
    return first.vectors[left], second.vectors[left], unusable


def labels_of(rows: Rows) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the class of each row as a code, and the classes in ascending order."""
    labels = from_values(rows.data.values["labels"], rows.data.ids, rows.data.places["labels"])
    return labels.codes, list(labels.classes)


def pairs_of(given: str | Path | tuple[ArrayLike, ArrayLike], rows: Rows, ids: object) -> Pairs:
    """Return row numbers (n_pairs, 2) and whether each pair is similar.

    `given` is a file with the fields a, b and same, or row numbers and truth values. A file names rows by their ids.
    """
    n = len(rows.left) + len(rows.unusable)
    if isinstance(given, str | Path):
        place = str(ids) if isinstance(ids, str | Path) else rows.data.name if ids is None else "ids"
        return read_pairs(given, rows.data.ids, place)
    pairs, same = (np.asarray(one) for one in given)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu" or same.shape != (len(pairs),):
        raise DataError(
            f"pairs: expected row numbers (n_pairs, 2) and one truth value each, found {pairs.dtype} of {pairs.shape} "
            f"and {same.shape}"
        )
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= n):
        raise DataError(f"pairs: found rows {pairs.min()} to {pairs.max()}, expected 0 to {n - 1}")
    equal = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
    if len(equal):
        raise DataError(f"pairs: pair {equal[0]} names the same row twice; a pair needs two rows")
    similar = same.astype(bool)
    if similar.all() or not similar.any():
        raise DataError(f"pairs: found {similar.sum()} similar pairs of {len(pairs)}; both kinds are needed")
    number = np.full(n, -1)
    number[rows.left] = np.arange(len(rows.left))
    lost = np.flatnonzero((number[pairs] < 0).any(axis=1))
    if len(lost):
        raise DataError(
            f"pairs: {len(lost)} pairs name rows without a usable embedding (the first is pair {lost[0]}); remove them"
        )
    return number[pairs], similar
