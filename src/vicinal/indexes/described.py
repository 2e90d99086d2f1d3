"""What an index says about itself, and how threads share it: the part below `Index` that knows no vectors in or out.

One readers-writer lock an index lets searches run side by side, and changes alone. A change that fails or is
interrupted leaves the index as it was. A copy, by `copy` or `pickle`, is an index of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vicinal.indexes.payload import Ids
from vicinal.indexes.proposals import Backend
from vicinal.indexes.rows import Rows
from vicinal.knn.metrics import Metric
from vicinal.locks import ReadWriteLock


class Described:
    """The lock, the rows and the backend of an index, and what they say about themselves."""

    metric: Metric
    _settings: dict[str, Any]
    _lock: ReadWriteLock
    _rows: Rows
    _backend: Backend

    def _make_backend(self) -> Backend:
        raise NotImplementedError

    # Threads and copies

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Change the index alone; where the block fails or is interrupted, the index is as it was before."""
        with self._lock.changing:
            rows, backend = self._rows.remember(), self._backend.remember()
            try:
                yield
            except BaseException:
                self._rows.go_back(rows)
                self._backend.go_back(backend)
                raise

    def __reduce__(self) -> Any:
        """A copy, by `copy` or `pickle`, is an index of its own, as this one is before or after a change."""
        with self._lock.reading:
            others = {name: value for name, value in vars(self).items() if name not in ("_lock", "_rows", "_backend")}
            return _copied, (type(self), others, self._rows.frozen(), self._backend.frozen())

    # Description

    def __len__(self) -> int:
        with self._lock.reading:
            return self._rows.n_live

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value!r}" for name, value in self._settings.items())
        return f"{type(self).__name__}({self.metric.name!r}{settings}, n={len(self)}, dim={self.dim})"

    @property
    def settings(self) -> dict[str, Any]:
        """The values of its parameters."""
        return dict(self._settings)

    @property
    def dim(self) -> int:
        """The number of coordinates; 0 before the fit."""
        with self._lock.reading:
            return self._rows.dim

    @property
    def n_rows(self) -> int:
        """The number of rows that were ever added; every row number is below it."""
        with self._lock.reading:
            return self._rows.n

    @property
    def n_entries(self) -> int:
        """The number of vectors that the engine holds; copies of a row may be held once."""
        with self._lock.reading:
            return self._backend.n_entries

    @property
    def vectors(self) -> Any:
        """The vectors of all rows, as they were given, those of removed rows among them.

        An array; from an index of codes alone, an object that decodes the rows that are read: `index.vectors[rows]`.
        """
        with self._lock.reading:
            return self._rows.vectors

    @property
    def ids(self) -> Ids:
        """The id of each row: `index.ids[row]`, `index.ids.of(found.indices)`, `index.ids.rows(["a", "b"])`."""
        return self._rows.ids

    @property
    def payload(self) -> Any:
        """The columns as a pyarrow.Table, or None. Assign a table of `n_rows` rows to replace them."""
        return self._rows.payload

    @payload.setter
    def payload(self, table: Any) -> None:
        with self._lock.changing:
            self._rows.payload = table

    @property
    def embedding(self) -> dict[str, Any] | None:
        """The model that made the vectors, where it is known: a mapping with "model" and "normalized"."""
        return self._rows.embedding

    @embedding.setter
    def embedding(self, about: dict[str, Any] | None) -> None:
        with self._lock.changing:
            self._rows.embedding = about

    @property
    def invalid(self) -> dict[int, str]:
        """Why rows are left out, by row number."""
        return self._rows.invalid

    @property
    def error(self) -> dict[str, float] | None:
        """How far distances are off, where they are those of decoded vectors; None where they are true."""
        return self._backend.error

    @property
    def engine(self) -> str:
        """The kernel or library that is searched, and its version."""
        with self._lock.reading:
            return self._backend.library

    @property
    def engine_bytes(self) -> int:
        """The memory or the size of the file that the engine takes beside the vectors."""
        with self._lock.reading:
            return self._backend.n_bytes


def _copied(kind: type[Described], others: dict[str, Any], rows: dict[str, Any], backend: dict[str, Any]) -> Described:
    """An index of the parts that `Index.__reduce__` gives."""
    index = object.__new__(kind)
    vars(index).update(others, _lock=ReadWriteLock("this index"), _settings=dict(others["_settings"]))
    index._rows = Rows(index.metric)
    vars(index._rows).update(rows)
    index._backend = index._make_backend()
    index._backend.thaw(backend)
    return index
