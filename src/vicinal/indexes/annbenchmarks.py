"""ann-benchmarks' data sets: an HDF5 file with train, test, neighbors and distances. Needs h5py (the extra `hdf5`).

    train, test              (n, dim), (n_queries, dim): float32, or bool for hamming
    neighbors, distances     (n_queries, 100): the rows of train nearest to each row of test
    attributes               distance (angular, euclidean, hamming), dimension, type (dense), point_type

`angular` distances are 1 - cosine similarity, as vicinal's cosine. `hamming` distances are the share of differing bits;
vicinal's are their number.

VIBE's sets have the same parts. Their `hamming` rows are packed bits (uint8) and their distances are numbers of bits;
`cosine` and `normalized` are 1 - cosine similarity, and `ip` is minus the inner product. As no attribute names the
unit of hamming, it is taken from the rows themselves: the distance that the file gives must be the one measured.
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
VIBE_NAMES = {"cosine": "cosine", "normalized": "cosine", "ip": "inner_product"}
PARTS = {"train", "test", "neighbors", "distances"}
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


def is_set(path: str | Path) -> bool:
    """Whether a file named as one of these sets holds any part of one; one that cannot be opened is left to `read`."""
    if not is_hdf5(path):
        return False
    h5py = need("h5py", extra="hdf5")
    try:
        with h5py.File(path, "r") as file:
            return bool(PARTS & set(file))
    except OSError:
        return True


def metric_of(file: Any) -> str:
    """The metric of an open set, by vicinal's name; the name that the file gives where vicinal knows none."""
    name = file.attrs.get("distance", "")
    name = name.decode() if isinstance(name, bytes) else str(name)
    return (NAMES | VIBE_NAMES).get(name, name)


def read(path: str | Path) -> BenchmarkSet:
    """A data set of ann-benchmarks or of VIBE.

    Raises   DataError, naming the file and what it lacks; MissingExtra where h5py is not installed
    """
    h5py = need("h5py", extra="hdf5")
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in ("train", "test", "neighbors", "distances") if name not in file]
            if missing:
                raise DataError(f"{path}: holds no {', '.join(missing)}; expected a data set of ann-benchmarks")
            name = metric_of(file)
            arrays = {key: file[key][()] for key in ("train", "test", "neighbors", "distances")}
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file: {error}") from None
    if name not in (NAMES | VIBE_NAMES).values():
        raise DataError(f"{path}: {unknown('distance', name, NAMES | VIBE_NAMES)}")
    train, test, distances = arrays["train"], arrays["test"], arrays["distances"].astype(np.float32)
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise DataError(f"{path}: found train of shape {train.shape} and test of shape {test.shape}, expected one dim")
    neighbors = arrays["neighbors"].astype(np.int64)
    if neighbors.shape != distances.shape or len(distances) != len(test):
        raise DataError(f"{path}: found neighbors of shape {neighbors.shape} for {len(test)} queries")
    if neighbors.size and not 0 <= neighbors.min() <= neighbors.max() < len(train):
        raise DataError(f"{path}: neighbors name rows {neighbors.min()} to {neighbors.max()}, train has {len(train)}")
    if name == "hamming":
        train, test, distances = _in_bits(path, train, test, neighbors, distances)
    return BenchmarkSet(name, train, test, neighbors, distances)


def _in_bits(
    path: str | Path, train: np.ndarray, test: np.ndarray, neighbors: np.ndarray, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of a set of hamming as packed bits, and its distances as numbers of bits.

    Bytes may be packed bits (VIBE) or a bit each; the one under which the file's own distances hold is the right one.
    """
    as_bits = [np.packbits(one.astype(bool), axis=1) for one in (train, test)]
    forms = [(*as_bits, train.shape[1])]
    if train.dtype == np.uint8:
        forms.append((train, test, train.shape[1] * 8))
    rows = np.arange(min(len(test), 100))
    for stored, asked, n_bits in forms:
        near = np.bitwise_count(stored[neighbors[rows, 0]] ^ asked[rows]).sum(axis=1, dtype=np.int64)
        far = np.bitwise_count(stored[neighbors[rows, -1]] ^ asked[rows]).sum(axis=1, dtype=np.int64)
        for unit in (1, n_bits):  # numbers of bits, or shares of them
            given = distances[rows][:, [0, -1]] * unit
            if np.allclose(given, np.stack([near, far], axis=1), rtol=0, atol=0.01):
                return stored, asked, distances * unit
    raise DataError(
        f"{path}: its distances are neither numbers nor shares of differing bits between its test and train rows, of "
        f"{train.dtype}; the file is damaged, or not of hamming"
    )


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
