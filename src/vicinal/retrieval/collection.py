"""Texts with their metadata and vectors, and an index over them: what a retrieval-augmented application keeps.

    embed   any callable: a list of texts -> (n, dim) vectors; or the name or folder of a sentence-transformers model

A collection is saved as the folder of its index, whose columns hold the texts and the metadata, so that
`vicinal search` reads it too.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.models import text_embedder
from vicinal.errors import DataError, UsageError
from vicinal.indexes import Index, load_index
from vicinal.indexes.choose import index as make_index
from vicinal.indexes.exemplar_svm import ExemplarSVM
from vicinal.indexes.filters import matches
from vicinal.indexes.payload import as_table
from vicinal.knn.vectors import as_queries
from vicinal.typing import Id, MetricLike

Embed = Callable[[list[str]], Any]
TEXT, METADATA = "text", "metadata"


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


class Collection:
    """Texts, each with an id, metadata and a vector, searched by text or vector.

    Parameters
    ----------
    embed : callable, str or None
        A list of texts -> vectors (n, dim), or the name or folder of a sentence-transformers model; None where vectors
        are always given.
    metric : str or Metric
        The metric of the index.
    type : str
        The type of the index, as for `vicinal.index`; "auto" chooses at the first addition.
    threads : int, optional
        By default the cores of the machine.
    **parameters
        Parameters of the index.

    Examples
    --------
    >>> lengths = Collection(lambda texts: [[len(text), 1.0] for text in texts], metric="euclidean")
    >>> lengths.add(["a", "three", "seventeen letters"], ids=["x", "y", "z"], metadata=[{"n": 1}, {"n": 5}, {"n": 17}])
    ['x', 'y', 'z']
    >>> [hit.id for hit in lengths.search("four", k=2)], [hit.text for hit in lengths.search("four", 1, where="n > 5")]
    (['y', 'x'], ['seventeen letters'])
    """

    def __init__(
        self,
        embed: Embed | str | None = None,
        metric: MetricLike = "cosine",
        type: str = "auto",
        threads: int | None = None,
        **parameters: Any,
    ) -> None:
        self.embed: Embed | None = text_embedder(embed) if isinstance(embed, str) else embed
        self._make: Callable[[], Any] = lambda: make_index(type, metric, threads, **parameters)
        self._make()  # raises at once for a wrong name or parameter
        self.index: Index | None = None
        self._texts: list[str] = []
        self._metadata: list[dict[str, Any]] = []
        self._table: Any = None
        self._svm: ExemplarSVM | None = None  # fitted to the live rows

    def __len__(self) -> int:
        return 0 if self.index is None else len(self.index)

    def __repr__(self) -> str:
        return f"Collection(n={len(self)}, index={self.index!r})"

    @property
    def ids(self) -> list[Id]:
        """The ids of all texts, in the order of addition."""
        return [] if self.index is None else [self.index.ids[int(row)] for row in self._live()]

    def add(
        self,
        texts: Iterable[str],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        ids: Iterable[Id | None] | None = None,
        vectors: object = None,
    ) -> list[Id]:
        """Add texts; a text whose id is there already replaces the old one.

        Parameters
        ----------
        texts : iterable of str
        metadata : iterable of mapping, optional
            One mapping of JSON values a text.
        ids : iterable of int or str, optional
            One a text. Where it is None, or without ids, a random one is made. Of equal ids the last counts.
        vectors : array_like, shape (n, dim), optional
            The vectors of the texts, where they are known already.

        Returns
        -------
        list of int or str
            The ids.

        Raises
        ------
        UsageError
            The numbers of texts, metadata, ids and vectors differ; nothing is added.
        DataError
            The vectors do not fit; nothing is added.
        """
        documents = list(texts)
        notes = [{} for _ in documents] if metadata is None else [dict(one or {}) for one in metadata]
        names = [None for _ in documents] if ids is None else list(ids)
        for what, given in (("metadata", notes), ("ids", names)):
            if len(given) != len(documents):
                raise UsageError(f"{what}: expected {len(documents)}, one a text, found {len(given)}")
        wrong = [text for text in documents if not isinstance(text, str)]
        if wrong:
            raise UsageError(f"texts: expected text, found {wrong[0]!r}")
        for note in notes:
            _as_json(note)
        chosen: list[Id] = [str(uuid.uuid4()) if name is None else name for name in names]
        if not documents:
            return []
        array = self._vectors(documents) if vectors is None else np.asarray(vectors)
        if len(array) != len(documents):
            raise UsageError(f"vectors: expected {len(documents)}, one a text, found {len(array)}")
        last = {name: place for place, name in enumerate(chosen)}
        keep = sorted(last.values())
        new = [chosen[place] for place in keep]
        if self.index is None:
            self.index = self._make().fit(array[keep], ids=new)
        else:
            index = self.index
            as_queries(array, index.metric, index.dim)  # an error, if any, before a row is replaced
            known = [name for name in new if self._has(name)]
            if not index.can_add:
                raise UsageError(f"{index.name}: cannot grow; make the collection of another index")
            if known:
                index.remove(known)
            index.add(array[keep], new)
        self._texts += [documents[place] for place in keep]
        self._metadata += [notes[place] for place in keep]
        self._table = self._svm = None
        return chosen

    def delete(self, ids: Iterable[Id]) -> int:
        """Remove texts by id, and return how many were removed; unknown ids are ignored."""
        known = [name for name in dict.fromkeys(ids) if self._has(name)]
        if known and self.index is not None:
            self.index.remove(known)
            self._table = self._svm = None
        return len(known)

    def get(self, ids: Iterable[Id]) -> list[Hit]:
        """Return the texts of ids as hits at distance 0; unknown ids are ignored."""
        return [self._hit(row, 0.0) for row in (self._row(name) for name in ids) if row is not None]

    def vector(self, name: Id) -> np.ndarray:
        """Return the vector of an id; DataError where there is no such id."""
        row = self._row(name)
        if row is None or self.index is None:
            raise DataError(f"id: not in the collection: {name!r}")
        vector: np.ndarray = np.asarray(self.index.vectors[[row]])[0]
        return vector

    def search(self, query: object, k: int = 10, where: object = None) -> list[Hit]:
        """Return the k nearest texts, nearest first; fewer where the collection has fewer.

        Parameters
        ----------
        query : str or array_like, shape (dim,)
            A text, or a vector.
        k : int
        where : str, callable or sequence of ids, optional
            Search only texts that match an expression over the metadata, `id` and `text`, or a function of the
            metadata, or that have these ids.

        Returns
        -------
        list of Hit

        Raises
        ------
        UsageError
            The query is a text, and the collection has nothing to embed it; or the expression cannot be used.
        """
        vector = self._query(query)
        if self.index is None or not len(self.index):
            return []
        found = self.index.search(vector, k, self._allowed(where))
        return [
            self._hit(int(row), float(far))
            for row, far in zip(found.indices[0], found.distances[0], strict=True)
            if row >= 0
        ]

    def rank(self, positives: object, k: int = 10, C: float = 0.1) -> list[Hit]:  # noqa: N803
        """Return the k texts that an exemplar SVM ranks highest: more like the examples than like anything else.

        Parameters
        ----------
        positives : str, array_like or list of ids
            A text, a vector, or the ids of the examples.
        k : int
        C : float
            As for `ExemplarSVM`.

        Returns
        -------
        list of Hit
        """
        if self.index is None or len(self) < 2:
            return [] if self.index is None else [self._hit(int(row), 0.0) for row in self._live()[:k]]
        index, rows = self.index, self._live()
        if self._svm is None or self._svm.C != C:
            self._svm = ExemplarSVM(C).fit(self._directions(np.asarray(index.vectors[rows])))
        if isinstance(positives, list | tuple) and positives and not isinstance(positives[0], float):
            examples: Any = np.searchsorted(rows, index.rows_of(positives, "positives"))
        else:
            examples = self._directions(np.asarray(self._query(positives)))
        found = self._svm.rank(examples, k)
        return [
            self._hit(int(rows[place]), -float(decision))
            for place, decision in zip(found.indices, found.decisions, strict=True)
            if place >= 0
        ]

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the folder of an index; it appears whole or not at all.

        Parameters
        ----------
        folder : path
        overwrite : bool
            Whether a folder that exists is replaced.

        Raises
        ------
        UsageError
            The folder exists and `overwrite` is false, or nothing was ever added.
        """
        if self.index is None:
            raise UsageError("an empty collection has no vectors to save; add texts first")
        columns: dict[str, list[Any]] = {TEXT: self._texts, METADATA: [_as_json(one) for one in self._metadata]}
        plain = {name for one in self._metadata for name, value in one.items() if isinstance(value, str | int | float)}
        for name in sorted(plain - {TEXT, METADATA, "id"}):
            values = [one.get(name) for one in self._metadata]
            kinds = {type(value) for value in values if value is not None}
            if len(kinds) == 1 or kinds == {int, float}:
                columns[name] = values
        self.index.payload = as_table(columns, self.index.n_rows)
        self.index.save(folder, overwrite)

    @classmethod
    def load(cls, folder: str | Path, embed: Embed | str | None = None, threads: int | None = None) -> "Collection":
        """Return the collection that `save` wrote.

        Parameters
        ----------
        folder : path
        embed : callable, str or None
            As for the constructor; it is not saved.
        threads : int, optional
            By default the cores of the machine.

        Returns
        -------
        Collection

        Raises
        ------
        DataError
            The folder is no collection, or is damaged.
        """
        index = load_index(folder, threads)
        names = [] if index.payload is None else index.payload.column_names
        if TEXT not in names or METADATA not in names:
            raise DataError(f"{folder}: an index without texts and metadata; expected one saved by a Collection")
        made = cls(embed, index.metric, index.name, threads, **index.settings)
        made.index = index
        made._texts = index.payload[TEXT].to_pylist()
        try:
            made._metadata = [json.loads(text) for text in index.payload[METADATA].to_pylist()]
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{folder}: its metadata are not JSON ({error}); expected one saved by a Collection"
            ) from None
        return made

    def documents(self, where: object = None) -> list[Hit]:
        """Return all texts that match a filter, in the order of addition, as hits at distance 0."""
        if self.index is None:
            return []
        return [self._hit(int(row), 0.0) for row in self.index.rows(self._allowed(where))]

    def _live(self) -> np.ndarray:
        assert self.index is not None
        return self.index.rows()

    def _row(self, name: Id) -> int | None:
        return None if self.index is None else self.index.row_of(name)

    def _has(self, name: Id) -> bool:
        return self._row(name) is not None

    def _hit(self, row: int, distance: float) -> Hit:
        assert self.index is not None
        return Hit(self.index.ids[row], self._texts[row], distance, dict(self._metadata[row]))

    def _vectors(self, texts: list[str]) -> np.ndarray:
        if self.embed is None:
            raise UsageError("this collection has no model for texts; give vectors, or make it with embed=")
        array = np.asarray(self.embed(texts))
        if array.ndim != 2 or len(array) != len(texts):
            raise UsageError(f"embed: expected {len(texts)} vectors, one a text, got an array of shape {array.shape}")
        return array

    def _query(self, query: object) -> np.ndarray:
        return self._vectors([query]) if isinstance(query, str) else np.atleast_2d(np.asarray(query))

    def _directions(self, vectors: np.ndarray) -> np.ndarray:
        assert self.index is not None
        return self.index.metric.prepare(vectors) if self.index.metric.nonzero else vectors

    def _allowed(self, where: object) -> Any:
        if where is None or self.index is None:
            return None
        if callable(where):
            mask = np.zeros(self.index.n_rows, dtype=bool)
            rows = self._live()
            mask[rows] = [bool(where(dict(self._metadata[row]))) for row in rows]
            return mask
        if not isinstance(where, str):
            return where if isinstance(where, np.ndarray) else list(where)  # type: ignore[call-overload]
        if self._table is None:
            columns: dict[str, Any] = {"id": [str(one) for one in self.index.ids.of(np.arange(self.index.n_rows))]}
            columns[TEXT] = self._texts
            for name in {str(name): None for one in self._metadata for name in one}:
                columns[name] = [one.get(name) for one in self._metadata]
            self._table = as_table(columns, self.index.n_rows)
        return matches(where, {name: self._table[name] for name in self._table.column_names})


def _as_json(metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise UsageError(f"metadata: expected JSON values: {error}") from None
