"""Keys and values on disk: contexts of a text as a model represents them, and the token that came next.

A store is a folder with keys.npy (float16 or float32), values.npy (int32) and a manifest that names the model and
vocabulary. It is written block by block and memory-mapped, so it can be larger than memory.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from vicinal import __version__
from vicinal.errors import DataError, UsageError
from vicinal.indexes.choose import index as make_index
from vicinal.knn.vectors import as_vectors
from vicinal.storage import atomic, manifests, npy
from vicinal.storage.manifests import FolderKind

STORE = FolderKind("vicinal.datastore", 1, "a datastore", "vicinal lm build", "build the store again")
MAX_WORDS = 2**31  # values are int32
KeyDtype = Literal["float16", "float32"]
DTYPES: tuple[str, ...] = get_args(KeyDtype)


def largest(dtype: DTypeLike, dim: int) -> float:
    """Return the largest value that a key may have: it fits the dtype, and squared distances are finite in float32.

    Examples
    --------
    >>> largest("float16", 768)
    65504.0
    """
    reach = float(np.sqrt(np.finfo(np.float32).max / (4 * dim)))
    return min(float(np.finfo(dtype).max), reach * (1 - 1e-6))


class Datastore:
    """Keys, the tokens that followed them, and an index over the keys.

    `Datastore.create` makes a store, `Datastore.open` opens one, and `search` finds neighbours.

    Attributes
    ----------
    folder : Path
    keys : ndarray of float16 or float32, shape (n, dim)
        Memory-mapped.
    values : ndarray of int32, shape (n,)
        Memory-mapped.
    about : dict
        The model and vocabulary, and whatever else `create` was given.
    """

    def __init__(
        self, folder: Path, keys: NDArray[Any], values: NDArray[np.int32], about: dict[str, Any], unfitted: Any
    ) -> None:
        self.folder, self.keys, self.values, self.about, self._unfitted = folder, keys, values, about, unfitted

    @cached_property
    def index(self) -> Any:
        """The index over the keys."""
        return self._unfitted.fit(self.keys)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dim(self) -> int:
        """The dimension of the keys."""
        return int(self.keys.shape[1])

    def __repr__(self) -> str:
        return f"Datastore({str(self.folder)!r}, n={len(self):,}, dim={self.dim}, {self.keys.dtype})"

    @staticmethod
    @contextmanager
    def create(
        folder: str | Path,
        dim: int,
        n_words: int,
        dtype: KeyDtype = "float16",
        about: dict[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Iterator["Writer"]:
        """Make a store: a context manager that gives a `Writer` to append keys and values to.

        The folder appears complete when the `with` block ends, or not at all.

        Parameters
        ----------
        folder : str or Path
        dim : int
            The dimension of the keys.
        n_words : int
            The size of the vocabulary; each value is below it.
        dtype : {"float16", "float32"}
            Of the keys.
        about : dict, optional
            The model and vocabulary, as `fingerprint` returns them, and anything else that JSON can hold.
        overwrite : bool
            Whether a store that exists is replaced.

        Raises
        ------
        UsageError
            Where the folder exists, or an argument is out of range.
        DataError
            Where nothing was appended.

        Examples
        --------
        >>> import tempfile
        >>> place = tempfile.mkdtemp() + "/store"
        >>> with Datastore.create(place, dim=2, n_words=10, dtype="float32") as store:
        ...     store.append([[0.0, 0.0], [3.0, 4.0]], [7, 9])
        >>> Datastore.open(place).search([[0.0, 0.0]], k=3)[0].tolist()
        [[0.0, 25.0]]
        >>> Datastore.open(place).search([[0.0, 0.0]], k=3)[1].tolist()
        [[7, 9]]
        """
        if dtype not in DTYPES:
            raise UsageError(f"dtype: expected float16 or float32, got {dtype!r}")
        if dim < 1 or not 1 <= n_words <= MAX_WORDS:
            raise UsageError(
                f"dim and n_words: expected whole numbers above 0, n_words at most {MAX_WORDS}, as values are int32, "
                f"got {dim!r} and {n_words!r}"
            )
        with atomic.whole_folder(folder, overwrite) as part:
            with open(part / "keys.npy", "wb") as keys, open(part / "values.npy", "wb") as values:
                writer = Writer(keys, values, dim, n_words, np.dtype(dtype))
                writer.write_headers()
                yield writer
                writer.write_headers()
            if not writer.n:
                raise DataError(f"{folder}: nothing was appended; a store needs at least one key")
            fields = {"vicinal": __version__, "n": writer.n, "dim": dim, "n_words": n_words, "about": about or {}}
            manifests.write(part, STORE, fields)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        about: dict[str, Any] | None = None,
        index: str | Any = "exact",
        threads: int | None = None,
        verify: bool = True,
        **parameters: Any,
    ) -> "Datastore":
        """Open a store, with an index fitted to its keys.

        Parameters
        ----------
        folder : str or Path
        about : dict, optional
            The model and vocabulary that the store must be of, such as `fingerprint(model, tokenizer)`.
        index : str or Index
            The name of an index that supports sqeuclidean, "auto", or an index that is not fitted yet.
        threads : int, optional
            By default the cores of the machine.
        verify : bool
            Whether the checksums are verified.
        **parameters
            Of the index.

        Raises
        ------
        DataError
            Where the store is of another model or vocabulary (the message names both), has a newer format, or is
            damaged.
        UsageError
            Where the index does not support sqeuclidean.
        """
        store = cls.open_unindexed(folder, about, verify)
        store._unfitted = make_index(index, "sqeuclidean", threads, **parameters) if isinstance(index, str) else index
        if store._unfitted.metric.name != "sqeuclidean":
            raise UsageError(f"index: found metric {store._unfitted.metric.name}, expected sqeuclidean")
        store.index  # noqa: B018 - fitted here, so that its errors come from `open`
        return store

    @classmethod
    def open_unindexed(
        cls, folder: str | Path, about: dict[str, Any] | None = None, verify: bool = True
    ) -> "Datastore":
        """Open a store as `open` does, with an exact index that is fitted at the first search."""
        folder = Path(folder)
        manifest = manifests.read(folder, STORE)
        n, dim, n_words = (manifest.count(name) for name in ("n", "dim", "n_words"))
        stored = manifest.field("about", dict)
        refuse_other(folder, stored, about)
        keys = manifest.array("keys", "f", (n, dim), verify)
        values = manifest.array("values", "i", (n,), verify)
        if not n or not dim or not 1 <= n_words <= MAX_WORDS:
            raise STORE.refusal(manifest.file, f": found {n} keys of dim {dim} and {n_words} words")
        if verify and (values.min() < 0 or values.max() >= n_words):
            raise DataError(f"{folder}: values.npy: damaged: a value is no word of {n_words}; {STORE.remedy}")
        return cls(folder, keys, values, stored, make_index("exact", "sqeuclidean"))

    def search(self, queries: ArrayLike, k: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return the k nearest keys of each query.

        Parameters
        ----------
        queries : array_like, shape (n_queries, dim)
            They are rounded to the dtype of the keys.
        k : int

        Returns
        -------
        distances : ndarray of float32, shape (n_queries, k), of fewer columns where fewer keys are stored
            Squared Euclidean, ascending; inf where an index finds fewer than k.
        values : ndarray of int32, of the same shape
            The token that followed each key; -1 where an index finds fewer than k.
        """
        rows = as_vectors(queries, "queries", at_least=0)
        limit = largest(self.keys.dtype, self.dim)
        with np.errstate(invalid="ignore"):
            rounded = np.clip(rows, -limit, limit).astype(self.keys.dtype)
        neighbors = self.index.search(rounded, k)
        values = np.where(neighbors.indices >= 0, self.values[np.maximum(neighbors.indices, 0)], -1)
        return neighbors.distances, values.astype(np.int32)


class Writer:
    """Appends blocks of keys and values to a store that `Datastore.create` makes.

    Attributes
    ----------
    n : int
        How many keys were appended.
    """

    def __init__(self, keys: IO[bytes], values: IO[bytes], dim: int, n_words: int, dtype: np.dtype[Any]) -> None:
        self._files, self._dim, self._n_words, self._dtype, self.n = (keys, values), dim, n_words, dtype, 0

    def append(self, keys: ArrayLike, values: ArrayLike) -> None:
        """Append a block.

        Parameters
        ----------
        keys : array_like, shape (m, dim)
        values : array_like of int, shape (m,)
            The token that followed each key.

        Raises
        ------
        DataError
            Where the shapes do not fit, a key is not finite or too large for the dtype of the store, or a value is not
            a whole number from 0 to n_words - 1.
        """
        block, tokens = as_vectors(keys, "keys", at_least=0), np.asarray(values)
        if block.shape[1] != self._dim or tokens.shape != (len(block),):
            raise DataError(f"found keys {block.shape} and values {tokens.shape}, expected (m, {self._dim}) and (m,)")
        if not len(block):
            return
        if tokens.dtype.kind not in "iu" or tokens.min() < 0 or tokens.max() >= self._n_words:
            raise DataError(
                f"values: expected whole numbers from 0 to {self._n_words - 1}, found {tokens.dtype} "
                f"{tokens.min()} to {tokens.max()}"
            )
        with np.errstate(invalid="ignore"):
            limit = largest(self._dtype, self._dim)
            wrong = np.flatnonzero(~(np.abs(block).max(axis=1) <= limit))
        if len(wrong):
            raise DataError(
                f"keys {self.n} to {self.n + len(block) - 1}: row {self.n + wrong[0]} is NaN, infinite or beyond "
                f"{limit:g}, the largest value in a {self._dtype.name} store of dim {self._dim}"
            )
        self._files[0].write(np.ascontiguousarray(block, dtype=self._dtype).tobytes())
        self._files[1].write(np.ascontiguousarray(tokens, dtype=np.int32).tobytes())
        self.n += len(block)

    def write_headers(self) -> None:
        """Write the headers of both files; numpy pads a header so that any number of rows fits in the same length."""
        for file, dtype, shape in zip(
            self._files, (self._dtype, np.dtype(np.int32)), ((self.n, self._dim), (self.n,)), strict=True
        ):
            file.seek(0)
            npy.write_header(file, dtype, shape)
            file.seek(0, 2)


def refuse_other(folder: Path, stored: dict[str, Any], given: dict[str, Any] | None) -> None:
    """Raise DataError where a store is of another model or vocabulary than the given one; the message names both."""
    given = given or {}
    differing = [
        f"{name}: the store has {_short(stored.get(name))}, this model has {_short(value)}"
        for name, value in given.items()
        if stored.get(name) != value
    ]
    if differing:
        raise DataError(
            f"{folder}: made from another model or vocabulary: {'; '.join(differing)}; build it again with this model"
        )


def _short(value: object) -> str:
    """The value as text, shortened."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."


def hash_of(parts: Iterator[bytes]) -> str:
    """Return the hexadecimal SHA-256 of the concatenated parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
