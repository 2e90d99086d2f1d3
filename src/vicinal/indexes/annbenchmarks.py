"""ann-benchmarks' data sets: an HDF5 file with train, test, neighbors and distances. Needs h5py (the extra `hdf5`).

    train, test              (n, dim), (n_queries, dim): float32, or bool for hamming
    neighbors, distances     (n_queries, 100): the rows of train nearest to each row of test
    attributes               distance (angular, euclidean, hamming), dimension, type (dense), point_type

`angular` distances are 1 - cosine similarity, as vicinal's cosine. `hamming` distances are the share of differing bits;
vicinal's are their number.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError, need, unknown
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import find
from vicinal.storage import atomic

NAMES = {"angular": "cosine", "euclidean": "euclidean", "hamming": "hamming"}
SUFFIXES = (".hdf5", ".h5")
DEPTH = 100


@dataclass(frozen=True)
class BenchmarkSet:
    """A data set with its queries and their true neighbours, in the units of vicinal's metrics; bits are packed."""

    metric: str
    train: np.ndarray
    test: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray


def is_hdf5(path: str | Path) -> bool:
    """Whether a file is named as one of these sets is."""
    return str(path).lower().endswith(SUFFIXES)


def read(path: str | Path) -> BenchmarkSet:
    """A data set of ann-benchmarks.

    Raises   DataError, naming the file and what it lacks; MissingExtra where h5py is not installed
    """
    h5py = need("h5py", extra="hdf5")
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in ("train", "test", "neighbors", "distances") if name not in file]
            if missing:
                raise DataError(f"{path}: holds no {', '.join(missing)}; expected a data set of ann-benchmarks")
            name = file.attrs.get("distance", "")
            name = name.decode() if isinstance(name, bytes) else str(name)
            arrays = {key: file[key][()] for key in ("train", "test", "neighbors", "distances")}
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file: {error}") from None
    if name not in NAMES:
        raise DataError(f"{path}: {unknown('distance', name, NAMES)}")
    train, test, distances = arrays["train"], arrays["test"], arrays["distances"].astype(np.float32)
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise DataError(f"{path}: found train of shape {train.shape} and test of shape {test.shape}, expected one dim")
    if arrays["neighbors"].shape != distances.shape or len(distances) != len(test):
        raise DataError(f"{path}: found neighbors of shape {arrays['neighbors'].shape} for {len(test)} queries")
    if NAMES[name] == "hamming":
        distances *= train.shape[1]
        train, test = np.packbits(train.astype(bool), axis=1), np.packbits(test.astype(bool), axis=1)
    return BenchmarkSet(NAMES[name], train, test, arrays["neighbors"].astype(np.int64), distances)


def check_metric(metric: str) -> str:
    """What ann-benchmarks calls a metric, or UsageError."""
    theirs = {ours: name for name, ours in NAMES.items()}
    if metric not in theirs:
        raise UsageError(f"ann-benchmarks has no {metric}: {unknown('metric', metric, theirs)}")
    return theirs[metric]


def write(
    path: str | Path, train: np.ndarray, test: np.ndarray, metric: str, overwrite: bool = False, k: int = DEPTH
) -> None:
    """A data set of ann-benchmarks, with the exact k nearest rows of train to each of test.

    Raises   UsageError where ann-benchmarks has no such metric, or the file exists and `overwrite` is false
    """
    h5py = need("h5py", extra="hdf5")
    theirs = check_metric(metric)
    atomic.check_file(path, overwrite)
    found = Exact(find(metric)).fit(train).search(test, min(k, len(train)))
    bits = metric == "hamming"

    def as_theirs(array: np.ndarray) -> Any:
        return np.unpackbits(array, axis=1).astype(bool) if bits else np.asarray(array, dtype=np.float32)

    dim = train.shape[1] * 8 if bits else train.shape[1]
    with atomic.whole_file(path, overwrite) as out, h5py.File(out, "w") as file:
        file.attrs.update(
            {"type": "dense", "distance": theirs, "dimension": dim, "point_type": "bit" if bits else "float"}
        )
        file["train"], file["test"] = as_theirs(train), as_theirs(test)
        file["neighbors"] = found.indices.astype(np.int32)
        file["distances"] = found.distances / dim if bits else found.distances
