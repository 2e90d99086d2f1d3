"""Search an index, a saved one, or plain data: by rows, ids, vectors or texts; by distance or by an exemplar SVM."""

import datetime
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal import devices
from vicinal.data import dataset, tables
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.models import hash_of_model, text_embedder
from vicinal.data.results import Columns
from vicinal.data.sources import is_source
from vicinal.errors import DataError, UsageError, unknown
from vicinal.indexes import Exact, Index
from vicinal.indexes.exemplar_svm import ExemplarSVM
from vicinal.knn.arguments import check_k
from vicinal.knn.metrics import find
from vicinal.tasks import index as indexes
from vicinal.tasks.arguments import check_outputs, several
from vicinal.typing import Id, MetricName


class Hits(Columns):
    """What a search returns: one row a hit, query by query, nearest first.

    The columns are "query" (the row's id, the number of the query vector, or the text), "rank" (from 1), "distance" (in
    the metric's unit; "decision" where an exemplar SVM ranked), and the columns of the index. `ids` are those of the
    hits, `rows` their row numbers in the index, and `unusable` the queries without hits because they are invalid.
    """

    def __init__(self, ids: Sequence[Id], rows: np.ndarray, columns: dict[str, Any]) -> None:
        super().__init__(ids, columns)
        self.rows = rows
        self.unusable: dict[int, str] = {}

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield one mapping a hit: query, rank, id, distance or decision, and the columns of the index."""
        for record in super().records():
            identity = record.pop("id")
            start = {name: record.pop(name) for name in ("query", "rank")}
            yield {**start, "id": identity, **record}


@dataclass(frozen=True)
class _Queries:
    """Queries as vectors, what each is called, and the rows of the index that they are (None where they are none)."""

    vectors: np.ndarray
    names: list[Any]
    rows: np.ndarray | None
    unusable: dict[int, str] = field(default_factory=dict)


@devices.takes_device
def search(
    index: Index | str | Path | object,
    queries: object = None,
    k: int = 10,
    *,
    encoding: object = None,
    query_rows: Sequence[int] | None = None,
    query_ids: Sequence[Id] | None = None,
    query_texts: Sequence[str] | None = None,
    model: str | None = None,
    where: object = None,
    metric: MetricName | None = None,
    by: Literal["distance", "svm"] = "distance",
    positive_rows: Sequence[int] | None = None,
    positive_ids: Sequence[Id] | None = None,
    C: float = 0.1,  # noqa: N803
    negatives: int | None = None,
    include_positives: bool = False,
    fields: Sequence[str] | None = None,
    settings: dict[str, Any] | None = None,
    on_invalid: OnInvalid = "error",
    threads: int | None = None,
    device: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Hits:
    """Return the k nearest rows of each query.

    Parameters
    ----------
    index : Index, path, array_like or table
        An index, the folder of one, or data, which are searched exactly.
    queries : array_like or path, optional
        Vectors of shape (n_queries, dim), or a `.npy` file.
    k : int
        How many rows for each query; fewer where fewer match.
    encoding : str or (str, array_like), optional
        How the queries, and plain data that are searched, are quantised: "binary", "ubinary", "int8" or "uint8"
        of sentence-transformers; of codes with their ranges "int8:RANGES.npy" or ("int8", ranges).
    query_rows, query_ids : sequence, optional
        Rows of the index, by number or by id; a row is left out of its own result.
    query_texts : sequence of str, optional
        Texts, embedded by `model`.
    model : str, optional
        Of sentence-transformers; the one that made the index's embeddings by default.
    where : str, optional
        Only rows that this filter matches, such as 'label = "noun.animal"'.
    metric : str, optional
        The metric that the index is expected to have; of plain data, the metric to search with (default "euclidean").
    by : {"distance", "svm"}
        "svm" ranks by an exemplar SVM: more like the examples than like anything else.
    positive_rows, positive_ids : sequence, optional
        The examples of one exemplar SVM; or give queries, each of which is one example.
    C : float
        The weight of errors of the SVM.
    negatives : int, optional
        How many rows stand for all others.
    include_positives : bool
        Whether the examples are ranked too.
    fields : sequence of str, optional
        The columns of the index to return; all by default.
    settings : dict, optional
        Parameters of searching, such as {"ef_search": 100}.
    on_invalid : {"error", "null", "skip"}
        Queries and rows of plain data that hold NaN or infinity or, under cosine, only zeros: "error" refuses them,
        "null" and "skip" leave them out, so that such a query has no hits.
    threads : int, optional
        Of an index that is loaded or made here; the machine's cores by default.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    output : path, optional
        A `.jsonl` or `.jsonl.gz` file to write.
    overwrite : bool
        Whether an output that exists is replaced.

    Returns
    -------
    Hits

    Raises
    ------
    UsageError
        No query or two kinds of queries were given; a filter, a column or a setting is unknown.
    DataError
        The dims differ, queries were made by another model, or a row or id is not there.

    Examples
    --------
    >>> hits = search([[0.0], [1.0], [3.0]], [[0.9]], k=2)
    >>> hits.ids, hits["distance"].round(3).tolist()
    ([1, 0], [0.1, 0.9])
    """
    check_k(k)
    _check_output(output, (index, queries), overwrite)
    query_rows, query_ids = several(query_rows, "query_rows"), several(query_ids, "query_ids")
    positive_rows, positive_ids = several(positive_rows, "positive_rows"), several(positive_ids, "positive_ids")
    fields = several(fields, "fields")
    given = {"query_rows": query_rows, "query_ids": query_ids, "queries": queries, "query_texts": query_texts}
    _check_questions({name: value for name, value in given.items() if value is not None}, by, where, positive_rows,
                     positive_ids)  # fmt: skip
    opened, folder = _opened(index, metric, threads, encoding, on_invalid)
    if not isinstance(opened, Exact) and where is None:  # the rows that a filter leaves are compared exactly
        devices.refuse(f"an index of type {opened.name} searches on the processor")
    opened.set(**(settings or {}))
    columns = _columns_of(opened, fields)
    question = None
    if any(value is not None for value in given.values()):
        given_queries = (queries, encoding)
        question = _queries_of(opened, folder, query_rows, query_ids, given_queries, query_texts, model, on_invalid)
    if by == "svm":
        examples = _rows_of(opened, positive_rows, positive_ids, "positive_rows", "positive_ids")
        rows = list(_by_svm(opened, folder, question, examples, k, ExemplarSVM(C, negatives), include_positives))
    else:
        assert question is not None
        rows = list(_by_distance(opened, question, k, where))
    hits = _hits(opened, rows, columns, "decision" if by == "svm" else "distance")
    hits.unusable = {} if question is None else question.unusable
    if output is not None:
        hits.write(output, overwrite)
    return hits


def _check_output(output: str | Path | None, inputs: tuple[object, ...], overwrite: bool) -> None:
    check_outputs({"output": output}, inputs, overwrite)
    if output is not None and tables.suffix(output) not in tables.LINES:
        raise UsageError(f"{output}: expected a name that ends in .jsonl or .jsonl.gz")


def _check_questions(given: dict[str, Any], by: str, where: object, rows: object, ids: object) -> None:
    """Raise UsageError where the queries or the examples do not say one question."""
    examples = rows is not None or ids is not None
    if by not in ("distance", "svm"):
        raise UsageError(f"by: {unknown('choice', by, ('distance', 'svm'))}")
    if not given and not examples:
        raise UsageError(
            "queries: no query was given; give --queries, --query-row, --query-id, --query-text or, with --by svm, "
            "--positive (in Python: queries, query_rows, query_ids, query_texts or, with by='svm', positive_rows)"
        )
    if len({"rows" if name in ("query_rows", "query_ids") else name for name in given}) > 1:
        raise UsageError(
            f"{list(given)[-1]}: queries of another kind are given too; they are rows (by number or id), vectors or "
            "texts: give one kind of them"
        )
    example = "positive_ids" if rows is None else "positive_rows"
    if given and examples:
        raise UsageError(
            f"{example}: a query is given too, and these are two ways to give the example; give one of them"
        )
    if examples and by != "svm":
        raise UsageError(f"{example}: examples are ranked by --by svm (in Python: by='svm'); give it too")
    if by == "svm" and where is not None:
        raise UsageError(
            "where: it cannot be used with --by svm (in Python: by='svm'), whose negatives are all other rows; leave "
            "it out"
        )


def _opened(
    index: Any, metric: str | None, threads: int | None, encoding: object, on_invalid: OnInvalid
) -> tuple[Index, Path | None]:
    wanted = None if metric is None else find(metric).name
    if isinstance(index, Index):
        opened, folder = index, None
    elif isinstance(index, str | Path) and not is_source(index):
        opened, folder = indexes.open_index(index, threads)
    else:
        named = None if metric is None else find(metric)
        made = indexes.index("exact", named, threads, data=index, encoding=encoding, on_invalid=on_invalid)
        return made, None
    if wanted is not None and wanted != opened.metric.name:
        raise DataError(
            f"metric: {folder or 'the index'} is built with {opened.metric.name}, got {wanted}; leave the metric out, "
            "or build an index with the other one"
        )
    return opened, folder


def _columns_of(index: Index, fields: Sequence[str] | None) -> list[str]:
    known = [] if index.payload is None else list(index.payload.column_names)
    for name in fields or ():
        if name not in known:
            raise UsageError(f"fields: {unknown('column', name, known)}")
    return known if fields is None else list(fields)


def _queries_of(
    index: Index,
    folder: Path | None,
    numbers: Sequence[int] | None,
    ids: Sequence[Id] | None,
    given: tuple[object, object],
    texts: Sequence[str] | None,
    model: str | None,
    on_invalid: OnInvalid,
) -> _Queries:
    """The queries of a search; `given` are vectors, or None, and how they are quantised."""
    queries, encoding = given
    if numbers is not None or ids is not None:
        rows = _rows_of(index, numbers, ids, "query_rows", "query_ids")
        return _Queries(np.asarray(index.vectors[rows]), index.ids.of(rows), rows)
    if queries is not None:
        read = dataset.read(queries, argument="queries", encoding=encoding)
        loaded = load(
            read.embeddings, rows=read, metric=index.metric, on_invalid=on_invalid, name="queries", at_least=0
        )
        indexes.refuse_other_model(loaded, index, folder)
        indexes.warn_of_codes(loaded, index)
        valid = loaded.vectors[loaded.valid] if loaded.invalid else loaded.vectors
        return _Queries(valid, loaded.valid.tolist(), None, loaded.invalid)
    made_by = index.embedding or {}
    chosen = model or made_by.get("model")
    if chosen is None:
        raise UsageError(
            "query_texts: the index does not say which model made its embeddings; name it by --model "
            "(in Python: model=)"
        )
    _refuse_other_model(chosen, made_by)
    wanted = [texts] if isinstance(texts, str) else list(texts or ())
    return _Queries(text_embedder(chosen, bool(made_by.get("normalized")))(wanted), wanted, None)


def _refuse_other_model(model: str, made_by: dict[str, Any]) -> None:
    """Raise UsageError where texts would be embedded by another model than the rows of the index."""
    known, folder = made_by.get("model"), Path(model)
    names = {model, str(folder.resolve())} if folder.is_dir() else {model}
    if known is None or known in names:
        return
    if folder.is_dir() and made_by.get("model_sha256") == hash_of_model(folder):  # the same files in another place
        return
    raise UsageError(f"model: the rows of the index were embedded by {known}, got {model}; leave the model out")


def _rows_of(
    index: Index, numbers: Iterable[Any] | None, ids: Iterable[Id] | None, argument: str, ids_argument: str
) -> np.ndarray:
    """The rows of numbers and ids, int64, in the order given."""
    live = index.rows()
    rows: list[int] = []
    for number in numbers or ():
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not whole or number not in live:
            option = f"--{ids_argument.removesuffix('s').replace('_', '-')} (in Python: {ids_argument}=)"
            hint = f"; ids such as {index.ids[0]!r} are given by {option}" if index.ids.given else ""
            raise DataError(
                f"{argument}: expected a row from 0 to {index.n_rows - 1} that is there, got {number!r}{hint}"
            )
        rows.append(int(number))
    missing = np.ones(index.n_rows, dtype=bool)
    missing[live] = False
    wanted = [indexes.id_of(index, one) for one in ids or ()]
    return np.concatenate([np.array(rows, dtype=np.int64), index.ids.rows(wanted, ids_argument, missing)])


def _by_distance(index: Index, question: _Queries, k: int, where: object) -> Iterator[tuple[Any, int, int, float]]:
    """Yield (query, rank, row, distance) for each hit."""
    wanted = min(k if question.rows is None else k + 1, max(1, index.n_rows))
    nearest = index.search(question.vectors, wanted, where)
    for place, name in enumerate(question.names):
        own = -1 if question.rows is None else question.rows[place]
        pairs = [
            (int(row), float(distance))
            for row, distance in zip(nearest.indices[place], nearest.distances[place], strict=True)
            if row >= 0 and row != own
        ]
        for rank, (row, distance) in enumerate(pairs[:k], start=1):
            yield name, rank, row, distance


def _by_svm(
    index: Index,
    folder: Path | None,
    question: _Queries | None,
    examples: np.ndarray,
    k: int,
    svm: ExemplarSVM,
    include_positives: bool,
) -> Iterator[tuple[Any, int, int, float]]:
    """Yield (query, rank, row, decision) for each hit."""
    place = folder or "the index"
    if not isinstance(index.vectors, np.ndarray):
        raise DataError(f"{place}: holds codes alone; an exemplar SVM needs an index with its vectors")
    if index.metric.kernel == "bits":
        raise DataError(f"{place}: holds packed bits; an exemplar SVM needs vectors of numbers")
    live = index.rows()
    vectors = np.asarray(index.vectors[live])
    unit = index.metric.nonzero  # directions: the classifier sees rows of length 1, as the distance does
    svm.fit(index.metric.prepare(vectors) if unit else vectors)
    questions: list[tuple[Any, Any]]
    if question is None:
        rows = np.array(list(dict.fromkeys(examples.tolist())))
        names = index.ids.of(rows)
        questions = [(names if len(names) > 1 else names[0], np.searchsorted(live, rows))]
    elif question.rows is not None:
        questions = list(zip(question.names, np.searchsorted(live, question.rows), strict=True))
    else:
        if question.vectors.shape[1] != index.dim:
            raise DataError(f"queries: found dim {question.vectors.shape[1]}, the stored vectors have dim {index.dim}")
        queries = index.metric.prepare(question.vectors) if unit else question.vectors.astype(np.float64)
        questions = list(zip(question.names, queries, strict=True))
    for (name, _), ranking in zip(
        questions, svm.rank_each([one for _, one in questions], k, include_positives), strict=True
    ):
        for rank, (at, decision) in enumerate(zip(ranking.indices, ranking.decisions, strict=True), start=1):
            if at >= 0:
                yield name, rank, int(live[at]), float(decision)


def _hits(index: Index, found: list[tuple[Any, int, int, float]], fields: list[str], measure: str) -> Hits:
    rows = np.array([row for _, _, row, _ in found], dtype=np.int64)
    columns: dict[str, Any] = {
        "query": [query for query, _, _, _ in found],
        "rank": np.array([rank for _, rank, _, _ in found], dtype=np.int64),
        measure: np.array([float(f"{value:.7g}") for _, _, _, value in found]),
    }
    for name in fields:
        cells = index.payload[name].take(rows).to_pylist() if len(rows) else []
        columns[name] = [_plain(cell) for cell in cells]
    return Hits(index.ids.of(rows), rows, columns)


def _plain(value: Any) -> Any:
    """A cell as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, datetime.date | datetime.datetime) else value
