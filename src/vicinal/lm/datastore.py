"""Keys and values on disk: what a model saw, and which word came next.

A folder with keys.npy (float16 or float32), values.npy (int32) and a manifest that says of which model and vocabulary
they are. Blocks are appended while it is made, so that a store can be larger than memory; keys are memory-mapped.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from vicinal import __version__
from vicinal.errors import DataError, UsageError
from vicinal.indexes.choose import index as make_index
from vicinal.knn.vectors import as_vectors
from vicinal.storage import atomic, manifests
from vicinal.storage.manifests import FolderKind

STORE = FolderKind("vicinal.datastore", 1, "a datastore", "vicinal lm build", "build the store again")
MOST_WORDS = 2**31
DTYPES = ("float16", "float32")
BLOCK_BYTES = 1 << 24


def largest(dtype: str | np.dtype, dim: int) -> float:
    """The largest value that a key may have: it fits the dtype, and squared distances stay finite in float32.

    >>> largest("float16", 768)
    65504.0
    """
    reach = float(np.sqrt(np.finfo(np.float32).max / (4 * dim)))
    return min(float(np.finfo(dtype).max), reach * (1 - 1e-6))


class Datastore:
    """Keys, the words that followed them, and an index over the keys.

    keys   : (n, dim), memory-mapped; values: int32 (n,), memory-mapped
    about  : whose they are: model, vocabulary and what else was said when it was made
    Use `Datastore.create` to make one, `Datastore.open` for one that is there, `search` for neighbours.
    """

    def __init__(self, folder: Path, keys: np.ndarray, values: np.ndarray, about: dict[str, Any], index: Any) -> None:
        self.folder, self.keys, self.values, self.about, self.index = folder, keys, values, about, index

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dim(self) -> int:
        """The number of coordinates of a key."""
        return self.keys.shape[1]

    def __repr__(self) -> str:
        return f"Datastore({str(self.folder)!r}, n={len(self):,}, dim={self.dim}, {self.keys.dtype})"

    @staticmethod
    @contextmanager
    def create(
        folder: str | Path,
        dim: int,
        n_words: int,
        dtype: str = "float16",
        about: dict[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Iterator["Writer"]:
        """A store to append to; the folder appears whole when the block ends, or not at all.

        n_words : how many words there are; each value is below it
        about   : whose keys these are, as `fingerprint` says it, and anything else that JSON holds
        Raises    UsageError where the folder exists, or the dtype is neither float16 nor float32

        >>> import tempfile
        >>> place = tempfile.mkdtemp() + "/store"
        >>> with Datastore.create(place, dim=2, n_words=10, dtype="float32") as store:
        ...     store.append([[0.0, 0.0], [3.0, 4.0]], [7, 9])
        >>> Datastore.open(place).search([[0.0, 0.0]], k=3)[0].tolist()
        [[0.0, 25.0, inf]]
        >>> Datastore.open(place).search([[0.0, 0.0]], k=3)[1].tolist()
        [[7, 9, -1]]
        """
        if dtype not in DTYPES:
            raise UsageError(f"dtype: expected float16 or float32, got {dtype!r}")
        if dim < 1 or not 1 <= n_words <= MOST_WORDS:
            raise UsageError(
                f"dim and n_words: expected whole numbers above 0, n_words at most {MOST_WORDS}, as values are int32, "
                f"got {dim!r} and {n_words!r}"
            )
        with atomic.whole_folder(folder, overwrite) as part:
            with open(part / "keys.npy", "wb") as keys, open(part / "values.npy", "wb") as values:
                writer = Writer(keys, values, dim, n_words, np.dtype(dtype))
                writer._headers()
                yield writer
                writer._headers()
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
        """The store of a folder, with an index fitted to its keys.

        about      : what it must be of, e.g. `fingerprint(model, tokenizer)`; None for any
        index      : the name of any index of ours that serves sqeuclidean, "auto", or an index that is not fitted yet
        parameters : of the index
        verify     : whether the checksums are looked at
        Raises       DataError, naming both sides, where the store is of another model or vocabulary; and where the
                     folder is none of ours, of a newer format, or damaged
        """
        folder = Path(folder)
        manifest = manifests.read(folder, STORE)
        n, dim, _ = (manifest.count(name) for name in ("n", "dim", "n_words"))
        known = manifest.field("about", dict)
        refuse_other(folder, known, about)
        keys = manifest.array("keys", "f", (n, dim), verify)
        values = manifest.array("values", "i", (n,), verify)
        made = make_index(index, "sqeuclidean", threads, **parameters) if isinstance(index, str) else index
        if made.metric.name != "sqeuclidean":
            raise UsageError(f"index: found metric {made.metric.name}, expected sqeuclidean")
        return cls(folder, keys, values, known, made.fit(keys))

    def search(self, queries: object, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest keys of each query: squared distances float32 and values int32, each (n_queries, k).

        Queries are rounded as the keys were. Where an index finds fewer than k, the distance is inf and the value -1.
        """
        rows = as_vectors(queries, "queries", at_least=0)
        most = largest(self.keys.dtype, self.dim)
        with np.errstate(invalid="ignore"):
            rounded = np.clip(rows, -most, most).astype(self.keys.dtype)
        found = self.index.search(rounded, k)
        values = np.where(found.indices >= 0, self.values[np.maximum(found.indices, 0)], -1)
        return found.distances, values.astype(np.int32)


class Writer:
    """What `Datastore.create` gives: `append` blocks of keys and values."""

    def __init__(self, keys: IO[bytes], values: IO[bytes], dim: int, n_words: int, dtype: np.dtype) -> None:
        self._files, self._dim, self._n_words, self._dtype, self.n = (keys, values), dim, n_words, dtype, 0

    def append(self, keys: object, values: object) -> None:
        """Adds a block: keys (m, dim), and the word that followed each (m,).

        Raises    DataError, naming the rows, where the shapes do not fit, a key is not finite or too large for the
                  store's dtype, or a value is not a whole number from 0 to n_words - 1
        """
        block, words = as_vectors(keys, "keys", at_least=0), np.asarray(values)
        if block.shape[1] != self._dim or words.shape != (len(block),):
            raise DataError(f"found keys {block.shape} and values {words.shape}, expected (m, {self._dim}) and (m,)")
        if not len(block):
            return
        if words.dtype.kind not in "iu" or words.min() < 0 or words.max() >= self._n_words:
            raise DataError(
                f"values: expected whole numbers from 0 to {self._n_words - 1}, found {words.dtype} "
                f"{words.min()} to {words.max()}"
            )
        with np.errstate(invalid="ignore"):
            most = largest(self._dtype, self._dim)
            wrong = np.flatnonzero(~(np.abs(block).max(axis=1) <= most))
        if len(wrong):
            raise DataError(
                f"keys {self.n} to {self.n + len(block) - 1}: row {self.n + wrong[0]} is NaN, infinite or beyond "
                f"{most:g}, the largest of a {self._dtype.name} store of dim {self._dim}"
            )
        self._files[0].write(np.ascontiguousarray(block, dtype=self._dtype).tobytes())
        self._files[1].write(np.ascontiguousarray(words, dtype=np.int32).tobytes())
        self.n += len(block)

    def _headers(self) -> None:
        """Writes the headers; numpy leaves room in one for any number of rows."""
        for file, dtype, shape in zip(
            self._files, (self._dtype, np.dtype(np.int32)), ((self.n, self._dim), (self.n,)), strict=True
        ):
            file.seek(0)
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.seek(0, 2)


def refuse_other(folder: Path, found: dict[str, Any], asked: dict[str, Any] | None) -> None:
    """Raises DataError, naming both sides, where a store is of another model or vocabulary than the one asked."""
    differing = [name for name in asked or {} if found.get(name) != (asked or {})[name]]
    if differing:
        sides = "; ".join(
            f"{name}: the store has {_short(found.get(name))}, asked was {_short((asked or {})[name])}"
            for name in differing
        )
        raise DataError(f"{folder}: made from another model or vocabulary: {sides}; build it again with this one")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."


def hash_of(parts: Iterator[bytes]) -> str:
    """One SHA-256 over some bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
