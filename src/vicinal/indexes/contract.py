"""What every index offers: vectors in, `Neighbors` out, with filters, additions, removals, and a folder on disk.

    rows      of the vectors as they were added; a row keeps its number for ever, and is a gap once it is removed
    ids       the user's names of rows, which survive everything
    live      the rows that are neither removed nor invalid
    entries   what the engine holds: one for each distinct live row, so that copies cost a graph nothing

    fit -> prepare -> engine        search -> engine's candidates -> true distances -> copies put back -> Neighbors

An engine only proposes entries. Distances are measured from the vectors in float64, and ranked by (distance, row).
A filter that few rows match is answered by an exact scan of those rows; one that many match by the engine, and by the
scan again for each query to which the engine gave fewer rows than there are. So min(k, matches) rows come, always.
"""

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from vicinal.errors import DataError, UsageError, some, unknown
from vicinal.indexes.entries import Entries
from vicinal.indexes.parameters import Parameter
from vicinal.indexes.payload import Ids, as_table, joined
from vicinal.knn.arguments import as_radius, check_threads, k_that_fits, too_large
from vicinal.knn.blocks import nothing, padded
from vicinal.knn.copies import Copies
from vicinal.knn.exact import ExactSearch
from vicinal.knn.measure import measured
from vicinal.knn.metrics import Metric, find
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors
from vicinal.knn.vectors import ON_INVALID, invalid_rows, refuse_invalid
from vicinal.typing import ArrayLike

SCAN_AT_MOST = 10_000  # a filter that no more rows match than this, or a tenth of all, is answered by an exact scan


class Index(Entries):
    """What every index is. Use one of `INDEXES`; this class is their common part.

    A kind of index gives its name, metrics and parameters, and four steps: `_build`, `_extend`, `_propose`, and how its
    engine is written and read.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    serves: ClassVar[tuple[str, ...]]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    exact: ClassVar[bool] = False  # gives what a float64 brute force gives
    can_add: ClassVar[bool] = True  # without a new build
    filters: ClassVar[bool] = False  # `_propose` passes over the entries that are not allowed by itself
    reason: str = ""  # why it was chosen, where "auto" did
    recall: ClassVar[float] = 1.0  # at least so many of the true 10 nearest, on the embeddings of the tests

    def __init__(self, metric: str | Metric = "euclidean", threads: int | None = None, **parameters: Any) -> None:
        self.metric = find(metric)
        if self.metric.name not in self.serves:
            known = some(list(self.serves), 9)
            raise UsageError(f"{type(self).__name__}: found metric {self.metric.name!r}, expected one of {known}")
        self.threads = check_threads(threads)
        self._settings: dict[str, Any] = {}
        self._set(parameters)
        self._start()

    def _start(self) -> None:
        super()._start()
        self._scanned: tuple[bytes, ExactSearch] | None = None

    # What it is

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value!r}" for name, value in self._settings.items())
        return f"{type(self).__name__}({self.metric.name!r}{settings}, n={len(self)}, dim={self.dim})"

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters that it has."""
        return dict(self._settings)

    @property
    def engine(self) -> str:
        """What answers."""
        return type(self).__name__

    def set(self, **parameters: Any) -> Self:
        """Changes parameters of searching, such as ef_search or n_probe.

        Raises   UsageError where one is unknown, out of range, or belongs to the build
        """
        for name in parameters:
            known = [one.name for one in self.parameters if one.searching]
            if name not in known:
                fixed = any(one.name == name for one in self.parameters)
                what = "is decided when the index is built" if fixed else "is not a parameter"
                raise UsageError(
                    f"{name}: {what} of {type(self).__name__}; those of searching: {some(known) or 'none'}"
                )
        self._set(parameters)
        return self

    def _set(self, parameters: dict[str, Any]) -> None:
        for name, value in parameters.items():
            (one,) = [one for one in self.parameters if one.name == name]
            self._settings[name] = one.checked(value)

    # Vectors in

    def fit(
        self,
        vectors: object,
        on_invalid: str = "error",
        invalid: dict[int, str] | None = None,
        *,
        ids: object = None,
        payload: object = None,
    ) -> Self:
        """Stores the vectors (a reference, not a copy, where their type and byte order allow) and builds the engine.

        vectors    : (n, dim) of float16, float32, float64 or integers, n >= 1; in memory or memory-mapped, in any order
        on_invalid : what to do with rows that are NaN, infinite, or zero under cosine: "error", or "null" to leave them
                     out, so that they have no neighbours and are nobody's; `invalid` then holds the reason of each by
                     row number
        invalid    : what `vectors.invalid_rows` gives, where the caller has looked already
        ids        : a whole number or string a row, all different; without them a row's number is its id
        payload    : columns that filters and results name: a pyarrow.Table, a mapping name -> n values, or n mappings
        Raises       DataError where the shape or dtype is another, ids repeat or, with "error", rows are invalid.
        """
        if on_invalid not in ON_INVALID:
            raise UsageError(unknown("on_invalid", on_invalid, ON_INVALID))
        array = self._as_rows(vectors, "vectors")
        wrong = invalid_rows(array, self.metric) if invalid is None else invalid
        if on_invalid == "error":
            refuse_invalid(wrong, range(len(array)))
        names = Ids(len(array)) if ids is None else Ids(_as_list(ids, len(array)))
        table = None if payload is None else as_table(payload, len(array))
        self._start()
        self._store, self._n, self._ids, self.payload, self.invalid = array, len(array), names, table, wrong
        if wrong:
            self._dead = np.zeros(self._n, dtype=bool)
            self._dead[list(wrong)] = True
        self._make()
        return self

    def add(self, vectors: object, ids: object = None, payload: object = None) -> Self:
        """Adds rows behind those that there are.

        vectors, ids, payload : as for `fit`; ids are needed where the index has ids of its own
        Raises  as `fit`, and before anything is changed; UsageError where this kind of index cannot grow
        """
        stored = self._stored()
        if not self.can_add:
            raise UsageError(f"{type(self).__name__} cannot grow; build it anew with all rows, or use another index")
        array = self._as_rows(vectors, "vectors", at_least=0)
        if array.shape[1] != stored.shape[1]:
            raise DataError(f"vectors: found dim {array.shape[1]}, the stored vectors have dim {stored.shape[1]}")
        refuse_invalid(invalid_rows(array, self.metric), range(len(array)))
        table = None if payload is None else as_table(payload, len(array))
        columns = joined(self.payload, table, self._n, len(array))
        self._ids.extend(None if ids is None else _as_list(ids, len(array)), len(array), self._dead)
        if not len(array):
            return self
        self.payload = columns
        self._append(array)
        self._grow()
        return self

    def remove(self, ids: object) -> Self:
        """Removes rows by their ids; the other rows keep their numbers and ids.

        Raises   DataError naming the ids that no row has; nothing is removed then
        """
        self._stored()
        rows = self._ids.rows(ids, "remove", self._dead)
        if len(rows):
            self._dead = np.zeros(self._n, dtype=bool) if self._dead is None else self._dead.copy()
            self._dead[rows] = True
            self._shrink()
        return self

    # Questions

    def search(self, queries: ArrayLike, k: int, where: object = None) -> Neighbors:
        """The k nearest stored rows of each query.

        queries : (n_queries, dim)
        k       : 1 <= k; where fewer rows are there, the rest is index -1, distance inf
        where   : the rows that may be found: an expression over the payload's columns, a boolean a
                  row, or ids; min(k, matches) rows come
        Returns   Neighbors: row numbers and true distances in the metric's unit, by (distance, row)
        Raises    NotFitted; DataError where the dims differ, a query is NaN, infinite, or zero under cosine, or an id
                  is unknown; UsageError where k is not above 0 or `where` cannot be read
        """
        array = self._as_queries(queries)
        k = k_that_fits(k, len(array))
        allowed = self._allowed(where)
        try:
            return self._result(*self._answer(array, k, allowed))
        except MemoryError:
            raise too_large(len(array), k) from None

    def within(self, queries: object, radius: float, where: object = None) -> RadiusNeighbors:
        """All stored rows at a distance of at most `radius` of each query, as far as this index finds them.

        radius : in the metric's unit; an approximate index asks its engine for more and more until it is left behind
        Raises   as `search`; UsageError where the radius is not a number
        """
        array, radius = self._as_queries(queries), as_radius(radius)
        allowed = self._allowed(where)
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        left, k = np.arange(len(array)), 64
        while len(left):
            k = min(k, max(1, self._n))
            indices, distances = self._answer(array[left], k, allowed)
            inside = (indices >= 0) & (distances <= radius)
            done = ~inside[:, -1] | (k >= self._n)
            for place in np.flatnonzero(done):
                found[int(left[place])] = indices[place][inside[place]], distances[place][inside[place]]
            left, k = left[~done], k * 4
        parts = [found[row] for row in range(len(array))]
        indptr = np.append(0, np.cumsum([len(rows) for rows, _ in parts])).astype(np.int64)
        empty = np.zeros(0)
        return RadiusNeighbors(
            indptr,
            np.concatenate([empty.astype(np.int64), *(rows for rows, _ in parts)]),
            np.concatenate([empty, *(far for _, far in parts)]),
            self.metric.name,
        )

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Writes a folder that `load` reads; it appears whole or not at all.

        Raises   UsageError where it exists and `overwrite` is false; NotFitted
        """
        from vicinal.indexes.folder import save

        save(self, folder, overwrite)

    @classmethod
    def load(cls, folder: str | Path, threads: int | None = None) -> Self:
        """The index that `save` wrote, memory-mapped where the engine can; checksums are verified before any parsing.

        Raises   DataError, naming the file, where the folder is no index of this type, of a newer format, or damaged
        """
        from vicinal.indexes.folder import load_index

        return load_index(folder, threads, cls)  # type: ignore[return-value]

    # The step that only searching needs; the others are of `Entries`

    def _propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """At least k entries near each prepared query, int64 (n_queries, >= k); -1 for none.

        allowed : bool (n_entries,), which entries count; None for all. An engine without `filters` is never given it.
        """
        raise NotImplementedError

    @property
    def engine_bytes(self) -> int:
        """What the engine holds in memory or in its file, beside the vectors."""
        return 0

    # From a query to rows

    def _answer(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 and distances of each query, (n_queries, k)."""
        n_matching = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if not n_matching or not len(queries):
            return nothing(len(queries), k)
        if allowed is not None and (n_matching <= max(SCAN_AT_MOST, self._n // 10) or 4 * k >= n_matching):
            return self._scan(queries, k, np.flatnonzero(allowed))
        copies, among = self._groups(allowed)
        n_entries = len(copies.first)
        n_allowed = n_entries if among is None else int(np.count_nonzero(among))
        wanted = min(k, n_allowed)
        prepared = self._prepare(queries)
        if among is None or self.filters:
            proposed = self._propose(prepared, wanted, among)
        else:
            proposed = self._propose(prepared, min(n_entries, 2 * wanted * n_entries // n_allowed + 16), None)
            proposed = np.where((proposed >= 0) & among[proposed], proposed, -1)
        indices, distances = self._ranked(queries, proposed, wanted)
        if copies.any or len(copies.first) < self._n:
            indices, distances = self._expanded(copies, indices, distances, k)
        else:
            indices, distances = padded(indices, distances, k)
        if among is not None:
            short = np.flatnonzero((indices >= 0).sum(axis=1) < min(k, n_matching))
            if len(short):
                rows = np.flatnonzero(allowed if allowed is not None else ~self._gone())
                indices[short], distances[short] = self._scan(queries[short], k, rows)
        return indices, distances

    def _expanded(
        self, copies: Copies, indices: np.ndarray, distances: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows in the place of entries, their copies among them; most queries meet none."""
        if self._dead is not None or copies is not self._copies or indices.shape[1] < k:
            return copies.expand(indices, distances, k)
        several = np.diff(copies.starts) > 1
        rows = np.where(indices < 0, -1, copies.first[indices])
        met = np.flatnonzero((several[indices] & (indices >= 0)).any(axis=1))
        if len(met):
            rows[met], distances[met] = copies.expand(indices[met], distances[met], k)
        return rows, distances

    def _ranked(self, queries: np.ndarray, proposed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best of the proposed entries, by (true distance, entry); -1 and inf last."""
        distances = self._measure(queries, proposed)
        missing = proposed < 0
        if missing.any():
            proposed = np.where(missing, np.iinfo(np.int64).max, proposed)
            order = np.lexsort((proposed, distances))[:, :k]
            proposed = np.take_along_axis(proposed, order, axis=1)
            distances = np.take_along_axis(distances, order, axis=1)
            return np.where(np.isinf(distances) & (proposed == np.iinfo(np.int64).max), -1, proposed), distances
        if proposed.shape[1] > k:
            order = np.lexsort((proposed, distances))[:, :k]
            return np.take_along_axis(proposed, order, axis=1), np.take_along_axis(distances, order, axis=1)
        # Most engines give them in order already; where they do not, in float64 or by ties, the query is sorted.
        loose = np.flatnonzero(~(distances[:, 1:] > distances[:, :-1]).all(axis=1))
        if len(loose):
            order = np.lexsort((proposed[loose], distances[loose]))
            proposed = proposed.copy()
            proposed[loose] = np.take_along_axis(proposed[loose], order, axis=1)
            distances[loose] = np.take_along_axis(distances[loose], order, axis=1)
        return proposed, distances

    def _measure(self, queries: np.ndarray, proposed: np.ndarray) -> np.ndarray:
        """The true distances of proposed entries, float64; inf where there is none."""
        entries = self._entries()
        rows = proposed if len(entries) == self._n else np.where(proposed < 0, -1, entries[proposed])
        return self._measured(queries, rows)

    def _measured(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The true distances of rows, float64 (n_queries, m); inf where the row is -1."""
        return measured(self.metric, self._stored(), queries, rows, self.threads, self._norms())

    def _scan(self, queries: np.ndarray, k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of these rows, exactly."""
        indices, distances = self._search_among(rows).kernel.search(queries, k)
        return np.where(indices < 0, -1, rows[indices]), distances

    def _search_among(self, rows: np.ndarray) -> ExactSearch:
        """The exact search over these rows; the last one is kept, because the next call often has the same filter."""
        key = hashlib.blake2b(rows.tobytes(), digest_size=16).digest()
        if self._scanned is None or self._scanned[0] != key:
            self._scanned = key, ExactSearch(self._stored(), self.metric, self.threads, rows)
        return self._scanned[1]

    def _result(self, indices: np.ndarray, distances: np.ndarray) -> Neighbors:
        with np.errstate(over="ignore"):
            distances = distances.astype(np.float32)
        indices = np.ascontiguousarray(indices, dtype=np.int64)
        indices.setflags(write=False)  # nobody else holds them, so that `Neighbors` need not copy
        distances.setflags(write=False)
        return Neighbors(indices, distances, self.metric.name, self.dim)


def _as_list(ids: object, n: int) -> list:
    given = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)  # type: ignore[call-overload]
    if len(given) != n:
        raise DataError(f"ids: expected {n}, one a row, found {len(given)}")
    return given
