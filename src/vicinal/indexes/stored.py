"""What an index keeps of its rows: vectors, ids, columns, and which are removed; and the rows that a filter leaves."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from vicinal.errors import DataError, NotFitted
from vicinal.indexes.filters import matches
from vicinal.indexes.payload import Ids
from vicinal.knn.metrics import Metric
from vicinal.knn.vectors import as_queries, as_rows


class Stored:
    """The rows of an index. A row keeps its number for ever, and is a gap once it is removed."""

    metric: Metric

    def _start(self) -> None:
        """Forgets all rows."""
        self._store: Any = None  # vectors, with room for more behind them
        self._n = 0
        self._dead: np.ndarray | None = None
        self._ids = Ids(0)
        self.payload: Any = None  # columns of the rows as a pyarrow.Table, or None
        self.embedding: dict[str, Any] | None = None  # the model that made the vectors, where it is known
        self.invalid: dict[int, str] = {}

    def __len__(self) -> int:
        return self._n if self._dead is None else int(self._n - np.count_nonzero(self._dead))

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

    def rows(self, where: object = None) -> np.ndarray:
        """The rows that are live and that a filter leaves, int64; `where` as for `search`."""
        self._stored()
        allowed = self._allowed(where)
        return np.flatnonzero(~self._gone() if allowed is None else allowed)

    def _gone(self) -> np.ndarray:
        return np.zeros(self._n, dtype=bool) if self._dead is None else self._dead

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
        return as_rows(vectors, self.metric, name, at_least)

    def _as_queries(self, queries: object) -> np.ndarray:
        return as_queries(queries, self.metric, self._stored().shape[1])

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
