"""An index with a text and a mapping of metadata a row: what a collection changes and searches in one step.

Nothing here is locked or embedded; `collection.py` does both.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.indexes import Index
from vicinal.indexes.choose import index as make_index
from vicinal.indexes.exemplar_svm import ExemplarSVM
from vicinal.indexes.filters import matches
from vicinal.knn.metrics import find
from vicinal.locks import Mutex
from vicinal.retrieval import columns
from vicinal.retrieval.documents import Documents, as_ids, readable
from vicinal.typing import Id


@dataclass(frozen=True)
class Hit:
    """One text that a search found.

    Attributes
    ----------
    id : int or str
    text : str
    distance : float
        In the metric's unit, smaller is closer; of a ranking by SVM, minus the decision value.
    metadata : dict
    """

    id: Id
    text: str
    distance: float
    metadata: dict[str, Any] = field(default_factory=dict)


class Records:
    """Texts, metadata and the index of their vectors, none until `put`.

    kind  : the arguments of `vicinal.index`, by name
    index : None until something is added
    """

    def __init__(self, kind: dict[str, Any]) -> None:
        make_index(**kind)  # raises at once for a wrong name or parameter
        self._kind = kind
        self.index: Index | None = None
        self.texts: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self._ranking = Mutex()
        self._forget()

    @property
    def metric(self) -> str:
        """The name of the metric, known before the index."""
        return find(self._kind["metric"]).name

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_columns": None, "_svm": None}

    def __len__(self) -> int:
        return 0 if self.index is None else len(self.index)

    def _forget(self) -> None:
        """Drop what was made of the rows; it is made anew when it is needed."""
        self._columns: dict[str, Any] | None = None  # what an expression may name
        self._svm: ExemplarSVM | None = None  # fitted to the live rows

    def put(self, given: Documents, array: np.ndarray) -> None:
        """Add checked documents with their vectors, in the place of those of the same ids."""
        keep = given.last()
        new = [given.ids[place] for place in keep]
        if self.index is None:
            self.index = make_index(**self._kind).fit(array[keep], ids=new)
        else:
            index = self.index
            if not index.can_add:
                raise UsageError(f"{index.name}: cannot grow; make the collection of another index")
            known = [name for name in new if self.row(name) is not None]
            with index._change():  # one step: where the addition is refused or fails, nothing was removed
                if known:
                    index.remove(known)
                index.payload = None  # of a saved folder; it is made anew when the collection is saved
                index.add(array[keep], new)
        self.texts += [given.texts[place] for place in keep]
        self.metadata += [given.metadata[place] for place in keep]
        self._forget()

    def remove(self, rows: list[int]) -> int:
        """Remove rows; returns how many."""
        if rows and self.index is not None:
            self.index.remove(self.ids(np.array(rows)))
            self._forget()
        return len(rows)

    def contents(self) -> tuple[Documents, np.ndarray]:
        """All documents and a copy of their vectors; UsageError where the index holds codes in their place."""
        assert self.index is not None
        if self.index.error is not None:
            raise UsageError(
                f"an index of type {self.index.name} without vectors cannot be copied; add its texts instead"
            )
        rows = self.rows()
        notes = [dict(self.metadata[row]) for row in rows]
        return Documents([self.texts[row] for row in rows], notes, self.ids(rows)), np.array(self.vectors(rows))

    def ids(self, rows: np.ndarray) -> list[Id]:
        """The ids of rows."""
        return [] if self.index is None else self.index.ids.of(rows)

    def vectors(self, rows: Any) -> np.ndarray:
        """The vectors of rows."""
        assert self.index is not None
        return np.asarray(self.index.vectors[np.asarray(rows, dtype=np.int64)])

    def rows(self, where: object = None) -> np.ndarray:
        """The live rows that match a filter, ascending."""
        return np.zeros(0, dtype=np.int64) if self.index is None else self.index.rows(self._allowed(where))

    def named(self, ids: object, where: object) -> list[int]:
        """The live rows that match a filter and have one of these ids, where there are any, ascending."""
        matching: list[int] = [] if where is None and ids is not None else self.rows(where).tolist()
        if ids is None:
            return matching
        wanted = {row for row in map(self.row, as_ids(ids)) if row is not None}
        return sorted(wanted if where is None else wanted.intersection(matching))

    def row(self, name: object) -> int | None:
        """The row of an id, or None."""
        return None if self.index is None else self.index.row_of(name)

    def hit(self, row: int, distance: float = 0.0) -> Hit:
        """A row as a result."""
        assert self.index is not None
        return Hit(self.index.ids[row], self.texts[row], distance, dict(self.metadata[row]))

    def nearest(self, vector: np.ndarray, k: int, where: object) -> list[tuple[int, float]]:
        """The nearest rows and their distances."""
        if self.index is None or not len(self.index):
            return []
        found = self.index.search(vector, k, self._allowed(where))
        pairs = zip(found.indices[0].tolist(), found.distances[0].tolist(), strict=True)
        return [(row, far) for row, far in pairs if row >= 0]

    def ranked(
        self,
        examples: np.ndarray | None,
        ids: object,
        k: int,
        C: float,  # noqa: N803
        where: object,
        threshold: float | None,
    ) -> list[Hit]:
        """The best rows by an exemplar SVM; arguments as for `Collection.rank`, examples as vectors or None for ids."""
        if self.index is None:
            return []
        numbers = None if examples is not None else self.index.rows_of(as_ids(ids), "positives")
        rows = self.rows(where)
        if numbers is not None:
            rows = np.union1d(rows, numbers)
        if len(rows) < 2:
            return [self.hit(int(row)) for row in rows if numbers is None or row not in numbers][:k]
        positives = np.searchsorted(rows, numbers) if numbers is not None else self._directions(examples)
        with self._ranking:
            svm = self._svm if where is None else None
            if svm is None or svm.C != C:
                svm = ExemplarSVM(C).fit(self._directions(self.vectors(rows)))
                self._svm = svm if where is None else self._svm
            found = svm.rank(positives, k if threshold is None else len(rows))
        places, decisions = found.indices[found.indices >= 0], found.decisions[found.indices >= 0]
        if threshold is not None:
            every = np.concatenate([decisions, found.positives])
            good = (decisions - every.min()) / (every.max() - every.min() + 1e-6) >= threshold
            places, decisions = places[good][:k], decisions[good][:k]
        return [self.hit(int(rows[place]), -float(one)) for place, one in zip(places, decisions, strict=True)]

    def _directions(self, vectors: Any) -> np.ndarray:
        assert self.index is not None
        return self.index.metric.prepare(vectors) if self.index.metric.nonzero else vectors

    def _allowed(self, where: object) -> Any:
        if where is None or self.index is None:
            return None
        if callable(where):
            mask = np.zeros(self.index.n_rows, dtype=bool)
            rows = self.rows()
            mask[rows] = [bool(where(dict(self.metadata[row]))) for row in rows.tolist()]
            return mask
        if not isinstance(where, str):
            return where if isinstance(where, np.ndarray) else as_ids(where)
        if self._columns is None:
            names = self.index.ids.of(np.arange(self.index.n_rows))
            self._columns = columns.filtered(names, self.texts, self.metadata)
        return matches(readable(where), self._columns)
