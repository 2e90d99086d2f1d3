"""The results of a search, which everything else is computed from: each row's nearest rows and their distances."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, overload

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.knn import memory
from vicinal.knn.arguments import BYTES_OF_ONE, check_k
from vicinal.knn.blocks import padded
from vicinal.knn.recall import FORM, Recall, recall_fields
from vicinal.knn.sparse import csr
from vicinal.storage import atomic, guard, manifests
from vicinal.storage.manifests import FolderKind
from vicinal.typing import ArrayLike, PathLike

SAVED = FolderKind("vicinal.neighbors", 1, "saved neighbours", "vicinal neighbors", "save the neighbours again")


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest stored rows of each row, nearest first, ties by row number.

    `neighbors[i]` is row i's (indices, distances), without empty places; `neighbors[a:b]` is the result of those rows.

    Attributes
    ----------
    indices : ndarray of int64, shape (n, k)
        Row numbers from 0; -1 where fewer than k rows were there. Read-only.
    distances : ndarray of float32, shape (n, k)
        Ascending, in the metric's unit; inf where the index is -1. Read-only.
    metric : str or None
        The name of the metric, where it is known.
    dim : int or None
        The number of coordinates, where it is known.
    recall : Recall or None
        Of a result that was made with `recall=`: the measured share of true neighbours. None for an exact result.

    Raises
    ------
    DataError
        Where the shapes differ or are not 2-D, or an index is not a whole number.

    Examples
    --------
    >>> found = Neighbors([[1, 2], [0, -1]], [[0.5, 1.0], [0.5, np.inf]])
    >>> found[1]
    (array([0]), array([0.5], dtype=float32))
    >>> found.nearest(1).indices.tolist(), len(found[:1]), [len(indices) for indices, _ in found]
    ([[1], [0]], 1, [2, 1])
    """

    indices: np.ndarray
    distances: np.ndarray
    metric: str | None = None
    dim: int | None = None
    recall: Recall | None = field(default=None, kw_only=True)

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
                array = array.copy()  # a copy, so that later changes to the given arrays have no effect
            view = array.view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    @property
    def k(self) -> int:
        """The number of columns: the largest number of neighbours of a row."""
        return int(self.indices.shape[1])

    def __len__(self) -> int:
        return int(self.indices.shape[0])

    @overload
    def __getitem__(self, row: int | np.integer) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def __getitem__(self, row: slice) -> Self: ...

    def __getitem__(self, row: int | np.integer | slice) -> tuple[np.ndarray, np.ndarray] | Self:
        """One row's (indices, distances), or the result of a slice of rows."""
        if isinstance(row, slice):
            return self._slice(row)
        filled = self.indices[_row_number(row)] >= 0
        return self.indices[row][filled], self.distances[row][filled]

    def _slice(self, rows: slice) -> Self:
        return replace(self, indices=self.indices[rows], distances=self.distances[rows])

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self[row] for row in range(len(self)))

    @property
    def approximate(self) -> bool:
        """Whether true neighbours may be missing; `recall` says how many."""
        return self.recall is not None and not self.recall.exact

    def __repr__(self) -> str:
        recall = f", {self.recall}" if self.recall is not None and self.approximate else ""
        return f"Neighbors(n={len(self)}, k={self.k}, metric={self.metric!r}{recall})"

    def nearest(self, k: int) -> Self:
        """The first k of each row's neighbours; a smaller k needs no new pass.

        Raises
        ------
        UsageError
            Where k is not within 1 to this result's own k.
        """
        if check_k(k) > self.k:
            raise UsageError(f"k: expected at most {self.k}, which this result holds a row, got {k}; search for more")
        return replace(self, indices=self.indices[:, :k], distances=self.distances[:, :k])

    def padded(self, k: int) -> Self:
        """The same result with k columns: cut, or filled with index -1 and distance inf.

        A search among fewer than k rows has a column for each of them; where an array of a fixed width is wanted, as
        FAISS gives it, ask for it here.

        >>> Neighbors([[2]], [[0.5]], "euclidean").padded(2).indices.tolist()
        [[2, -1]]
        """
        memory.require(len(self) * check_k(k) * BYTES_OF_ONE, f"{k} columns of {len(self)} rows", "lower k")
        indices, distances = padded(self.indices, self.distances, check_k(k))
        return replace(self, indices=indices, distances=distances)

    def merge(self, *others: "Neighbors", k: int | None = None) -> "Neighbors":
        """The k nearest of this and other results for the same rows, e.g. from the parts of a stored set.

        A row that several results name is kept once, at the smallest of its distances. The result has k columns,
        by default the largest of theirs, or fewer where the results have fewer together; a row's empty places are index
        -1, distance inf. The lowest recall of the results is kept.

        Raises
        ------
        DataError
            Where the numbers of rows or the metrics differ.
        UsageError
            Where k is not above 0.
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
        known = [result.recall for result in results if result.recall is not None]
        worst = min(known, key=lambda one: one.low, default=None)
        return Neighbors(_take(indices, order), _take(distances, order), self.metric, self.dim, recall=worst)

    def to_csr(self, n_columns: int | None = None, own: bool = False, symmetric: bool = False) -> Any:
        """The distances as a sparse matrix, row i holding row i's neighbours, nearest first.

        Parameters
        ----------
        n_columns : int or None
            The number of stored rows; None where the rows are the stored rows themselves.
        own : bool
            Whether each row is its own neighbour too, at distance 0, as scikit-learn expects of `metric="precomputed"`.
        symmetric : bool
            Whether j also gets i where i has j, as UMAP expects of `metric="precomputed"` and networkx of a graph.

        Returns
        -------
        scipy.sparse.csr_matrix
            float32 (n, n_columns), in writable arrays of its own; distances of 0 are stored explicitly.

        Raises
        ------
        UsageError
            Where a neighbour's number is not below n_columns, or a matrix that is not square should be symmetric or
            hold each row itself.

        Examples
        --------
        >>> Neighbors([[1], [0], [1]], [[0.0], [0.0], [2.0]]).to_csr().toarray().tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
        """
        there = self.indices >= 0
        indptr = np.append(0, np.cumsum(there.sum(axis=1)))
        return csr(indptr, self.indices[there], self.distances[there], n_columns, own, symmetric)

    def to_arrow(self) -> Any:
        """The neighbours as an Arrow array with one struct a row: {ids: row numbers, distances}.

        embedding-atlas takes a column of this form as the neighbours of each row.

        Returns
        -------
        pyarrow.StructArray
            n structs of list<int64> and list<float>; rows without neighbours have empty lists.

        Examples
        --------
        >>> Neighbors([[1, 2], [0, -1]], [[0.5, 1.0], [0.5, np.inf]]).to_arrow().to_pylist()[1]
        {'ids': [0], 'distances': [0.5]}
        """
        import pyarrow

        there = self.indices >= 0
        offsets = pyarrow.array(np.append(0, np.cumsum(there.sum(axis=1))).astype(np.int32))
        ids = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(self.indices[there]))
        distances = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(self.distances[there]))
        return pyarrow.StructArray.from_arrays([ids, distances], names=["ids", "distances"])

    def to_umap(self) -> tuple[np.ndarray, np.ndarray]:
        """The neighbours as UMAP's `precomputed_knn` takes them: each row itself first, in arrays of their own.

        umap-learn counts the row itself as its first neighbour, and writes into the arrays that it is given: a result
        with k neighbours a row is for `UMAP(n_neighbors=k + 1, precomputed_knn=found.to_umap())`, or a smaller number.

        Returns
        -------
        indices : ndarray of int64, shape (n, k + 1)
        distances : ndarray of float32, shape (n, k + 1)

        Raises
        ------
        UsageError
            The distances are inner products, rows are not neighbours in their own set, or rows have fewer than k.

        Examples
        --------
        >>> indices, distances = Neighbors([[1], [0], [1]], [[1.0], [1.0], [2.0]]).to_umap()
        >>> indices.tolist(), distances.tolist()
        ([[0, 1], [1, 0], [2, 1]], [[0.0, 1.0], [0.0, 1.0], [0.0, 2.0]])
        """
        n, rows = len(self), np.arange(len(self))
        if self.metric == "inner_product":
            raise UsageError("to_umap: needs distances, found inner products; compute neighbours by cosine")
        if (self.indices < 0).any():
            short = np.flatnonzero((self.indices < 0).any(axis=1))
            raise UsageError(
                f"to_umap: needs {self.k} neighbours of each row, but {len(short)} rows have fewer (the first is row "
                f"{short[0]}); give a smaller k, or leave invalid rows out: on_invalid='skip'"
            )
        if self.indices.max(initial=-1) >= n or (self.indices == rows[:, None]).any():
            raise UsageError(
                "to_umap: needs each row's nearest others; these are of another set, of a slice, or hold it"
            )
        indices = np.concatenate([rows[:, None], self.indices], axis=1)
        distances = np.concatenate([np.zeros((n, 1), np.float32), self.distances], axis=1)
        return indices, distances

    def save(self, folder: PathLike, overwrite: bool = False, origin: Mapping[str, Any] | None = None) -> None:
        """Write a folder with a JSON manifest and two plain `.npy` files; it appears whole or not at all.

        `origin` are further fields of the manifest, which say what the neighbours were computed from.

        Raises
        ------
        UsageError
            Where the folder exists and `overwrite` is false.
        """
        fields: dict[str, Any] = {"metric": self.metric, "n": len(self), "k": self.k, "dim": self.dim}
        fields |= {**recall_fields(self.recall), **(origin or {})}
        with atomic.whole_folder(folder, overwrite) as part:
            manifests.write(part, SAVED, fields, {"indices": self.indices, "distances": self.distances})

    @classmethod
    def load(cls, folder: PathLike) -> "Neighbors":
        """The result that `save` wrote; its checksums are verified before an array is parsed.

        Raises
        ------
        DataError
            Naming the file, where the folder holds no saved neighbours, is of a newer format, or is damaged.
        """
        manifest = manifests.read(folder, SAVED)
        shape = manifest.count("n"), manifest.count("k")
        metric, dim = manifest.nullable("metric", str), manifest.optional("dim", int)
        recall = Recall.from_json(manifest.record("recall", FORM)) if "recall" in manifest else None
        indices, distances = manifest.array("indices", "i", shape), manifest.array("distances", "f", shape)
        return cls(indices, distances, metric, dim, recall=recall)


@dataclass(frozen=True, eq=False)
class RadiusNeighbors:
    """All stored rows within a radius of each row, nearest first, ties by row number.

    `neighbors[i]` is row i's (indices, distances), that is `indices[indptr[i] : indptr[i + 1]]` and the same of
    `distances`; `neighbors[a:b]` is the result of those rows; iterating gives one row after the other.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n + 1,)
    indices : ndarray of int64, shape (n_found,)
    distances : ndarray of float32, shape (n_found,)
        In the metric's unit.
    metric : str or None
        The name of the metric, where it is known.

    Examples
    --------
    >>> found = RadiusNeighbors([0, 1, 3], [4, 2, 0], [0.5, 0.0, 1.0])
    >>> found[-1], len(found[1:])
    ((array([2, 0]), array([0., 1.], dtype=float32)), 1)
    """

    indptr: np.ndarray
    indices: np.ndarray
    distances: np.ndarray
    metric: str | None = None

    def __post_init__(self) -> None:
        guard.refuse_shrunk()
        arrays: dict[str, type] = {"indptr": np.int64, "indices": np.int64, "distances": np.float32}
        for name, dtype in arrays.items():
            array: np.ndarray
            with np.errstate(over="ignore"):  # a distance beyond float32 is inf
                array = np.ascontiguousarray(getattr(self, name), dtype=dtype).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[np.ndarray, np.ndarray]], metric: str | None = None) -> "RadiusNeighbors":
        """The result whose row i is rows[i], given as (indices, distances)."""
        indptr = np.append(0, np.cumsum([len(indices) for indices, _ in rows])).astype(np.int64)
        empty = np.zeros(0)
        indices = np.concatenate([empty.astype(np.int64), *(indices for indices, _ in rows)])
        return cls(indptr, indices, np.concatenate([empty, *(distances for _, distances in rows)]), metric)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @overload
    def __getitem__(self, row: int | np.integer) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def __getitem__(self, row: slice) -> "RadiusNeighbors": ...

    def __getitem__(self, row: int | np.integer | slice) -> "tuple[np.ndarray, np.ndarray] | RadiusNeighbors":
        """One row's (indices, distances), or the result of a slice of rows."""
        if isinstance(row, slice):
            return RadiusNeighbors.of_rows([self[one] for one in range(len(self))[row]], self.metric)
        row = range(len(self))[_row_number(row)]
        found = slice(self.indptr[row], self.indptr[row + 1])
        return self.indices[found], self.distances[found]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        return f"RadiusNeighbors(n={len(self)}, found={len(self.indices)}, metric={self.metric!r})"

    def to_csr(self, n_columns: int | None = None, own: bool = False, symmetric: bool = False) -> Any:
        """The distances as a sparse matrix; arguments, result and errors as for `Neighbors.to_csr`."""
        return csr(self.indptr, self.indices, self.distances, n_columns, own, symmetric)


def neighbors_of(
    indices: np.ndarray, distances: np.ndarray, metric: str, dim: int, recall: Recall | None = None
) -> Neighbors:
    """A `Neighbors` that owns both arrays, without a copy; the caller must not keep them."""
    guard.refuse_shrunk()
    with np.errstate(over="ignore"):  # a distance beyond float32 is inf
        distances = distances.astype(np.float32, copy=False)
    indices = np.ascontiguousarray(indices, dtype=np.int64)
    indices.setflags(write=False)
    distances.setflags(write=False)
    return Neighbors(indices, distances, metric, dim, recall=recall)


def _row_number(row: ArrayLike) -> int:
    """The number of one row, or TypeError."""
    if isinstance(row, bool) or not isinstance(row, int | np.integer):
        raise TypeError(f"expected the number of a row or a slice of rows, got {type(row).__name__}")
    return int(row)


def _take(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    return np.take_along_axis(array, order, axis=1)
