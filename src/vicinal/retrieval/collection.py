"""Texts with their metadata and vectors, and an index over them: what a retrieval-augmented application keeps.

    embed   any callable: a list of texts -> (n, dim) vectors; or the name or folder of a sentence-transformers model

A collection is saved as the folder of its index, whose columns hold the texts and the metadata, so that
`vicinal search` reads it too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.models import text_embedder
from vicinal.errors import DataError, UsageError, some
from vicinal.indexes import Index, load_index
from vicinal.knn.arguments import check_k
from vicinal.knn.vectors import as_vectors
from vicinal.locks import Mutex, ReadWriteLock
from vicinal.retrieval import columns
from vicinal.retrieval.documents import as_ids, checked
from vicinal.retrieval.queries import as_examples, as_query, embedded
from vicinal.retrieval.records import Hit, Records
from vicinal.retrieval.relevance import check_lambda, max_marginal_relevance
from vicinal.storage import locks
from vicinal.typing import Id, MetricLike

__all__ = ["Collection", "Embed", "Hit"]

Embed = Callable[[list[str]], Any]


class Collection:
    """Texts, each with an id, metadata and a vector, searched by text or vector.

    Threads may share it: searches run side by side, and a change of texts, metadata and vectors is one step, so that a
    search sees the collection before or after it.

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
        self._records = Records({"type": type, "metric": metric, "threads": threads, **parameters})
        self._lock, self._saving = ReadWriteLock("this collection"), Mutex()

    def __len__(self) -> int:
        with self.reading:
            return len(self._records)

    def __repr__(self) -> str:
        with self.reading:
            return f"Collection(n={len(self)}, index={self.index!r})"

    def __getstate__(self) -> dict[str, Any]:
        with self.reading:
            return dict(vars(self))

    @property
    def index(self) -> Index | None:
        """The index of the vectors; None until something is added."""
        return self._records.index

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return self._records.metric

    @property
    def reading(self) -> Any:
        """A context in which no other thread changes the collection: `with collection.reading: ...`."""
        return self._lock.reading

    @property
    def changing(self) -> Any:
        """A context in which no other thread reads or changes it, so that several calls are one step."""
        return self._lock.changing

    @property
    def ids(self) -> list[Id]:
        """The ids of all texts, in the order of addition."""
        with self.reading:
            return self._records.ids(self._records.rows())

    def add(
        self,
        texts: str | Iterable[str],
        metadata: Mapping[str, Any] | Iterable[Mapping[str, Any] | None] | None = None,
        ids: Id | Iterable[Id | None] | None = None,
        vectors: object = None,
    ) -> list[Id]:
        """Add texts; a text whose id is there already replaces the old one.

        Parameters
        ----------
        texts : str or iterable of str
            Half a surrogate pair in a text or its metadata becomes U+FFFD, with a warning.
        metadata : mapping or iterable of mapping, optional
            One mapping of JSON values a text.
        ids : int, str or iterable of them, optional
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
            The vectors or ids cannot be used; nothing is added.
        """
        given = checked(texts, metadata, ids)
        if not given.texts:
            return []
        array = embedded(self.embed, given.texts) if vectors is None else as_vectors(vectors, at_least=0)
        if len(array) != len(given.texts):
            raise UsageError(f"vectors: expected {len(given.texts)}, one a text, found {len(array)}")
        with self.changing:
            self._records.put(given, array)
        return given.ids

    def merge(self, other: "Collection") -> None:
        """Add all texts of another collection, which stays as it is.

        Raises
        ------
        UsageError
            An id is in both, or the other index holds codes in place of its vectors; nothing is added.
        DataError
            The vectors have another dim, or cannot be used with this metric; nothing is added.
        """
        with other.reading:
            if not len(other):
                return
            given, array = other._records.contents()
        with self.changing:
            both = [name for name in given.ids if self._records.row(name) is not None]
            if both:
                raise UsageError(
                    f"other: ids that are in both collections: {some(both)}; delete them in one of the two"
                )
            self._records.put(given, array)

    def delete(self, ids: Id | Iterable[Id] | None = None, where: object = None) -> int:
        """Remove texts by id, by a filter, or by both, and return how many were removed.

        Parameters
        ----------
        ids : int, str or iterable of them, optional
            A string is one id. Unknown ids are ignored.
        where : str, callable or sequence of ids, optional
            As for `search`; with ids, only those of them that match.

        Raises
        ------
        UsageError
            Neither is given.
        """
        if ids is None and where is None:
            raise UsageError("delete: expected ids or where, found neither; delete(collection.ids) removes all texts")
        with self.changing:
            return self._records.remove(self._records.named(ids, where))

    def get(self, ids: Id | Iterable[Id]) -> list[Hit]:
        """Return the texts of ids as hits at distance 0; a string is one id, and unknown ids are ignored."""
        with self.reading:
            return [self._records.hit(row) for row in map(self._records.row, as_ids(ids)) if row is not None]

    def documents(self, where: object = None, ids: Id | Iterable[Id] | None = None) -> list[Hit]:
        """Return all texts that match a filter or have these ids, in the order of addition, as hits at distance 0."""
        with self.reading:
            return [self._records.hit(row) for row in self._records.named(ids, where)]

    def vector(self, name: Id) -> np.ndarray:
        """Return the vector of an id; DataError where there is no such id."""
        with self.reading:
            row = self._records.row(name)
            if row is None:
                raise DataError(f"id: not in the collection: {name!r}")
            vector: np.ndarray = self._records.vectors([row])[0]
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
            The query is a text, and there is nothing to embed it; or the expression cannot be used.
        """
        vector = as_query(self.embed, query)
        with self.reading:
            return [self._records.hit(row, far) for row, far in self._records.nearest(vector, k, where)]

    def max_marginal_relevance(
        self,
        query: object,
        k: int = 10,
        fetch_k: int = 50,
        lambda_mult: float = 0.5,
        where: object = None,
    ) -> list[Hit]:
        """Return k texts that are near the query and unlike each other, chosen one by one among the nearest.

        Parameters
        ----------
        query, k
            As for `search`.
        fetch_k : int
            The number of nearest texts that are candidates.
        lambda_mult : float
            From 0, only unlike each other, to 1, only like the query.
        where
            As for `search`.

        Returns
        -------
        list of Hit
            In the order of choice, each with its distance to the query. Source: Carbonell & Goldstein 1998.

        Examples
        --------
        >>> shapes = Collection(lambda texts: [[len(text), 3.0] for text in texts])
        >>> shapes.add(["aaa", "bbb", "seventeen letters"], ids=[1, 2, 3])
        [1, 2, 3]
        >>> [hit.id for hit in shapes.max_marginal_relevance("ccc", k=2, lambda_mult=0.4)]
        [1, 3]
        """
        check_k(k)
        check_lambda(lambda_mult)
        vector = as_query(self.embed, query)
        with self.reading:
            found = self._records.nearest(vector, fetch_k, where)
            if self.index is None or not found:
                return []
            candidates = self._records.vectors([row for row, _ in found])
            chosen, _ = max_marginal_relevance(vector[0], candidates, k, lambda_mult, self.index.metric)
            return [self._records.hit(*found[place]) for place in chosen]

    def rank(
        self,
        text: str | None = None,
        k: int = 10,
        C: float = 0.1,  # noqa: N803
        *,
        ids: Id | Iterable[Id] | None = None,
        vectors: object = None,
        where: object = None,
        threshold: float | None = None,
    ) -> list[Hit]:
        """Return the k texts that an exemplar SVM ranks highest: more like the examples than like anything else.

        Parameters
        ----------
        text : str, optional
            The example is a text; it is embedded.
        k : int
        C : float
            As for `ExemplarSVM`.
        ids : int, str or iterable of them, optional
            The examples are these texts of the collection; they are not ranked themselves.
        vectors : array_like, shape (dim,) or (p, dim), optional
            The examples are vectors.
        where
            As for `search`: only texts that match are ranked, and stand against the examples.
        threshold : float, optional
            Leave out texts whose decision value, scaled to 0 for the lowest and 1 for the highest of the texts and the
            examples, is below it.

        Returns
        -------
        list of Hit
            The distance is minus the decision value.

        Raises
        ------
        UsageError
            Not exactly one of text, ids and vectors is given.
        """
        check_k(k)
        examples = as_examples(self.embed, text, ids, vectors)
        with self.reading:
            return self._records.ranked(examples, ids, k, C, where, threshold)

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
            The folder exists and `overwrite` is false; it was changed by another process since this collection was
            loaded from it or saved to it; or nothing was ever added.
        """
        with self.reading, self._saving:
            if self.index is None:
                raise UsageError("an empty collection has no vectors to save; add texts first")
            self.index.payload = columns.saved(self._records.texts, self._records.metadata)
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
        texts, metadata = columns.restored(index.payload, folder)
        made = cls(embed, index.metric, index.name, threads, **index.settings)
        made._records.index, made._records.texts, made._records.metadata = index, texts, metadata
        return made

    @classmethod
    @contextmanager
    def editing(
        cls, folder: str | Path, embed: Embed | str | None = None, threads: int | None = None
    ) -> "Iterator[Collection]":
        """Load a collection, and save it at the end of the block; others that edit it wait until then, with a warning.

        Where the block fails, the folder stays as it was. The arguments are those of `load`.

        Examples
        --------
        >>> with Collection.editing("notes.index", embed) as notes:  # doctest: +SKIP
        ...     notes.add(["a lion"], ids=["l"])
        """
        with locks.changing(folder):
            made = cls.load(folder, embed, threads)
            yield made
            made.save(folder, overwrite=True)
