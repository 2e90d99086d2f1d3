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
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from vicinal.copies import Copies, find_copies
from vicinal.errors import DataError, NotFitted, UsageError, some, unknown
from vicinal.graph import Neighbors, RadiusNeighbors, check_k
from vicinal.kernels import Kernel, pick
from vicinal.kernels.native import pairs
from vicinal.metrics import Metric, find, lane_sum
from vicinal.payload import Ids, as_table, joined
from vicinal.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid
from vicinal.where import matches

ON_INVALID = ("error", "null")
SCAN_AT_MOST = 10_000  # a filter that no more rows match than this, or a tenth of all, is answered by an exact scan
BLOCK_BYTES = 1 << 26
MEASURE_BYTES = 1 << 21
REBUILD_BELOW = 0.5  # an engine is built anew once fewer of its entries than this are live
COMMON = 1e9  # values that are all larger than this, or smaller than 1 / COMMON, are scaled for engines of float32
MOST = 1e15  # what such an engine is given at most, so that no sum of squares overflows


@dataclass(frozen=True)
class Parameter:
    """One parameter of an index.

    default   : what it is where it is not given; None where it depends on the data, which `about` says
    low, high : the range that is accepted
    searching : whether it may be changed after the fit, for it only steers searching
    """

    name: str
    default: Any
    about: str
    low: int = 1
    high: int = (1 << 31) - 1
    choices: tuple[str, ...] = ()
    searching: bool = False


class Index:
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
    centres: ClassVar[bool] = True  # its entries may be moved to the mean, for the digits of float32
    reason: str = ""  # why it was chosen, where "auto" did
    recall: ClassVar[float] = 1.0  # at least so many of the true 10 nearest, on the embeddings of the tests

    def __init__(self, metric: str | Metric = "euclidean", threads: int | None = None, **parameters: Any) -> None:
        self.metric = find(metric)
        if self.metric.name not in self.serves:
            known = some(list(self.serves), 9)
            raise UsageError(f"{type(self).__name__}: found metric {self.metric.name!r}, expected one of {known}")
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise UsageError(f"threads: expected a whole number above 0 or None, got {threads!r}")
        self.threads = threads or cores()
        self._settings: dict[str, Any] = {}
        self._set(parameters)
        self._start()

    def _start(self) -> None:
        self._store: Any = None  # vectors, with room for more behind them
        self._n = 0
        self._dead: np.ndarray | None = None
        self._ids = Ids(0)
        self.payload: Any = None  # columns of the rows as a pyarrow.Table, or None
        self.embedding: dict[str, Any] | None = None  # the model that made the vectors, where it is known
        self.invalid: dict[int, str] = {}
        self._entry_rows: np.ndarray | None = None  # the rows that the engine was made of; None for all of the first
        self._covered = 0  # how many rows the engine knows of
        self._copies: Copies | None = None
        self._live: tuple[Copies, np.ndarray | None] | None = None  # the copies that are live, and the entries with any
        self._inverse_norms: np.ndarray | None = None
        self._centre: np.ndarray | None = None
        self._scale = 1.0  # entries are multiplied by this, a power of two
        self._scanned: tuple[bytes, np.ndarray, Kernel] | None = None

    # What it holds

    def __len__(self) -> int:
        return self._n if self._dead is None else int(self._n - np.count_nonzero(self._dead))

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value!r}" for name, value in self._settings.items())
        return f"{type(self).__name__}({self.metric.name!r}{settings}, n={len(self)}, dim={self.dim})"

    @property
    def dim(self) -> int:
        """The number of coordinates; 0 before the fit."""
        return 0 if self._store is None else self._store.shape[1]

    @property
    def n_rows(self) -> int:
        """How many rows were ever added, so that every row number is below it."""
        return self._n

    @property
    def vectors(self) -> np.ndarray:
        """The vectors of all rows, as they were given, those of removed rows among them."""
        return self._stored()

    @property
    def ids(self) -> Ids:
        """The id of each row: `index.ids[row]`, `index.ids.of(found.indices)`, `index.ids.rows(["a", "b"])`."""
        return self._ids

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters that it has."""
        return dict(self._settings)

    @property
    def engine(self) -> str:
        """What answers."""
        return type(self).__name__

    def rows(self, where: object = None) -> np.ndarray:
        """The rows that are live and that a filter leaves, int64; `where` as for `search`."""
        self._stored()
        allowed = self._allowed(where)
        return np.flatnonzero(~self._gone() if allowed is None else allowed)

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
            if one.choices:
                if value not in one.choices:
                    raise UsageError(unknown(name, value, one.choices))
            elif isinstance(one.default, bool):
                if not isinstance(value, bool):
                    raise UsageError(f"{name}: expected true or false, got {value!r}")
            elif value is None and one.default is None:
                pass
            elif isinstance(value, bool) or not isinstance(value, int | np.integer) or not one.low <= value <= one.high:
                raise UsageError(f"{name}: expected a whole number from {one.low} to {one.high}, got {value!r}")
            self._settings[name] = int(value) if isinstance(value, np.integer) else value

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

    def search(self, queries: object, k: int, where: object = None) -> Neighbors:
        """The k nearest stored rows of each query.

        queries : (n_queries, dim)
        k       : 1 <= k; where fewer rows are there, the rest is index -1, distance inf
        where   : the rows that may be found: an expression over the payload's columns (`vicinal.where`), a boolean a
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

    # The steps that a kind of index gives

    def _build(self, n: int) -> None:
        """Makes the engine of the first n entries, which `_prepared` gives."""
        raise NotImplementedError

    def _extend(self, first: int, n: int) -> None:
        """Adds the entries from `first` on to the engine."""
        self._build(n)

    def _propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """At least k entries near each prepared query, int64 (n_queries, >= k); -1 for none.

        allowed : bool (n_entries,), which entries count; None for all. An engine without `filters` is never given it.
        """
        raise NotImplementedError

    def _write(self, folder: Path) -> None:
        """Writes the engine's files; nothing where it is built again on load."""

    def _read(self, files: dict[str, Path], n: int) -> None:
        """Makes the engine of the files that `_write` wrote, whose checksums are right, for n entries."""
        self._build(n)

    @property
    def engine_bytes(self) -> int:
        """What the engine holds in memory or in its file, beside the vectors."""
        return 0

    def _restore(self, copies: Copies, files: dict[str, Path], manifest: dict[str, Any]) -> None:
        """Makes the engine of a folder's files; vectors, removed rows and copies are there already."""
        self._copies, self._entry_rows, self._covered = copies, copies.first, self._n
        if len(copies.first) and len(self):
            self._read(files, len(copies.first))

    # From rows to entries

    def _make(self) -> None:
        """Builds the engine of the live rows, without their copies."""
        stored = self._stored()
        live = None if self._dead is None else np.flatnonzero(~self._dead)
        self._copies = self._find_copies(stored if live is None else stored[live], live)
        self._entry_rows, self._covered = self._copies.first, self._n
        moved = self.centres and self.metric.kernel == "dot" and not self.metric.product and not self.metric.nonzero
        self._centre = self._mean() if moved else None
        self._scale = self._fitting_scale()
        self._inverse_norms, self._live = None, None
        if len(self._entry_rows):
            self._build(len(self._entry_rows))

    def _find_copies(self, rows: np.ndarray, numbers: np.ndarray | None) -> Copies:
        if not len(rows):
            empty = np.zeros(0, dtype=np.int64)
            return Copies(empty, empty, empty, np.zeros(1, dtype=np.int64))
        copies = find_copies(rows)
        if numbers is None:
            return copies
        return Copies(numbers[copies.first], copies.group, numbers[copies.members], copies.starts)

    def _grow(self) -> None:
        """The engine learns of rows that were appended: those that are no copies of rows it has."""
        entries = self._entries()
        if not len(entries):
            self._make()
            return
        new = np.arange(self._covered, self._n)
        rows = np.concatenate([entries, new])
        together = find_copies(self._stored()[rows])
        # The old entries are distinct and come first, so that they keep their places.
        first = rows[together.first]
        old = self._copies
        assert old is not None
        group_of_new = together.group[len(entries) :]
        group = np.concatenate([np.repeat(np.arange(len(entries)), np.diff(old.starts)), group_of_new])
        members = np.concatenate([old.members, new])
        order = np.lexsort((members, group))
        starts = np.append(0, np.cumsum(np.bincount(group, minlength=len(first)))).astype(np.int64)
        self._copies = Copies(first, group[order], members[order], starts)
        self._entry_rows, self._covered = first, self._n
        self._inverse_norms, self._live = None, None
        if len(first) > len(entries):
            self._extend(len(entries), len(first))

    def _shrink(self) -> None:
        """The engine learns that rows are gone: they are passed over, and it is built anew once most of it is gone."""
        copies = self._copies
        assert copies is not None and self._dead is not None
        self._live = None
        if not len(copies.first):
            return
        live = np.add.reduceat(~self._dead[copies.members], copies.starts[:-1]) > 0
        if live.mean() < REBUILD_BELOW:
            self._make()

    def _mean(self) -> np.ndarray:
        total = np.zeros(self.dim)
        for block in self._blocks(len(self._entries())):
            total += self._stored()[self._entries()[block]].sum(axis=0, dtype=np.float64)
        return total / max(1, len(self._entries()))

    def _fitting_scale(self) -> float:
        """What brings the entries near 1, where their squares or the products of these would leave float32; else 1."""
        if self.metric.kernel == "bits" or self.metric.nonzero:
            return 1.0
        largest, centre = 0.0, 0.0 if self._centre is None else self._centre
        for block in self._blocks(len(self._entries())):
            largest = max(largest, float(np.abs(self._stored()[self._entries()[block]] - centre).max()))
        return 1.0 if largest == 0 or 1 / COMMON <= largest <= COMMON else float(2.0 ** -round(np.log2(largest)))

    def _entries(self) -> np.ndarray:
        assert self._entry_rows is not None
        return self._entry_rows

    def _blocks(self, n: int, first: int = 0) -> Iterator[slice]:
        step = max(1, BLOCK_BYTES // (self.dim * 8))
        for start in range(first, n, step):
            yield slice(start, min(n, start + step))

    def _prepared(self, entries: slice | np.ndarray) -> np.ndarray:
        """Entries as the engine takes them."""
        return self._prepare(self._stored()[self._entries()[entries]])

    def _prepare(self, vectors: np.ndarray) -> np.ndarray:
        """Rows as the engine takes them: packed bits as they are, else float32, of length 1, or moved and scaled."""
        if self.metric.kernel == "bits":
            return np.ascontiguousarray(vectors)
        if self.metric.nonzero:
            rows = vectors.astype(np.float64)
            rows *= (1.0 / np.sqrt(np.einsum("ij,ij->i", rows, rows)))[:, None]
            return rows.astype(np.float32)
        if self._centre is None and self._scale == 1:
            rows = np.ascontiguousarray(vectors, dtype=np.float32)
        else:
            moved = np.subtract(vectors, 0.0 if self._centre is None else self._centre, dtype=np.float64)
            rows = (moved if self._scale == 1 else moved * self._scale).astype(np.float32)
        most = MOST**2 if self.metric.product else MOST
        return rows if max(rows.max(initial=0), -rows.min(initial=0)) <= most else np.clip(rows, -most, most)

    # From a query to rows

    def _answer(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 and distances of each query, (n_queries, k)."""
        shape = (len(queries), k)
        n_matching = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if not n_matching or not len(queries):
            return np.full(shape, -1), np.full(shape, np.inf)
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
        elif wanted < k:
            pad = ((0, 0), (0, k - wanted))
            indices = np.pad(indices, pad, constant_values=-1)
            distances = np.pad(distances, pad, constant_values=np.inf)
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

    def _groups(self, allowed: np.ndarray | None) -> tuple[Copies, np.ndarray | None]:
        """The copies among the rows that count, and which entries have any; None where all have."""
        copies = self._copies
        assert copies is not None
        if allowed is not None:
            return _restricted(copies, allowed)
        if self._live is None:
            self._live = (copies, None) if self._dead is None else _restricted(copies, ~self._dead)
        return self._live

    def _gone(self) -> np.ndarray:
        return np.zeros(self._n, dtype=bool) if self._dead is None else self._dead

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
        stored, ranks = self._stored(), None
        if isinstance(stored, np.ndarray):
            ranks = pairs(stored, queries, rows, self.metric, self.threads, self._norms())
        if ranks is None:
            ranks = measure_in_numpy(self.metric, queries, lambda wanted: stored[wanted], rows, self.threads)
        return self.metric.finish(ranks)

    def _norms(self) -> np.ndarray | None:
        """1 / length of every row, where the metric is of directions; 0 for rows that are not live."""
        if not self.metric.nonzero:
            return None
        if self._inverse_norms is None or len(self._inverse_norms) < self._n:
            stored, norms = self._stored(), np.zeros(self._n)
            old = 0 if self._inverse_norms is None else len(self._inverse_norms)
            norms[:old] = self._inverse_norms if old else 0
            for block in self._blocks(self._n, old):
                rows = np.asarray(stored[block], dtype=np.float64)
                with np.errstate(divide="ignore", invalid="ignore"):
                    norms[block] = 1.0 / np.sqrt(lane_sum(rows * rows))
            self._inverse_norms = norms
        return self._inverse_norms

    def _scan(self, queries: np.ndarray, k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of these rows, exactly."""
        indices, distances = self._kernel_of(rows).search(queries, k)
        return np.where(indices < 0, -1, rows[indices]), distances

    def _kernel_of(self, rows: np.ndarray) -> Kernel:
        """The exact kernel over these rows; the last one is kept, for the next call often has the same filter."""
        key = hashlib.blake2b(rows.tobytes(), digest_size=16).digest()
        if self._scanned is None or self._scanned[0] != key:
            vectors = self._stored()[rows]
            self._scanned = key, vectors, pick(self.metric, vectors.dtype)(vectors, self.metric, self.threads)
        return self._scanned[2]

    def _allowed(self, where: object) -> np.ndarray | None:
        """Which rows a filter leaves, bool (n,); None where there is no filter."""
        if where is None:
            return None
        mask = matches(where, self._columns()) if isinstance(where, str) else self._mask(where)
        return mask if self._dead is None else mask & ~self._dead

    def _columns(self) -> dict[str, Any]:
        """What an expression may name: the payload's columns, and `id`."""
        import pyarrow

        table = {} if self.payload is None else {name: self.payload[name] for name in self.payload.column_names}
        if "id" not in table:
            names = self._ids.of(np.arange(self._n)) if self._ids.given else np.arange(self._n)
            try:
                table["id"] = pyarrow.array(names)
            except (pyarrow.ArrowException, OverflowError):  # both numbers and strings, or numbers beyond 64 bits
                table["id"] = pyarrow.array([str(name) for name in names])
        return table

    def _mask(self, where: object) -> np.ndarray:
        names = where if isinstance(where, np.ndarray) else list(where) if isinstance(where, Iterable) else [where]
        given = names if isinstance(names, np.ndarray) else np.zeros(0)
        if isinstance(names, list) and names and all(isinstance(one, bool | np.bool_) for one in names):
            given = np.asarray(names)
        if given.dtype == bool:
            if given.shape != (self._n,):
                raise DataError(f"where: expected {self._n} true or false, one a row, found shape {given.shape}")
            return given
        mask = np.zeros(self._n, dtype=bool)
        mask[self._ids.rows(np.ravel(names) if isinstance(names, np.ndarray) else names, "where", self._dead)] = True
        return mask

    # Arrays of the right kind

    def _as_rows(self, vectors: object, name: str, at_least: int = 1) -> np.ndarray:
        array = as_vectors(vectors, name, at_least)
        refuse_dtype(array, self.metric, name)
        return array if self.metric.whiten is None else self.metric.whiten(array.astype(np.float64))

    def _as_queries(self, queries: object) -> np.ndarray:
        stored = self._stored()
        array = self._as_rows(queries, "queries", at_least=0)
        if array.shape[1] != stored.shape[1]:
            raise DataError(f"queries: found dim {array.shape[1]}, the stored vectors have dim {stored.shape[1]}")
        refuse_invalid(invalid_rows(array, self.metric), range(len(array)), "queries", remedy="")
        return array

    def _stored(self) -> np.ndarray:
        if self._store is None:
            raise NotFitted("this index holds no vectors yet; call fit(vectors) first")
        return self._store if len(self._store) == self._n else self._store[: self._n]

    def _append(self, array: np.ndarray) -> None:
        """Puts rows behind the others, in room that grows by half, so that many small additions stay cheap."""
        stored, n = self._stored(), self._n + len(array)
        kind = np.result_type(stored.dtype, array.dtype)
        store = self._store
        assert store is not None
        if kind != store.dtype or n > len(store) or not store.flags.writeable or store is stored:
            store = np.empty((max(n, self._n + self._n // 2), stored.shape[1]), dtype=kind)
            store[: self._n] = stored
        store[self._n : n] = array
        self._store, self._n = store, n
        if self._dead is not None:
            self._dead = np.concatenate([self._dead, np.zeros(len(array), dtype=bool)])

    def _result(self, indices: np.ndarray, distances: np.ndarray) -> Neighbors:
        with np.errstate(over="ignore"):
            distances = distances.astype(np.float32)
        indices = np.ascontiguousarray(indices, dtype=np.int64)
        indices.setflags(write=False)  # nobody else holds them, so that `Neighbors` need not copy
        distances.setflags(write=False)
        return Neighbors(indices, distances, self.metric.name, self.dim)


def _restricted(copies: Copies, allowed: np.ndarray) -> tuple[Copies, np.ndarray | None]:
    """The groups with their allowed members only, and which groups have any; None where all have."""
    keep = allowed[copies.members]
    group = np.repeat(np.arange(len(copies.first)), np.diff(copies.starts))[keep]
    counts = np.bincount(group, minlength=len(copies.first))
    among = None if counts.all() else counts > 0
    return Copies(copies.first, group, copies.members[keep], np.append(0, np.cumsum(counts)).astype(np.int64)), among


def measure_in_numpy(
    metric: Metric, queries: np.ndarray, take: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, threads: int
) -> np.ndarray:
    """Float64 ranks of (query, row) pairs, from differences of the prepared values; inf where the row is -1."""
    ranks = np.full(rows.shape, np.inf)
    step = max(1, MEASURE_BYTES // (max(1, rows.shape[1]) * queries.shape[1] * 8))

    def part(start: int) -> None:
        block = rows[start : start + step]
        there = block >= 0
        query = np.repeat(np.arange(len(block)), there.sum(axis=1))
        prepared = metric.prepare(queries[start : start + step])
        ranks[start : start + step][there] = metric.measure(prepared[query], metric.prepare(take(block[there])))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(0, len(rows), step)))
    return ranks


def as_radius(radius: object) -> float:
    """The radius as a number, or UsageError."""
    if isinstance(radius, bool) or not isinstance(radius, int | float | np.number) or np.isnan(radius):
        raise UsageError(f"radius: expected a number, got {radius!r}")
    return float(radius)


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def k_that_fits(k: object, n: int) -> int:
    """k as a whole number above 0, or UsageError; also where no memory holds k neighbours of n rows."""
    number = check_k(k)
    if number >= 1 << 48:
        raise too_large(n, number)
    return number


def too_large(n: int, k: int) -> UsageError:
    """What to say where a result does not fit the memory."""
    gib = n * k * 12 / 2**30
    return UsageError(f"not enough memory: {k} neighbours of {n} rows take {gib:,.1f} GiB and as much again; lower k")


def _as_list(ids: object, n: int) -> list:
    given = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)  # type: ignore[call-overload]
    if len(given) != n:
        raise DataError(f"ids: expected {n}, one a row, found {len(given)}")
    return given
