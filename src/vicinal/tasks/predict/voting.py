"""What classify and regress share: the settings of the vote, the rows, and the neighbour pass."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.analysis.votes import WEIGHTS
from vicinal.data import dataset, frames
from vicinal.data import metric as metric_choice
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.labels import Labels
from vicinal.data.metric import MetricChoice
from vicinal.data.results import Columns
from vicinal.data.usable import Usable, kind_of, usable
from vicinal.errors import UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks import arguments
from vicinal.tasks.predict.curve import leave_one_out
from vicinal.typing import StartProgress

MAX_K = 50


@dataclass(frozen=True, eq=False)
class Settings:
    """How neighbours vote, checked.

    Attributes
    ----------
    k : int
        The number of neighbours; where `choose` is true, the largest that is tried.
    choose : bool
        Whether leave-one-out chooses k.
    weights : {"uniform", "distance", "auto"}
    metric : MetricChoice
    threads : int or None
    """

    k: int
    choose: bool
    weights: str
    metric: MetricChoice
    threads: int | None

    @property
    def weightings(self) -> tuple[str, ...]:
        """The weightings that are tried."""
        return WEIGHTS if self.weights == "auto" else (self.weights,)


@dataclass(frozen=True, eq=False)
class Rows:
    """The known rows and the queries, checked.

    Attributes
    ----------
    known : Usable
        The known rows that vote.
    queries : Usable
        The queries that are voted on.
    query_rows : Dataset
        All queries.
    metric : Metric
    """

    known: Usable
    queries: Usable
    query_rows: dataset.Dataset
    metric: Metric

    @property
    def unusable(self) -> dict[str, dict[int, str]]:
        """The rows and the queries that cannot be used, by number, and why."""
        return {"data": self.known.reasons, "queries": self.queries.reasons}


@dataclass(frozen=True, eq=False)
class Vote:
    """The neighbours that vote, and how.

    Attributes
    ----------
    neighbors : Neighbors
        The k nearest known rows of each query.
    weights : {"uniform", "distance"}
    score : float or None
        The leave-one-out score of k and weights, where they were chosen by it.
    rows : Rows
    start : float
        When the work began, for `time.perf_counter`.
    """

    neighbors: Neighbors
    weights: str
    score: float | None
    rows: Rows
    start: float

    @property
    def of_result(self) -> Neighbors:
        """The neighbours of each row of the result; none where a query has no result."""
        queries = self.rows.queries
        distances = queries.column(self.neighbors.distances, np.inf)
        return Neighbors(
            queries.column(self.neighbors.indices, -1), distances, self.neighbors.metric, self.neighbors.dim
        )


class Predicted(Columns):
    """Predictions from the nearest rows: one row a query, in the queries' order.

    Attributes
    ----------
    neighbors : Neighbors
        The nearest known rows of each query; `indices` are rows of the data.
    k : int
    weights : {"uniform", "distance"}
    score : float or None
        The leave-one-out score of k and weights, where they were chosen by it.
    metric : str
    n_known : int
        The number of known rows that vote.
    unusable : dict of str to dict of int to str
        "data": the known rows that do not vote, by number, and why; "queries": the queries without a result.
    skipped : bool
        Whether these queries are left out of the result.
    seconds : float
        How long the passes and the votes took.
    """

    known_as = "value"
    added_as = "predicted_"

    def __init__(self, columns: Mapping[str, Any], types: Mapping[str, str], vote: Vote, evidence: Any) -> None:
        super().__init__(vote.rows.queries.ids, columns, types)
        self.neighbors, self.k, self.weights, self.score = vote.of_result, vote.neighbors.k, vote.weights, vote.score
        self.metric, self.n_known = vote.neighbors.metric, len(vote.rows.known.left)
        self.unusable, self.skipped = vote.rows.unusable, vote.rows.queries.skip
        self.seconds = time.perf_counter() - vote.start
        self._evidence = evidence

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(n={len(self)}, k={self.k}, weights={self.weights!r}, metric={self.metric!r}, "
            f"n_known={self.n_known})"
        )

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield one mapping a query, as it is written to a file."""
        for row, record in enumerate(super().records()):
            yield record if self._evidence is None else {**record, "neighbors": self._named(row)}

    def _named(self, row: int) -> list[dict[str, Any]]:
        """The neighbours of a query: id, distance, and what is known of them."""
        ids, known = self._evidence
        pairs = zip(*self.neighbors[row], strict=True)
        return [{"id": ids[one], "distance": float(str(far)), self.known_as: known[one]} for one, far in pairs]


def check_settings(
    k: object, max_k: object, weights: object, metric: Metric | str, matrix: object, threads: object
) -> Settings:
    """Return the settings of a vote.

    Raises
    ------
    UsageError
        One of them cannot be used.
    """
    choose = isinstance(k, str) and k == "auto"
    limit = arguments.whole_number(max_k, "max_k") if choose else arguments.whole_number(k, "k", also=" or auto")
    return Settings(
        k=limit,
        choose=choose,
        weights=arguments.choice(weights, "weights", (*WEIGHTS, "auto")),
        metric=metric_choice.choose(metric, matrix),
        threads=None if threads is None else arguments.whole_number(threads, "threads"),
    )


def read_rows(
    data: object,
    queries: object,
    fields: Mapping[str, tuple[object, str]],
    settings: Settings,
    embeddings: object,
    ids: object,
    query_ids: object,
    encoding: object = None,
    on_invalid: OnInvalid = "error",
) -> Rows:
    """Return the known rows and the queries.

    Raises
    ------
    UsageError, DataError
        As `dataset.read` and `embeddings.load`; the queries have another dim or model than the known rows.
    """
    name, (given, _) = next(iter(fields.items()))
    if given is None:
        raise UsageError(f"{name}: expected a column, FILE:FIELD, or one value a row, got None")
    nullable = {field: (spec, kind_of(kind, on_invalid)) for field, (spec, kind) in fields.items()}
    known = dataset.read(data, embeddings, ids=ids, fields=nullable, ids_from=name, encoding=encoding)
    column = isinstance(embeddings, str) and frames.is_table(queries) and embeddings in frames.column_names(queries)
    query_rows = dataset.read(
        queries,
        embeddings if column else None,
        ids=query_ids,
        argument="queries",
        ids_argument="query_ids",
        encoding=encoding,
    )
    reading = settings.metric.reading
    stored = load(known.embeddings, rows=known, metric=reading, on_invalid=on_invalid, at_least=2)
    vectors = load(
        query_rows.embeddings, rows=query_rows, metric=reading, on_invalid=on_invalid, name="queries", like=stored
    )
    voters = usable(known, stored, on_invalid, at_least=2)
    asking = usable(query_rows, vectors, on_invalid)
    return Rows(voters, asking, query_rows, settings.metric.resolve(voters.vectors))


def vote(rows: Rows, known: Labels | np.ndarray, settings: Settings, progress: StartProgress | None) -> Vote:
    """Return the neighbours that vote on each query, choosing k and weights where they are "auto"."""
    start = time.perf_counter()
    index = Exact(rows.metric, settings.threads).fit(rows.known.vectors.vectors, invalid={})
    k, weights, curve = settings.k, settings.weights, None
    if settings.choose or weights == "auto":
        report = None if progress is None else progress("choosing k")
        curve = leave_one_out(index, known, settings.k, settings.weightings, report)
        if settings.choose:
            k, weights = curve.best
        else:
            k, weights = curve.ks[-1], max(settings.weightings, key=lambda name: curve.scores[name][-1])
    k = arguments.at_most(k, len(rows.known.left))
    report = None if progress is None else progress(f"{k} neighbours of {rows.queries.vectors.name}")
    neighbors = index.search(rows.queries.vectors.vectors, k, progress=report)
    return Vote(neighbors, weights, None if curve is None else curve.score_of(k, weights), rows, start)
