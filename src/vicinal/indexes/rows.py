"""The rows of an index: vectors, ids, columns, which rows are removed, and which rows match a filter.

A row keeps its number for ever; the number of a removed row is not used again.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from vicinal.errors import DataError, NotFitted, some
from vicinal.indexes.filters import matches
from vicinal.indexes.payload import Ids, as_table, joined
from vicinal.indexes.state import IndexState
from vicinal.knn.measure import Vectors
from vicinal.knn.metrics import Metric
from vicinal.knn.vectors import as_queries, as_rows, invalid_rows, refuse_invalid


class Rows:
    """Vectors with ids and columns, empty until `fit`.

    ids       : the user's name of each row
    payload   : columns as a pyarrow.Table, or None
    invalid   : why rows are invalid, by row number
    embedding : the model that made the vectors, where it is known
    removed   : bool (n,), the rows that are removed or invalid; None where none is
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._store: Any = None  # vectors, with space for more behind them
        self.n = 0
        self.removed: np.ndarray | None = None
        self.ids = Ids(0)
        self.payload: Any = None
        self.embedding: dict[str, Any] | None = None
        self.invalid: dict[int, str] = {}

    @property
    def vectors(self) -> Any:
        """The vectors of all rows, those of removed rows among them.

        Raises   NotFitted
        """
        if self._store is None:
            raise NotFitted("this index holds no vectors yet; call fit(vectors) first")
        return self._store if len(self._store) == self.n else self._store[: self.n]

    @property
    def dim(self) -> int:
        """The number of coordinates; 0 before the fit."""
        return 0 if self._store is None else int(self._store.shape[1])

    @property
    def n_live(self) -> int:
        """The number of rows that are neither removed nor invalid."""
        return self.n if self.removed is None else int(self.n - np.count_nonzero(self.removed))

    def live(self) -> np.ndarray | None:
        """The rows that are neither removed nor invalid, int64; None where all are."""
        return None if self.removed is None else np.flatnonzero(~self.removed)

    def is_live(self, row: int) -> bool:
        """Whether a row is neither removed nor invalid."""
        return self.removed is None or not self.removed[row]

    # Changes

    def fit(
        self, vectors: object, on_invalid: str, invalid: dict[int, str] | None, ids: object, payload: object
    ) -> None:
        """Replace all rows; arguments and errors as for `Index.fit`. Nothing changes where it fails."""
        array = as_rows(vectors, self.metric)
        wrong = invalid_rows(array, self.metric) if invalid is None else invalid
        if on_invalid == "error":
            refuse_invalid(wrong, range(len(array)))
        names = Ids(len(array)) if ids is None else Ids(_as_list(ids, len(array)))
        table = None if payload is None else as_table(payload, len(array))
        self._store, self.n, self.ids, self.payload, self.invalid = array, len(array), names, table, wrong
        self.embedding, self.removed = None, None
        if wrong:
            self.removed = np.zeros(self.n, dtype=bool)
            self.removed[list(wrong)] = True

    def append(self, vectors: object, ids: object, payload: object) -> int:
        """Add rows after the others; arguments and errors as for `Index.add`. Returns how many were added."""
        array = as_rows(vectors, self.metric, at_least=0)
        if array.shape[1] != self.dim:
            raise DataError(f"vectors: found dim {array.shape[1]}, the stored vectors have dim {self.dim}")
        refuse_invalid(invalid_rows(array, self.metric), range(len(array)), remedy="")
        table = None if payload is None else as_table(payload, len(array))
        columns = joined(self.payload, table, self.n, len(array))
        self.ids.extend(None if ids is None else _as_list(ids, len(array)), len(array), self.removed)
        if len(array):
            self._append(array)
            self.payload = columns
        return len(array)

    def _append(self, array: np.ndarray) -> None:
        """Append vectors to a buffer that grows by half, so that many small additions stay cheap."""
        stored, n, store = self.vectors, self.n + len(array), self._store
        kind = np.result_type(stored.dtype, array.dtype)
        if kind != store.dtype or n > len(store) or not store.flags.writeable or store is stored:
            store = np.empty((max(n, self.n + self.n // 2), stored.shape[1]), dtype=kind)
            store[: self.n] = stored
        store[self.n : n] = array
        self._store, self.n = store, n
        if self.removed is not None:
            self.removed = np.concatenate([self.removed, np.zeros(len(array), dtype=bool)])

    def remove(self, ids: object) -> bool:
        """Mark rows as removed; errors as for `Index.remove`. Returns whether there were any."""
        rows = self.rows_of(ids, "remove")
        if len(rows):
            self.removed = np.zeros(self.n, dtype=bool) if self.removed is None else self.removed.copy()
            self.removed[rows] = True
        return len(rows) > 0

    # A change may end halfway: of memory, by Ctrl-C. Arrays and tables are replaced, never changed, so that references
    # to the old ones are all that has to be remembered; ids grow in place.

    def remember(self) -> tuple[dict[str, Any], int, bool]:
        """What `go_back` needs to undo a change."""
        return dict(vars(self)), len(self.ids), self.ids.given

    def go_back(self, remembered: tuple[dict[str, Any], int, bool]) -> None:
        """Take back the changes since `remember`."""
        before, n_ids, given = remembered
        vars(self).update(before)
        if len(self.ids) != n_ids or self.ids.given != given:
            self.ids.cut(n_ids, given, self.removed)

    def frozen(self) -> dict[str, Any]:
        """What these rows consist of; later changes leave it as it is."""
        store = self._store[: self.n] if isinstance(self._store, np.ndarray) else None  # vectors that codes stand for
        return {**vars(self), "_store": store, "ids": self.ids.copy(), "invalid": dict(self.invalid)}

    def replace_vectors(self, vectors: Vectors) -> None:
        """Replace the given vectors by these."""
        self._store = vectors

    # Questions

    def queries(self, queries: object) -> np.ndarray:
        """Queries, checked: `vicinal.knn.vectors.as_queries`."""
        return as_queries(queries, self.metric, self.vectors.shape[1])

    def rows_of(self, ids: object, what: str = "id") -> np.ndarray:
        """The live rows of these ids, int64.

        Raises   DataError naming the ids that no live row has
        """
        _ = self.vectors
        return self.ids.rows(ids, what, self.removed)

    def matching(self, where: object) -> np.ndarray:
        """Return the live rows that match a filter, int64, ascending; all live rows where it is None."""
        _ = self.vectors
        allowed, live = self.allowed(where), self.live()
        if allowed is not None:
            return np.flatnonzero(allowed)
        return np.arange(self.n) if live is None else live

    def allowed(self, where: object) -> np.ndarray | None:
        """The live rows that match a filter, bool (n,); None where there is no filter."""
        if where is None:
            return None
        mask = matches(where, self._columns()) if isinstance(where, str) else self._mask(where)
        return mask if self.removed is None else mask & ~self.removed

    def _columns(self) -> dict[str, Any]:
        """The columns that an expression may name: the payload's, and `id`."""
        import pyarrow

        table = {} if self.payload is None else {name: self.payload[name] for name in self.payload.column_names}
        if "id" not in table:
            names = self.ids.of(np.arange(self.n)) if self.ids.given else np.arange(self.n)
            try:
                table["id"] = pyarrow.array(names)
            except (pyarrow.ArrowException, OverflowError):  # both numbers and strings, or numbers beyond 64 bits
                table["id"] = pyarrow.array([str(name) for name in names])
        return table

    def _mask(self, where: object) -> np.ndarray:
        """A boolean a row as it is, or the rows of ids, as bool (n,)."""
        names = where if isinstance(where, np.ndarray) else list(where) if isinstance(where, Iterable) else [where]
        given = names if isinstance(names, np.ndarray) else np.zeros(0)
        if isinstance(names, list) and names and all(isinstance(one, bool | np.bool_) for one in names):
            given = np.asarray(names)
        if given.dtype == bool:
            if given.shape != (self.n,):
                raise DataError(f"where: expected {self.n} true or false, one a row, found shape {given.shape}")
            return given
        mask = np.zeros(self.n, dtype=bool)
        mask[self.rows_of(np.ravel(names) if isinstance(names, np.ndarray) else names, "where")] = True
        return mask

    # Loading

    def restore(self, state: IndexState) -> None:
        """Restore the rows of a saved state.

        Raises   DataError where they cannot be those of an index
        """
        self.n, self.removed, self.invalid = state.n, state.removed, state.invalid
        self.payload, self.embedding = state.payload, state.embedding
        self.ids = Ids(state.n) if state.ids is None else Ids(state.ids, state.removed)
        if state.vectors is None:
            # A placeholder for the decoded vectors; its memory is never touched.
            self._store = np.empty((state.n, state.dim), dtype=np.float32)
            return
        self._store = as_rows(state.vectors, self.metric, "vectors.npy", at_least=0)
        wrong = [row for row in invalid_rows(self._store, self.metric) if self.is_live(row)]
        if wrong:
            raise DataError(f"vectors.npy: damaged: rows that cannot be used: {some(wrong)}; build it again")


def _as_list(ids: object, n: int) -> list[Any]:
    given: list[Any] = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)  # type: ignore[call-overload]
    if len(given) != n:
        raise DataError(f"ids: expected {n}, one a row, found {len(given)}")
    return given
