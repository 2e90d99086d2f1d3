"""Find the rows of an index that are nearest to a query, or that an exemplar SVM likes best.

  vicinal search my.index --query-row 368 -k 10
  vicinal search my.index --query-id n02129165 -k 10
  vicinal search my.index --queries q.npy -k 10 --where 'label = "noun.animal"'
  vicinal search my.index --query-text "a large wild cat" --model MODEL --fields text,label
  vicinal search my.index --by svm --positive 368 --positive 219 --C 0.1

One JSON object a line for each row found, nearest first: query, rank, id, distance (or decision), and its columns.
A row that is asked for is left out of its own result. A filter compares columns with =, !=, <, <=, >, >=, in, like and
is null, joined by and, or, not and parentheses.
"""

import argparse
import sys
from typing import Any

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal search`."""
    parser.add_argument("index", metavar="INDEX", help="a folder of `vicinal index build`")
    parser.add_argument("--query-row", action="append", metavar="ROW", help="a row of the index, by its number from 0")
    parser.add_argument("--query-id", action="append", metavar="ID", help="a row of the index, by its id")
    parser.add_argument("--queries", metavar="NPY", help="vectors, one a query")
    parser.add_argument("--query-text", action="append", metavar="TEXT", help="texts, embedded by --model")
    parser.add_argument("--model", metavar="MODEL", help="of sentence-transformers (default: that of the embeddings)")
    parser.add_argument("-k", "--k", metavar="K", default="10", help="how many rows (default 10)")
    parser.add_argument("--where", metavar="EXPR", help="only rows that this is true of")
    parser.add_argument("--metric", metavar="NAME", help="what the index is expected to have")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="such as ef_search=100")
    parser.add_argument("--by", choices=("distance", "svm"), default="distance", help="how rows are ranked")
    parser.add_argument(
        "--positive", action="append", metavar="ROW", help="svm: an example, by its row; or use a query"
    )
    parser.add_argument("--positive-id", action="append", metavar="ID", help="svm: an example, by its id")
    parser.add_argument("--C", type=float, default=0.1, metavar="C", help="svm: the weight of errors (default 0.1)")
    parser.add_argument("--negatives", metavar="N", help="svm: so many rows stand for all others")
    parser.add_argument("--include-positives", action="store_true", help="svm: rank the examples too")
    parser.add_argument("--fields", metavar="A,B", help="the columns to print (default: all)")
    parser.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    parser.add_argument("-o", "--output", metavar="FILE", help="a .jsonl file instead of standard output")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask, search, print."""
    from vicinal.cli.index import parameters
    from vicinal.data import tables
    from vicinal.errors import DataError, UsageError
    from vicinal.indexes import load_index
    from vicinal.knn.metrics import find
    from vicinal.storage import atomic
    from vicinal.tasks.score import config

    k = config.whole_number(arguments.k, "-k")
    threads = config.threads(arguments.threads)
    if arguments.output is not None:
        atomic.check_file(arguments.output, arguments.overwrite)
        if tables.suffix(arguments.output) not in (".jsonl", ".jsonl.gz"):
            raise UsageError(f"{arguments.output}: expected a name that ends in .jsonl or .jsonl.gz")
    svm = arguments.by == "svm"
    queries = [arguments.query_row, arguments.query_id, arguments.queries, arguments.query_text]
    examples = [arguments.positive, arguments.positive_id]
    if all(one is None for one in [*queries, *examples]):
        raise UsageError(
            "no query was given; write --query-row, --query-id, --queries, --query-text or, with --by svm, --positive"
        )
    if sum(one is not None for one in (arguments.query_row or arguments.query_id, *queries[2:])) > 1:
        raise UsageError("queries are rows, --queries or --query-text; give one kind of them")
    if any(one is not None for one in queries) and any(one is not None for one in examples):
        raise UsageError("a query and --positive are two ways to give the example; give one of them")
    if any(one is not None for one in examples) and not svm:
        raise UsageError("--positive belongs to --by svm")
    if svm and arguments.where is not None:
        raise UsageError("--where is not for --by svm, whose negatives are all other rows")
    metric = None if arguments.metric is None else find(arguments.metric).name
    index = load_index(arguments.index, threads)
    if metric is not None and metric != index.metric.name:
        raise DataError(f"{arguments.index}: built with {index.metric.name}, but --metric asks for {metric}")
    index.set(**parameters(arguments.set))
    fields = _fields(index, arguments.fields)
    records = _by_svm(index, arguments, k) if svm else _by_distance(index, arguments, k)
    if arguments.output is not None:
        with tables.table_writer(arguments.output, arguments.overwrite) as table:
            for record, row in records:
                table.add({**record, **_columns(index, row, fields)})
    else:
        lines = tables.JsonLines(sys.stdout.buffer)
        for record, row in records:
            lines.add({**record, **_columns(index, row, fields)})
        sys.stdout.buffer.flush()
    return 0


def _fields(index: Any, text: str | None) -> list[str]:
    from vicinal.errors import UsageError, unknown

    known = [] if index.payload is None else index.payload.column_names
    if text is None:
        return known
    wanted = [name for name in text.split(",") if name]
    for name in wanted:
        if name not in known:
            raise UsageError(f"--fields: {unknown('column', name, known)}")
    return wanted


def _columns(index: Any, row: int, fields: list[str]) -> dict[str, Any]:
    import math

    found = {name: index.payload[name][row].as_py() for name in fields}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else _plain(value)
        for name, value in found.items()
    }


def _plain(value: Any) -> Any:
    import datetime

    return value.isoformat() if isinstance(value, datetime.date | datetime.datetime) else value


def _asked(index: Any, arguments: argparse.Namespace) -> tuple[Any, list, Any]:
    """The queries as vectors, what each is called, and the rows that they are, if any."""
    import numpy as np

    from vicinal.errors import UsageError
    from vicinal.storage import npy
    from vicinal.tasks.score import config

    rows = _rows(index, arguments.query_row, arguments.query_id, "--query")
    if len(rows):
        names = index.ids.of(rows)
        return np.asarray(index.vectors[rows]), names, rows
    if arguments.queries is not None:
        vectors = npy.load_npy(config.input_file(arguments.queries, "--queries"))
        return vectors, list(range(len(vectors))), None
    from vicinal.data.embed import text_embedder

    made_by = index.embedding or {}
    model = arguments.model or made_by.get("model")
    if model is None:
        raise UsageError("--query-text needs --model: the index does not say what its embeddings were made by")
    return text_embedder(model, bool(made_by.get("normalized")))(arguments.query_text), arguments.query_text, None


def _rows(index: Any, numbers: list[str] | None, ids: list[str] | None, option: str) -> Any:
    """The rows that options name, by number and by id."""
    import numpy as np

    from vicinal.cli.index import as_id
    from vicinal.errors import DataError

    live = index.rows()
    found = []
    for text in numbers or []:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
        if number < 0 or number >= index.n_rows or live[min(np.searchsorted(live, number), len(live) - 1)] != number:
            name = "--positive" if option == "--positive" else "--query-row"
            hint = f"; ids such as {index.ids[0]!r} are given by {option}-id" if index.ids.given else ""
            raise DataError(f"{name}: expected a row from 0 to {index.n_rows - 1} that is there, got {text}{hint}")
        found.append(number)
    wanted = [as_id(index, one) for one in ids or []]
    return np.concatenate([np.array(found, dtype=np.int64), index.rows_of(wanted, f"{option}-id")])


def _by_distance(index: Any, arguments: argparse.Namespace, k: int) -> Any:
    queries, names, rows = _asked(index, arguments)
    found = index.search(queries, k if rows is None else k + 1, arguments.where)
    for place, name in enumerate(names):
        pairs = [
            (int(row), float(far))
            for row, far in zip(found.indices[place], found.distances[place], strict=True)
            if row >= 0 and (rows is None or row != rows[place])
        ]
        for rank, (row, far) in enumerate(pairs[:k], start=1):
            yield {"query": name, "rank": rank, "id": index.ids[row], "distance": float(f"{far:.7g}")}, row


def _by_svm(index: Any, arguments: argparse.Namespace, k: int) -> Any:
    import numpy as np

    from vicinal.errors import DataError
    from vicinal.indexes.exemplar_svm import ExemplarSVM
    from vicinal.knn.vectors import as_queries
    from vicinal.tasks.score import config

    negatives = None if arguments.negatives is None else config.whole_number(arguments.negatives, "--negatives")
    if not isinstance(index.vectors, np.ndarray):
        raise DataError(f"{arguments.index}: holds codes alone; --by svm needs an index with its vectors")
    if index.metric.kernel == "bits":
        raise DataError(f"{arguments.index}: holds packed bits; --by svm needs vectors of numbers")
    live = index.rows()
    vectors = np.asarray(index.vectors[live])
    if index.metric.nonzero:  # directions: the classifier sees rows of length 1, as the distance does
        vectors = index.metric.prepare(vectors)
    svm = ExemplarSVM(arguments.C, negatives).fit(vectors)
    rows = np.array(list(dict.fromkeys(_rows(index, arguments.positive, arguments.positive_id, "--positive").tolist())))
    if len(rows):
        names = index.ids.of(rows)
        questions: list = [(names if len(names) > 1 else names[0], np.searchsorted(live, rows))]
    else:
        queries, names, rows = _asked(index, arguments)
        queries = as_queries(queries, index.metric, index.dim)
        queries = index.metric.prepare(queries) if index.metric.nonzero else queries.astype(np.float64)
        asked = list(queries) if rows is None else list(np.searchsorted(live, rows))
        questions = list(zip(names, asked, strict=True))
    rankings = svm.rank_each([one for _, one in questions], k, arguments.include_positives)
    for (name, _), ranking in zip(questions, rankings, strict=True):
        for rank, (place, decision) in enumerate(zip(ranking.indices, ranking.decisions, strict=True), start=1):
            if place >= 0:
                row = int(live[place])
                yield {"query": name, "rank": rank, "id": index.ids[row], "decision": float(f"{decision:.7g}")}, row
