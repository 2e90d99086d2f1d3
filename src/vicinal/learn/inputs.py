"""Reading what `train` takes: embeddings, labels and ids, as arrays or as paths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicinal.data import labels, provenance
from vicinal.data.tables import Id
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import find
from vicinal.knn.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid
from vicinal.learn.pairs import read_pairs
from vicinal.storage import npy

ArrayOrPath = ArrayLike | str | Path
Pairs = tuple[NDArray[np.int64], NDArray[np.bool_]]


def load_vectors(data: ArrayOrPath, name: str) -> NDArray[Any]:
    """Return at least two rows of finite numbers, of an array or of a `.npy` file.

    `name` is what an error calls an array; a file is called by its path.
    """
    if isinstance(data, str | Path):
        data, name = npy.load_npy(data), str(data)
    rows = as_vectors(data, name, at_least=2)
    refuse_dtype(rows, find("euclidean"), name)
    refuse_invalid(invalid_rows(rows, find("euclidean")), range(len(rows)), name, remedy="")
    return rows


def load_labels(given: ArrayOrPath, n: int, data: ArrayOrPath) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the class of each of n rows as a code, and the classes in ascending order.

    `given` is one label a row, or FILE[:FIELD]. Where the embeddings are a file too, their provenance is checked.
    """
    if isinstance(given, str | Path):
        source = str(data) if isinstance(data, str | Path) else "data"
        read = labels.read_labels(str(given), "labels", n, source)
        _verify_rows(data, str(given), "labels", read.ids)
        return read.codes, list(read.classes)
    array = np.asarray(given)
    if array.shape != (n,):
        raise DataError(f"labels: expected one a row, shape ({n},), found shape {array.shape}")
    texts = array.dtype.kind == "O" and all(isinstance(one, str) for one in array)
    if array.dtype.kind not in "biufU" and not texts:
        raise DataError(f"labels: expected texts or numbers, found dtype {array.dtype}")
    missing = np.flatnonzero(np.isnan(array)) if array.dtype.kind == "f" else np.empty(0)
    if len(missing):
        raise DataError(f"labels: row {int(missing[0])} is NaN, expected a label; remove the row or give it a label")
    classes, codes = np.unique(array, return_inverse=True)
    return codes.astype(np.int64), classes.tolist()


def load_pairs(
    given: str | Path | tuple[ArrayLike, ArrayLike], ids: Sequence[Id] | str | Path | None, n: int, data: ArrayOrPath
) -> Pairs:
    """Return row numbers (n_pairs, 2) and whether each pair is similar.

    `given` is a file with the fields a, b and same, or row numbers and truth values. `ids` are the ids of the rows that
    a file names; None for row numbers.
    """
    if isinstance(given, str | Path):
        source = str(data) if isinstance(data, str | Path) else "data"
        if isinstance(ids, str | Path):
            known = labels.read_ids(str(ids), "ids", n, source)
            _verify_rows(data, str(ids), "ids", known)
            return read_pairs(given, known, str(ids))
        known = list(range(n)) if ids is None else list(ids)
        if len(known) != n:
            raise DataError(f"ids: found {len(known)}, but {source} has {n} rows; give one a row, in the same order")
        return read_pairs(given, known, source if ids is None else "ids")
    if ids is not None:
        raise UsageError("ids: apply to a file of pairs only; an array of pairs holds row numbers")
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
    return pairs.astype(np.int64), similar


def _verify_rows(data: ArrayOrPath, spec: str, argument: str, ids: list[Id]) -> None:
    """Raise DataError where the note beside a file of embeddings says that its rows are others than those of a file."""
    if isinstance(data, str | Path):
        provenance.verify(data, labels.parse(spec, argument)[0], ids, contents=False)
