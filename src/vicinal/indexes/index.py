"""The contract of an index: vectors in, `Neighbors` out, with ids, filters, additions, removals, and a folder on disk.

    rows      vectors, ids and columns; a row keeps its number for ever, and is a gap once it is removed (`rows.py`)
    backend   computes answers: by the exact kernel (`exact.py`), or from an engine's proposals (`proposals.py`) with
    entries   one for each distinct live row, so that copies cost a graph nothing (`entries.py`), and an
    engine    a structure of some library (`engine.py`, `engines/`)

`state` gives everything that a saved index is made of; `from_state` makes an index from it.

Threads may share an index: one readers-writer lock lets searches run side by side, and changes alone. A change that
fails or is interrupted leaves the index as it was.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from vicinal.errors import DataError, UsageError, some, unknown
from vicinal.indexes import folder as folders
from vicinal.indexes.described import Described
from vicinal.indexes.parameters import Parameter, check_searching
from vicinal.indexes.proposals import Backend, within
from vicinal.indexes.rows import Rows
from vicinal.indexes.state import IndexState
from vicinal.knn.arguments import as_radius, check_threads, k_that_fits, too_large
from vicinal.knn.metrics import BY_NAME, find
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors, neighbors_of
from vicinal.knn.vectors import ON_INVALID
from vicinal.locks import Mutex, ReadWriteLock
from vicinal.storage import manifests
from vicinal.typing import ArrayLike, MetricLike, PathLike


class Index(Described, ABC):
    """The common part of every index; choose one of its kinds, or let `vicinal.index` choose.

    A subclass gives its name, metrics and parameters as class attributes, and the backend that computes its answers.
    """

    kinds: ClassVar[tuple[type["Index"], ...]] = ()  # every kind of index, as in `vicinal.indexes.INDEXES`
    name: ClassVar[str]  # in `vicinal.index` and on the command line
    about: ClassVar[str]  # one line for a list of kinds
    metrics: ClassVar[tuple[str, ...]]  # the names of the metrics that it supports
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    exact: ClassVar[bool] = False  # whether it returns what a float64 brute force returns
    can_add: ClassVar[bool] = True  # whether rows can be added without building it anew
    filters: ClassVar[bool] = False  # whether its engine itself passes over rows that a filter leaves out
    recall: ClassVar[float] = 1.0  # the least share of the true 10 nearest that it finds, on the tests' embeddings
    reason: str = ""  # why it was chosen, where "auto" chose it

    def __new__(cls, *arguments: Any, **others: Any) -> Self:
        """An empty index; TypeError for `Index` itself, which is abstract."""
        if cls is Index:
            names = ", ".join(kind.__name__ for kind in Index.kinds)
            raise TypeError(f"Index is an abstract class; make one of {names}, or vicinal.index(), which chooses one")
        return super().__new__(cls)

    def __init__(self, metric: MetricLike = "euclidean", threads: int | None = None, **parameters: Any) -> None:
        self.metric = find(metric)
        if self.metric.name not in self.metrics:
            known = some(list(self.metrics), 9)
            others = [one.name for one in self.kinds if self.metric.name in one.metrics]
            said = f"{type(self).__name__}: found metric {self.metric.name!r}, expected one of {known}"
            raise UsageError(f"{said}; indexes of {self.metric.name}: {some(others, 9)}" if others else said)
        self.threads = check_threads(threads)
        self._settings: dict[str, Any] = {}
        self._set(parameters)
        self._lock = ReadWriteLock("this index")
        self._saving = Mutex()
        self._saved: dict[str, str | None] = {}  # folders that it was loaded from or saved to, and their identity
        self._rows = Rows(self.metric)
        self._backend = self._make_backend()

    @abstractmethod
    def _make_backend(self) -> Backend:
        """Make the backend over `self._rows`, from the metric, the settings and the threads."""

    def set(self, **parameters: Any) -> Self:
        """Change parameters of searching, such as ef_search or n_probe.

        Raises
        ------
        UsageError
            Where one is unknown, out of range, or decided when the index is built.
        """
        check_searching(type(self).__name__, self.parameters, parameters)
        with self._lock.changing:
            self._set(parameters)
        return self

    def _set(self, parameters: dict[str, Any]) -> None:
        for name, value in parameters.items():
            (one,) = [one for one in self.parameters if one.name == name]
            self._settings[name] = one.checked(value)

    # Vectors in

    def fit(
        self,
        vectors: ArrayLike,
        on_invalid: str = "error",
        invalid: dict[int, str] | None = None,
        *,
        ids: object = None,
        payload: object = None,
    ) -> Self:
        """Store the vectors and build the engine; what was stored before is dropped.

        Parameters
        ----------
        vectors : array_like, shape (n, dim)
            float16, float32, float64 or integers, n >= 1; in memory or memory-mapped, in any layout. A reference is
            kept, not a copy, where dtype and byte order allow.
        on_invalid : {"error", "null"}
            What to do with rows that are NaN, infinite, or zero under cosine: "null" leaves them out, so that they have
            no neighbours and are no row's neighbours; `invalid` then holds the reason of each by row number.
        invalid : dict of int to str or None
            The result of `vicinal.knn.vectors.invalid_rows`, where it is known already.
        ids : sequence of int or str
            A name a row, all different; without them a row's number is its id.
        payload : pyarrow.Table, mapping or sequence of mappings
            Columns that filters and results name: a table, a mapping of names to n values, or n mappings.

        Raises
        ------
        DataError
            Where shape or dtype cannot be used, ids repeat or, with "error", rows are invalid. Nothing changes then.
        """
        if on_invalid not in ON_INVALID:
            raise UsageError(unknown("on_invalid", on_invalid, ON_INVALID))
        with self._change():
            self._rows.fit(vectors, on_invalid, invalid, ids, payload)
            self._backend.build()
        return self

    def add(self, vectors: ArrayLike, ids: object = None, payload: object = None) -> Self:
        """Add rows after the stored ones.

        Parameters
        ----------
        vectors, ids, payload
            As for `fit`; ids are needed where the index has ids of its own.

        Raises
        ------
        DataError
            As `fit`. Nothing changes then.
        UsageError
            Where this kind of index cannot grow.
        """
        with self._change():
            _ = self._rows.vectors
            if not self.can_add:
                remedy = "build it anew with all rows, or use another index"
                raise UsageError(f"{type(self).__name__} cannot grow; {remedy}")
            if not self.settings.get("keep_vectors", True):
                raise UsageError(f"{type(self).__name__} without its vectors cannot grow; build it anew with all rows")
            if self._rows.append(vectors, ids, payload):
                self._backend.extend()
        return self

    def remove(self, ids: object) -> Self:
        """Remove rows by their ids; the other rows keep their numbers and ids.

        Raises
        ------
        DataError
            Naming the ids that no row has; nothing is removed then.
        """
        with self._change():
            if self._rows.remove(ids):
                self._backend.shrink()
        return self

    # Questions

    def rows(self, where: object = None) -> np.ndarray:
        """The live rows that match a filter, int64, ascending; `where` as for `search`."""
        with self._lock.reading:
            return self._rows.matching(where)

    def rows_of(self, ids: object, what: str = "id") -> np.ndarray:
        """The live rows of these ids, int64, in their order; DataError, which names `what`, where an id has none."""
        with self._lock.reading:
            return self._rows.rows_of(ids, what)

    def row_of(self, name: object) -> int | None:
        """The live row of an id, or None."""
        with self._lock.reading:
            row = self._rows.ids.find(name)
            return row if row is not None and self._rows.is_live(row) else None

    def search(self, queries: ArrayLike, k: int, where: object = None) -> Neighbors:
        """Return the k nearest stored rows of each query.

        Parameters
        ----------
        queries : array_like, shape (n_queries, dim)
        k : int
            At least 1.
        where : str, array_like of bool, or ids
            Search only these rows: an expression over the columns, a boolean a row, or ids.

        Returns
        -------
        Neighbors
            Row numbers and true distances in the metric's unit, by (distance, row). It has k columns, or one for
            each row that is searched where these are fewer; `Neighbors.padded` fills up to k.

        Raises
        ------
        NotFitted
        DataError
            Where the dims differ, a query is NaN, infinite, or zero under cosine, or an id is unknown.
        UsageError
            Where k is not above 0, or `where` cannot be read.
        """
        with self._lock.reading:
            array = self._rows.queries(queries)
            allowed = self._rows.allowed(where)
            k = k_that_fits(k, self._rows.n_live if allowed is None else int(np.count_nonzero(allowed)))
            try:
                found = self._backend.nearest(array, k, allowed)
                return neighbors_of(*found, self.metric.name, self._rows.dim)
            except MemoryError:
                raise too_large(len(array), k) from None

    def within(
        self, queries: ArrayLike | None = None, radius: float | None = None, where: object = None
    ) -> RadiusNeighbors:
        """Return all stored rows at a distance of at most `radius` of each query, as far as this index finds them.

        Parameters
        ----------
        queries : array_like, shape (n_queries, dim)
        radius : float
            In the metric's unit. An approximate index fetches more rows from its engine until one lies beyond it.
        where
            As for `search`.

        Returns
        -------
        RadiusNeighbors

        Raises
        ------
        NotFitted, DataError
            As `search`.
        UsageError
            Where queries or radius are missing, or the radius is not a number.
        """
        if queries is None or radius is None:
            raise UsageError(
                f"within: expected queries and a radius, got one of them: {type(self).__name__} needs "
                "within(queries, radius); only Exact compares the stored rows with each other, by within(radius)"
            )
        with self._lock.reading:
            array, limit = self._rows.queries(queries), as_radius(radius)
            allowed = self._rows.allowed(where)
            return within(self._backend, array, limit, allowed, self._rows.n, self.metric.name)

    # On disk

    def state(self) -> IndexState:
        """Everything that a saved index is made of; NotFitted where nothing was stored yet.

        Its engine is written from the index itself: write the state before the index changes, or call `save`.
        """
        with self._lock.reading:
            return self._state()

    def _state(self) -> IndexState:
        rows, stored = self._rows, self._rows.vectors
        return IndexState(
            type=self.name,
            metric=self.metric.name,
            settings=self.settings,
            n=rows.n,
            dim=rows.dim,
            dtype=str(stored.dtype),
            vectors=stored if isinstance(stored, np.ndarray) else None,
            removed=rows.removed,
            invalid=rows.invalid,
            ids=rows.ids.of(np.arange(rows.n)) if rows.ids.given else None,
            payload=rows.payload,
            embedding=rows.embedding,
            engine=self._backend.state(),
        )

    @classmethod
    def from_state(cls, state: IndexState, threads: int | None = None) -> Self:
        """The index that a state was made of; of `Index` itself, of any kind.

        Raises
        ------
        DataError
            Where the state is another kind's, or does not fit together.
        """
        kinds = {kind.name: kind for kind in Index.kinds}
        if state.type not in kinds:
            raise DataError(unknown("type", state.type, kinds))
        kind: Any = kinds[state.type]
        if not issubclass(kind, cls):
            raise DataError(f"found an index of type {state.type}, expected {cls.name}; use {kind.__name__}.load")
        index: Self = kind(metric=state.metric, threads=threads, **state.settings)
        index._rows.restore(state)
        index._backend.restore(state)
        return index

    def save(self, folder: PathLike, overwrite: bool = False) -> None:
        """Write a folder that `load` reads; it appears whole or not at all.

        Raises
        ------
        UsageError
            Where it exists and `overwrite` is false, or is the folder that this index was loaded from or saved to, and
            was changed since by another process or object, whose rows would be lost; or the metric has a matrix, as
            mahalanobis has.
        NotFitted
        """
        # An engine whose file takes its place in memory changes when it is saved.
        with self._lock.changing if self._backend.changed_by_saving else self._lock.reading:
            state = self._state()
            if state.metric not in BY_NAME:
                remedy = "whiten the vectors and save an index of euclidean"
                raise UsageError(f"an index of metric {state.metric} cannot be saved; {remedy}")
            with self._saving:
                place = str(Path(folder).resolve())
                identity = folders.write(state, folder, overwrite, self._saved.get(place))
                self._saved = {**self._saved, place: identity}

    @classmethod
    def load(cls, folder: PathLike, threads: int | None = None) -> Self:
        """The index that `save` wrote, memory-mapped where the engine can; of `Index` itself, of any kind.

        Raises
        ------
        DataError
            Naming the file, where the folder is no index of this type, of a newer format, or damaged. Checksums are
            verified before anything is parsed.
        """
        identity, state = manifests.identity(folder), folders.read(folder)
        with folders.naming(folder):
            index = cls.from_state(state, threads)
        index._saved = {str(Path(folder).resolve()): identity}
        return index
