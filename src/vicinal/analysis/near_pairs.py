"""The pairs of rows within a radius, in pieces that fit in memory.

Rows that are equal (and of one label, where there are labels) are one entry, which is searched once: thousands of
copies of one row would make millions of pairs. At radius 0 the entries alone say which rows are equal, and nothing is
searched.
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from vicinal.knn.approximate import SEED
from vicinal.knn.approximate_pairs import NEARLY, ApproximatePairs, FoundPairs, both_ways, within_radius
from vicinal.knn.arguments import check_threads
from vicinal.knn.blocks import blocks
from vicinal.knn.copies import Copies, find_copies
from vicinal.knn.exact import ExactSearch
from vicinal.knn.joined import chosen
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors
from vicinal.knn.recall import Recall
from vicinal.typing import ArrayLike, Progress

SAMPLE = 256
MOST_PAIRS = 1 << 27
BLOCK_BYTES = 1 << 24
MOST_SEARCHED = 0.5  # share of the entries that are searched beside a graph
SMALLEST = 1e-140  # squared differences of float64 values above it do not vanish


@dataclass(frozen=True, eq=False)
class Piece:
    """Some of the pairs: `asked[i]` is near `near[indptr[i] : indptr[i + 1]]`, at `distances` of the same slice.

    All are numbers of entries; a pair of an entry with itself is left out.
    """

    asked: np.ndarray
    indptr: np.ndarray
    near: np.ndarray
    distances: np.ndarray

    @property
    def source(self) -> np.ndarray:
        """The asked entry of each pair, int64 (n_pairs,)."""
        return np.repeat(self.asked, np.diff(self.indptr))

    def among(self, wanted: np.ndarray) -> "Piece":
        """The same piece with the wanted pairs only; `wanted` is bool (n_pairs,)."""
        counts = np.append(0, np.cumsum(wanted))
        return Piece(self.asked, counts[self.indptr], self.near[wanted], self.distances[wanted])


class Within(Protocol):
    """What finds rows within a radius, as `ExactSearch` does."""

    def within(
        self, radius: float, queries: ArrayLike | None = None, *, progress: Progress | None = None
    ) -> RadiusNeighbors:
        """All rows within the radius of each query, or of each row without itself."""
        ...


class NearPairs:
    """The pairs of rows within a radius.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Rows that a distance is defined for.
    radius : float
        In the metric's unit; pairs at exactly this distance count.
    metric : Metric
    threads : int, optional
    labels : ndarray of int64, shape (n,), optional
        Only rows of one label are pairs.
    progress : callable, optional
        Called with (rows done, rows in all).
    search : callable, optional
        Takes rows, metric and threads, and gives what finds rows within a radius; by default `ExactSearch.of`.
    graph : Neighbors, optional
        The nearest others of each row. Where the last distance is beyond the radius, they are all of its pairs; only
        the other rows are searched.
    recall : float, optional
        Most of the pairs will do: so many, as measured on a sample, where that is cheaper.

    Attributes
    ----------
    first : ndarray of int64, shape (n_entries,)
        The lowest row of each entry, ascending.
    entry : ndarray of int64, shape (n,)
        The entry of each row.
    recall : Recall or None
        Of the pairs, once they are there; None for exact ones that were asked for.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        radius: float,
        metric: Metric,
        threads: int | None = None,
        labels: np.ndarray | None = None,
        progress: Progress | None = None,
        search: Callable[[np.ndarray, Metric, int | None], Within] = ExactSearch.of,
        graph: Neighbors | None = None,
        recall: float | None = None,
    ) -> None:
        n = len(vectors)
        self._target, self._found = recall, cast(FoundPairs | None, None)
        self.recall = None if graph is None else graph.recall
        self._search, self._graph = search, graph
        self.vectors, self.radius, self.metric, self.labels = vectors, radius, metric, labels
        self._threads, self._progress, self._whole = threads, progress, None if n else _no_pairs(0)
        equal = equal_rows(vectors, metric) if radius == 0 and not metric.product else None
        copies = equal or (Copies.none(n) if metric.product else find_copies(vectors))
        self.first, self.entry = copies.first, copies.group
        if labels is not None and copies.any:
            _, self.first, self.entry = np.unique(
                copies.group * (int(labels.max()) + 1) + labels, return_index=True, return_inverse=True
            )
            order = np.argsort(self.first)
            number = np.empty_like(order)
            number[order] = np.arange(len(order))
            self.first, self.entry = self.first[order], number[self.entry]
        if equal is not None:
            self._whole = _no_pairs(len(self.first))
            self.recall = None if recall is None else Recall.of_exact(recall, 0, 0, SEED, radius)

    def part(self, piece: Piece) -> "NearPairs":
        """The same rows with fewer pairs: those of `piece`, which asks every entry."""
        other = copy(self)
        other._whole = piece
        return other

    @property
    def sizes(self) -> np.ndarray:
        """The number of rows of each entry, int64 (n_entries,)."""
        return np.bincount(self.entry, minlength=len(self.first))

    def pieces(
        self, order: np.ndarray | None = None, left_out: Callable[[], np.ndarray] | None = None
    ) -> Iterator[Piece]:
        """Yield the pairs of every entry: in one piece where they fit in memory, else in the order that is given.

        Parameters
        ----------
        order : ndarray of int64, shape (n_entries,), optional
            The order in which entries are asked; ascending by default.
        left_out : callable, optional
            Returns, before each piece, which entries need not be asked any more: bool (n_entries,).
        """
        if self._whole is None and self._graph is not None:
            piece = self._of_graph(self._graph)
            if piece is None:
                self.recall = None
            else:
                self._whole = self._of_one_label(piece)
        if self._whole is None and self._target is not None and self._found is None:
            self._approximate(self._target)
        if self._whole is None:
            m, found = len(self.first), self._found
            asked = np.arange(m) if found is None else found.open
            index = self._search(self._rows(np.arange(m)), self.metric, self._threads)
            sample = asked[:: max(1, len(asked) // SAMPLE)]
            of_one = len(index.within(self.radius, self._rows(sample)).indices) / len(sample)
            known = 0 if found is None else len(found.source)
            if of_one * len(asked) + known > MOST_PAIRS:
                yield from self._in_blocks(index, int(MOST_PAIRS / 4 / max(of_one, known / m)), order, left_out)
                return
            self._whole = self._of_one_label(self._all_of(index))
        yield self._whole

    def _approximate(self, target: float) -> None:
        """Find most of the pairs, where that is cheaper than to find all of them."""
        m = len(self.first)
        labels = None if self.labels is None else self.labels[self.first]
        rows = self._rows(np.arange(m))
        search = ApproximatePairs(rows, self.radius, self.metric, check_threads(self._threads), labels)
        found = search.found(target, self._progress)
        if found is None:
            self.recall, self._target = Recall.of_exact(target, 0, m, SEED, self.radius), None
            return
        self.recall, self._found = found.recall, found
        if not len(found.open):
            indptr = np.searchsorted(found.source, np.arange(m + 1))
            self._whole = Piece(np.arange(m), indptr, found.near, found.distances)

    def _all_of(self, index: Within) -> Piece:
        """The pairs of all entries."""
        m, found = len(self.first), self._found
        if found is None:
            pairs = index.within(self.radius, progress=self._progress)
            return Piece(np.arange(m), pairs.indptr, pairs.indices, pairs.distances)
        full = self._searched(index, found.open, self._progress)
        closed = np.ones(m, dtype=bool)
        closed[found.open] = False
        # The lists of entries near a full one may lack it.
        wanted = closed[full.near]
        both = both_ways(
            m,
            np.concatenate([found.source, full.source[wanted]]),
            np.concatenate([found.near, full.near[wanted]]),
            np.concatenate([found.distances, full.distances[wanted]]),
            closed,
        )
        source, near, distances = (np.concatenate(two) for two in zip(both, _columns(full), strict=True))
        return _piece_of(np.arange(m), source, near, distances)

    def _of_graph(self, graph: Neighbors) -> Piece | None:
        """All pairs from known neighbours, and a search of the entries whose lists end within the radius.

        None where most lists end there, so that searching everything costs no more.
        """
        m = len(self.first)
        indices, distances = graph.indices[self.first], graph.distances[self.first].astype(np.float64)
        there = indices >= 0
        open_ = np.flatnonzero(distances[:, -1] <= self.radius + NEARLY * abs(self.radius))
        if len(open_) > m * MOST_SEARCHED:
            return None
        there[open_] = False
        source = np.repeat(np.arange(m), there.sum(axis=1))
        near, far = self.entry[indices[there]], distances[there]
        rows = self.first[source], self.first[near]
        kept = (near != source) & within_radius(self.vectors, self.metric, self.radius, rows, far)
        source, near, far = source[kept], near[kept], far[kept].astype(np.float32)
        if len(open_):
            index = self._search(self._rows(np.arange(m)), self.metric, self._threads)
            found = index.within(self.radius, self._rows(open_), progress=self._progress)
            asked = np.repeat(open_, np.diff(found.indptr))
            other = found.indices != asked
            asked, named, at = asked[other], found.indices[other], found.distances[other]
            source, near = np.concatenate([source, asked]), np.concatenate([near, named])
            far = np.concatenate([far, at])
        if graph.approximate:
            source, near, far = both_ways(m, source, near, far, np.ones(m, dtype=bool))
        # Copies of one neighbour are one entry, which is named once.
        order = np.lexsort((near, far, source))
        pair = source[order] * m + near[order]
        order = order[np.sort(np.unique(pair, return_index=True)[1])]
        indptr = np.searchsorted(source[order], np.arange(m + 1))
        return Piece(np.arange(m), indptr, near[order], far[order])

    def _in_blocks(
        self, index: Within, step: int, order: np.ndarray | None, left_out: Callable[[], np.ndarray] | None
    ) -> Iterator[Piece]:
        m = len(self.first)
        order = np.arange(m) if order is None else order
        for block in blocks(m, step):
            asked = np.sort(order[block])
            if left_out is not None:
                asked = asked[~left_out()[asked]]
            if len(asked):
                yield self._of_one_label(self._part_of(index, asked))
            if self._progress is not None:
                self._progress(block.stop, m)

    def _part_of(self, index: Within, asked: np.ndarray) -> Piece:
        """The pairs of some entries."""
        found = self._found
        if found is None:
            return self._searched(index, asked)
        full = np.isin(asked, found.open)
        places = ranges(*(np.searchsorted(found.source, asked[~full], side) for side in ("left", "right")))
        known = found.source[places], found.near[places], found.distances[places]
        if not full.any():
            return _piece_of(asked, *known)
        others = _columns(self._searched(index, asked[full]))
        source, near, distances = (np.concatenate(two) for two in zip(known, others, strict=True))
        return _piece_of(asked, source, near, distances)

    def _searched(self, index: Within, asked: np.ndarray, progress: Progress | None = None) -> Piece:
        """The pairs of some entries, all of them searched."""
        pairs = index.within(self.radius, self._rows(asked), progress=progress)
        piece = Piece(asked, pairs.indptr, pairs.indices, pairs.distances)
        return piece.among(piece.source != piece.near)

    def _of_one_label(self, piece: Piece) -> Piece:
        if self.labels is None:
            return piece
        label = self.labels[self.first]
        return piece.among(label[piece.source] == label[piece.near])

    def _rows(self, entries: np.ndarray) -> np.ndarray:
        """The vectors of entries; all of them without a copy where each row is its own entry."""
        if len(entries) == len(self.vectors):
            return self.vectors
        return chosen(self.vectors, self.first[entries])


def _no_pairs(n: int) -> Piece:
    empty = np.zeros(0, dtype=np.int64)
    return Piece(np.arange(n), np.zeros(n + 1, dtype=np.int64), empty, empty.astype(np.float32))


def ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The numbers from each start to before its end, one range after the other.

    >>> ranges(np.array([5, 0]), np.array([7, 1])).tolist()
    [5, 6, 0]
    """
    counts = ends - starts
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def _columns(piece: Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return piece.source, piece.near, piece.distances


def _piece_of(asked: np.ndarray, source: np.ndarray, near: np.ndarray, distances: np.ndarray) -> Piece:
    """The piece of asked entries that these pairs make up."""
    place = np.empty(int(asked.max(initial=0)) + 1, dtype=np.int64)
    place[asked] = np.arange(len(asked))
    places = place[source]
    order = np.argsort(places, kind="stable")
    indptr = np.searchsorted(places[order], np.arange(len(asked) + 1))
    return Piece(asked, indptr, near[order], distances[order])


class _Prepared:
    """Rows as a metric compares them, made where they are read; as much of an array as `find_copies` asks for."""

    dtype = np.dtype(np.float64)

    def __init__(self, vectors: np.ndarray, metric: Metric) -> None:
        self._vectors, self._metric, self.shape = vectors, metric, vectors.shape

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, rows: Any) -> np.ndarray:
        part = np.asarray(self._vectors[rows])
        single = part.ndim == 1
        part = self._metric.ready(part[None] if single else part)
        return part[0] if single else part


def equal_rows(vectors: np.ndarray, metric: Metric) -> Copies | None:
    """Return the groups of rows at distance 0, found by hashing; None where hashing cannot tell.

    Rows are at distance 0 where their values are equal as the metric compares them, cosine after scaling to length 1.
    Values of float64 so small that their squares vanish are an exception, and are left to a search.

    Examples
    --------
    >>> from vicinal.knn.metrics import find
    >>> found = equal_rows(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]), find("cosine"))
    >>> found.first[found.group].tolist()
    [0, 1, 0]
    """
    if metric.kernel == "dot" and vectors.dtype == np.float64:
        for block in blocks(len(vectors), BLOCK_BYTES // max(1, vectors.shape[1] * 8)):
            values = np.abs(vectors[block])
            if ((values > 0) & (values < SMALLEST)).any():
                return None
    if metric.whiten is None and not metric.nonzero:
        return find_copies(vectors)
    return find_copies(cast(np.ndarray, _Prepared(vectors, metric)))
