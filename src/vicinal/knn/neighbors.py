"""The one result that everything else is arithmetic on: for each row, its nearest rows and how far they are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.knn.arguments import check_k
from vicinal.knn.blocks import padded
from vicinal.storage import atomic, manifests, npy

FORMAT, FORMAT_VERSION = "vicinal.neighbors", 1
WHAT, COMMAND = "saved neighbours", "vicinal neighbors"


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest stored rows of each row, nearest first.

    indices   : int64 (n, k), row numbers from 0; -1 where fewer than k rows were there
    distances : float32 (n, k), ascending, in the metric's unit; inf where the index is -1
    metric    : the name of the metric, where it is known
    dim       : how many coordinates the rows have, where it is known
    order     : by (distance, row number); both arrays are read-only
    Raises    DataError where the shapes differ or are not 2-D, or an index is not a whole number.

    >>> Neighbors([[1, 2]], [[0.5, 1.0]]).nearest(1).indices
    array([[1]])
    """

    indices: np.ndarray
    distances: np.ndarray
    metric: str | None = None
    dim: int | None = None

    def __post_init__(self) -> None:
        try:
            indices = np.asarray(self.indices)
            if indices.size and (indices.dtype.kind not in "iu" or indices.max() > np.iinfo(np.int64).max):
                raise DataError(f"neighbours need whole numbers as indices, found {indices.dtype}")
            indices = np.ascontiguousarray(indices, dtype=np.int64)
            with np.errstate(over="ignore"):  # a distance beyond float32 is inf
                distances = np.ascontiguousarray(self.distances, dtype=np.float32)
        except DataError:
            raise
        except (ValueError, TypeError) as error:
            raise DataError(f"neighbours need two 2-D arrays of numbers: {error}") from None
        if indices.ndim != 2 or indices.shape != distances.shape:
            raise DataError(
                f"neighbours need two 2-D arrays of one shape, found indices {indices.shape} and "
                f"distances {distances.shape}"
            )
        for name, array in (("indices", indices), ("distances", distances)):
            given = getattr(self, name)
            if isinstance(given, np.ndarray) and given.flags.writeable and np.shares_memory(array, given):
                array = array.copy()  # what its maker changes later must not change this
            view = array.view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    @property
    def k(self) -> int:
        """How many neighbours each row has a place for."""
        return self.indices.shape[1]

    def __len__(self) -> int:
        return self.indices.shape[0]

    def __repr__(self) -> str:
        return f"Neighbors(n={len(self)}, k={self.k}, metric={self.metric!r})"

    def nearest(self, k: int) -> "Neighbors":
        """The first k of each row's neighbours; no new pass is needed for a smaller k.

        Raises    UsageError where k is not within 1 to this result's own k.
        """
        if not 1 <= check_k(k) <= self.k:
            raise UsageError(f"k = {k} neighbours were asked of a result that holds {self.k} a row")
        return Neighbors(self.indices[:, :k], self.distances[:, :k], self.metric, self.dim)

    def merge(self, *others: "Neighbors", k: int | None = None) -> "Neighbors":
        """The k nearest of this and other results for the same rows, e.g. from the parts of a stored set.

        A row that several results name is kept once, at the smallest of its distances. k defaults to the largest k;
        where there are fewer, the rest is index -1, distance inf.

        Raises    DataError where the numbers of rows or the metrics differ; UsageError where k is not above 0.
        """
        results: Sequence[Neighbors] = (self, *others)
        if len({len(result) for result in results}) > 1 or len({result.metric for result in results}) > 1:
            raise DataError(f"only results for the same rows and metric can be merged, found {list(results)}")
        k = max(result.k for result in results) if k is None else check_k(k)
        indices = np.concatenate([result.indices for result in results], axis=1)
        distances = np.concatenate([result.distances for result in results], axis=1)
        # A row named twice: all but its nearest mention become empty places, which sort to the end.
        order = np.lexsort((distances, indices))
        indices, distances = _take(indices, order), _take(distances, order)
        again = np.zeros(indices.shape, dtype=bool)
        again[:, 1:] = indices[:, 1:] == indices[:, :-1]
        indices = np.where(again | (indices < 0), -1, indices)
        distances = np.where(indices < 0, np.float32(np.inf), distances)
        order = np.lexsort((np.where(indices < 0, np.iinfo(np.int64).max, indices), distances))[:, :k]
        return Neighbors(*padded(_take(indices, order), _take(distances, order), k), self.metric, self.dim)

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Writes a folder with a JSON manifest and two plain `.npy` files; it appears whole or not at all.

        Raises    UsageError where the folder exists and `overwrite` is false.
        """
        with atomic.whole_folder(folder, overwrite) as part:
            manifest = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "metric": self.metric,
                "n": len(self),
                "k": self.k,
                "dim": self.dim,
                "parts": manifests.save_arrays(part, {"indices": self.indices, "distances": self.distances}),
            }
            (part / manifests.MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Neighbors":
        """The result that `save` wrote; its checksums are verified before an array is parsed.

        Raises    DataError, naming the file, where the folder is not one of ours, is of a newer format, or is damaged.
        """
        folder = Path(folder)
        manifest = _manifest(folder)
        arrays = {}
        for name in ("indices", "distances"):
            file = folder / f"{name}.npy"
            part = manifest["parts"][file.name]
            if not file.is_file():
                raise DataError(f"{file}: missing; the folder is not whole: save the neighbours again")
            if manifests.sha256(file) != part["sha256"]:
                raise DataError(f"{file}: damaged: its checksum is not the manifest's; save the neighbours again")
            arrays[name] = npy.load_npy(file)
            if arrays[name].shape != (manifest["n"], manifest["k"]):
                raise DataError(
                    f"{file}: found shape {arrays[name].shape}, the manifest says n {manifest['n']}, k {manifest['k']}"
                )
        return cls(arrays["indices"], arrays["distances"], manifest["metric"], manifest.get("dim"))


@dataclass(frozen=True, eq=False)
class RadiusNeighbors:
    """All stored rows within a radius of each row: row i's are indices[indptr[i] : indptr[i + 1]].

    indptr    : int64 (n + 1,)
    indices   : int64 (n_found,), by (distance, row number) within each row
    distances : float32 (n_found,), in the metric's unit
    """

    indptr: np.ndarray
    indices: np.ndarray
    distances: np.ndarray
    metric: str | None = None

    def __post_init__(self) -> None:
        arrays = {"indptr": np.int64, "indices": np.int64, "distances": np.float32}
        for name, dtype in arrays.items():
            with np.errstate(over="ignore"):  # a distance beyond float32 is inf
                array = np.ascontiguousarray(getattr(self, name), dtype=dtype).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def of_rows(cls, rows: list[tuple[np.ndarray, np.ndarray]], metric: str | None = None) -> "RadiusNeighbors":
        """The neighbours of each row, given as (indices, distances)."""
        indptr = np.append(0, np.cumsum([len(indices) for indices, _ in rows])).astype(np.int64)
        empty = np.zeros(0)
        indices = np.concatenate([empty.astype(np.int64), *(indices for indices, _ in rows)])
        return cls(indptr, indices, np.concatenate([empty, *(distances for _, distances in rows)]), metric)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The indices and the distances of one row's neighbours."""
        found = slice(self.indptr[row], self.indptr[row + 1])
        return self.indices[found], self.distances[found]

    def __repr__(self) -> str:
        return f"RadiusNeighbors(n={len(self)}, found={len(self.indices)}, metric={self.metric!r})"


def components(n: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The connected components of n rows under the edges a[i] - b[i]: the lowest row of each row's component.

    Returns   int64 (n,)
    Method    every edge pulls the larger of its two labels down to the smaller, and labels are followed to their ends,
              until nothing moves (after Shiloach & Vishkin 1982)

    >>> components(5, np.array([3, 1]), np.array([1, 4])).tolist()
    [0, 1, 2, 1, 1]
    """
    label = np.arange(n)
    while len(a):
        low, high = np.minimum(label[a], label[b]), np.maximum(label[a], label[b])
        apart = low != high
        a, b = a[apart], b[apart]
        np.minimum.at(label, high[apart], low[apart])
        while not np.array_equal(label, followed := label[label]):
            label = followed
    return label


def _take(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    return np.take_along_axis(array, order, axis=1)


def _manifest(folder: Path) -> dict:
    manifest = manifests.read_manifest(folder, FORMAT, FORMAT_VERSION, WHAT, COMMAND)
    try:
        whole = isinstance(manifest["metric"], str | None) and {"n", "k"} <= manifest.keys()
        whole = whole and isinstance(manifest.get("dim"), int | None)
        for name in ("indices.npy", "distances.npy"):
            whole = whole and isinstance(manifest["parts"][name]["sha256"], str)
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise manifests.other_manifest(folder / manifests.MANIFEST, WHAT, COMMAND)
    return manifest
