"""Build an index, look at it, add and remove rows, and measure how good it is.

  vicinal index build emb.npy --data data.jsonl --metric cosine -o my.index
  vicinal index build emb.npy --type hnsw --set M=16 --set ef_search=100 -o graph.index
  vicinal index info my.index
  vicinal index add my.index more.npy --data more.jsonl
  vicinal index remove my.index --id 17 --id 23
  vicinal index evaluate graph.index lists.index -k 10 --sweep curve.png
  vicinal index export emb.npy --metric cosine --test 1000 -o set.hdf5

An index is a folder. Its rows carry the ids of the data set (else their numbers) and its columns, by which
`vicinal search` filters, and which it prints. Without --type the index is chosen from the size, the dimension, the
metric and the memory.
Data sets of ann-benchmarks (.hdf5) are read in the place of a .npy, and written by export.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of each of its actions."""
    from vicinal.indexes import INDEXES
    from vicinal.knn.metrics import BY_NAME
    from vicinal.knn.vectors import ON_INVALID

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")

    def action(name: str, about: str) -> argparse.ArgumentParser:
        one = actions.add_parser(
            name,
            help=about,
            description=about,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        loudness = one.add_mutually_exclusive_group()
        for short, long, what in (("-v", "--verbose", "say more"), ("-q", "--quiet", "say nothing but errors")):
            loudness.add_argument(short, long, action="store_true", default=argparse.SUPPRESS, help=what)
        return one

    def metric(one: argparse.ArgumentParser) -> None:
        one.add_argument("--metric", metavar="NAME", help=f"{', '.join(BY_NAME)} (default euclidean)")

    def data(one: argparse.ArgumentParser) -> None:
        one.add_argument("--data", metavar="DATA", help="the data set of these rows: ids and columns")
        one.add_argument("--id-field", metavar="FIELD", default="id", help="its field of ids (default id)")

    build = action("build", "make an index of embeddings")
    build.add_argument("embeddings", metavar="NPY", help="the embeddings, one row a sample; or a set of ann-benchmarks")
    data(build)
    metric(build)
    build.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    build.add_argument("--overwrite", action="store_true", help="replace an index that exists")
    build.add_argument(
        "--type", default="auto", help=f"auto, {', '.join(kind.name for kind in INDEXES)} (default auto)"
    )
    build.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the index")
    build.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    build.add_argument("--on-invalid", choices=ON_INVALID, default="error", help="rows that no distance is defined for")
    build.add_argument("--json", action="store_true", help="a summary as JSON on stdout")
    build.epilog = "parameters:\n" + "\n".join(
        f"  {kind.name:<9} {one.name:<16} {one.about}" for kind in INDEXES for one in kind.parameters
    )

    info = action("info", "what an index holds")
    info.add_argument("index", metavar="INDEX")
    info.add_argument("--json", action="store_true", help="the same as JSON")

    add = action("add", "add rows")
    add.add_argument("index", metavar="INDEX")
    add.add_argument("embeddings", metavar="NPY", help="the rows to add")
    data(add)
    add.add_argument("-o", "--output", metavar="FOLDER", help="write there instead of in place")

    remove = action("remove", "remove rows by id")
    remove.add_argument("index", metavar="INDEX")
    remove.add_argument("--id", action="append", default=[], metavar="ID", help="an id; as often as needed")
    remove.add_argument("--ids", metavar="FILE", help="a file with an id a line")
    remove.add_argument("--where", metavar="EXPR", help="all rows that a filter matches")
    remove.add_argument("-o", "--output", metavar="FOLDER", help="write there instead of in place")

    evaluate = action("evaluate", "recall, error, speed and size against the exact answer")
    evaluate.add_argument("indexes", metavar="INDEX", nargs="+", help="one or several, over the same rows")
    evaluate.add_argument("-k", "--k", metavar="K", default="10", help="recall of so many neighbours (default 10)")
    evaluate.add_argument("--queries", metavar="NPY", help="the queries, or a set of ann-benchmarks (default: rows)")
    evaluate.add_argument("--n-queries", metavar="N", default="1000", help="how many rows to ask (default 1000)")
    evaluate.add_argument("--seed", metavar="N", default=0, type=int, help="of their choice (default 0)")
    evaluate.add_argument("--sweep", metavar="PICTURE", help="draw recall against speed over the search parameter")
    evaluate.add_argument("--overwrite", action="store_true", help="replace a picture that exists")
    evaluate.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    evaluate.add_argument("--json", action="store_true", help="one JSON object a line")

    export = action("export", "write a data set of ann-benchmarks: rows, queries and their true neighbours")
    export.add_argument("embeddings", metavar="NPY", help="the embeddings")
    metric(export)
    export.add_argument(
        "--test", metavar="N|NPY", default="1000", help="how many rows to keep as queries, or the queries"
    )
    export.add_argument("--seed", metavar="N", default=0, type=int, help="of their choice (default 0)")
    export.add_argument("-o", "--output", metavar="HDF5", required=True, help="the file to write")
    export.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """The action that was asked for."""
    actions = {
        "build": _build,
        "info": _info,
        "add": _add,
        "remove": _remove,
        "evaluate": _evaluate,
        "export": _export,
    }
    return actions[arguments.action](arguments, console)


def parameters(settings: list[str]) -> dict[str, Any]:
    """NAME=VALUE as an index takes it: a whole number, true or false, none, or a word."""
    from vicinal.errors import UsageError

    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name or not text:
            raise UsageError(f"--set: expected NAME=VALUE such as ef_search=100, got {setting!r}")
        words = {"true": True, "false": False, "none": None}
        digits = text.removeprefix("-")
        whole = digits.isascii() and digits.isdigit() and len(digits) < 20
        found[name] = int(text) if whole else words.get(text.lower(), text)
    return found


def read_rows(path: str, field: str, n: int) -> tuple[list | None, list[dict]]:
    """The ids and the rows of a data set, whose number is that of the vectors."""
    import warnings

    from vicinal.data import tables
    from vicinal.errors import DataError

    ids, warned = tables.read_ids(path, field)
    rows = [row for _, row in tables.read_rows(path)]
    if len(rows) != n:
        raise DataError(f"{path}: found {len(rows)} rows, expected {n}, one a vector")
    for text in warned:
        if "more than once" in text:
            raise DataError(f"{text}; ids of an index must differ: name another field with --id-field")
        warnings.warn(text, stacklevel=2)
    return (None if ids == list(range(n)) else ids), [
        {name: value for name, value in row.items() if name != field} for row in rows
    ]


def _vectors(path: str, place: str) -> tuple[Any, str | None]:
    """The array of a file, and the metric that it asks for."""
    from vicinal.indexes import annbenchmarks
    from vicinal.storage import npy
    from vicinal.tasks.score import config

    file = config.input_file(path, place)
    if annbenchmarks.is_hdf5(file):
        read = annbenchmarks.read(file)
        return read.train, read.metric
    return npy.load_npy(file), None


def _build(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.data import provenance
    from vicinal.errors import UsageError
    from vicinal.indexes.choose import index as make
    from vicinal.indexes.folder import about
    from vicinal.knn.vectors import as_vectors
    from vicinal.storage import atomic
    from vicinal.tasks.score import config

    settings = parameters(arguments.set)
    threads = config.threads(arguments.threads)
    atomic.check_folder(arguments.output, arguments.overwrite)
    vectors, theirs = _vectors(arguments.embeddings, "NPY")
    metric = arguments.metric or theirs or "euclidean"
    if theirs is not None and metric != theirs:
        raise UsageError(f"--metric: {arguments.embeddings} is of {theirs}, got {metric}")
    index = make(arguments.type, metric, threads, **settings)
    vectors = as_vectors(vectors, arguments.embeddings)
    ids = payload = None
    if arguments.data is not None:
        data = str(config.input_file(arguments.data, "--data"))
        ids, payload = read_rows(data, arguments.id_field, len(vectors))
        provenance.verify(arguments.embeddings, data, list(range(len(vectors))) if ids is None else ids)
    index = index.fit(vectors, arguments.on_invalid, ids=ids, payload=payload)
    note = provenance.read_note(arguments.embeddings)
    index.embedding = None if note is None else {name: note.get(name) for name in ("model", "normalized")}
    index.save(arguments.output, arguments.overwrite)
    if index.reason:
        console.note(f"chose {index.reason}")
    if arguments.json:
        print(json.dumps(about(arguments.output)))
    console.note(f"{index.name} index of {len(index):,} rows: {arguments.output}")
    return 0


def _info(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.indexes import load_index
    from vicinal.indexes.folder import about

    facts = about(arguments.index)
    index = load_index(arguments.index)  # every checksum is verified
    facts["columns"] = {} if index.payload is None else {one.name: str(one.type) for one in index.payload.schema}
    facts["engine"] = index.engine if len(index) else "none"
    if arguments.json:
        print(json.dumps(facts))
        return 0
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {one}" for key, one in value.items())
        if value not in (None, "", 0):
            print(f"{name:<12} {value}")
    return 0


def _add(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.indexes import load_index
    from vicinal.storage import npy
    from vicinal.tasks.score import config

    index = load_index(arguments.index)
    vectors = npy.load_npy(config.input_file(arguments.embeddings, "NPY"))
    ids = payload = None
    if arguments.data is not None:
        data = str(config.input_file(arguments.data, "--data"))
        ids, payload = read_rows(data, arguments.id_field, len(vectors))
    index.add(vectors, ids, payload)
    return _changed(index, arguments, console, f"{len(vectors):,} rows added")


def _remove(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.errors import UsageError
    from vicinal.indexes import load_index

    index = load_index(arguments.index)
    wanted = [as_id(index, one) for one in arguments.id]
    if arguments.ids is not None:
        try:
            lines = Path(arguments.ids).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--ids: {arguments.ids}: cannot be read: {error}") from None
        wanted += [as_id(index, line.removesuffix("\r")) for line in lines if line.strip()]
    if arguments.where is not None:
        wanted += index.ids.of(index.rows(arguments.where))
    if not wanted:
        found = "matches no row" if arguments.where is not None else "is missing"
        raise UsageError(f"remove: expected ids: --id, --ids or --where {found}")
    before = len(index)
    index.remove(list(dict.fromkeys(wanted)))
    return _changed(index, arguments, console, f"{before - len(index):,} rows removed")


def as_id(index: Any, text: str) -> int | str:
    """An id as it was written: the string, or the whole number where no row has the string."""
    digits = text.removeprefix("-")
    whole = digits.isascii() and digits.isdigit() and len(digits) < 4000
    return int(text) if whole and index.ids.find(text) is None else text


def _changed(index: Any, arguments: argparse.Namespace, console: Console, what: str) -> int:
    target = arguments.output or arguments.index
    index.save(target, overwrite=arguments.output is None)
    console.note(f"{what}, {len(index):,} in all: {target}")
    return 0


def _evaluate(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.indexes import load_index
    from vicinal.indexes.evaluation import evaluate, sweep
    from vicinal.tasks import pictures
    from vicinal.tasks.score import config

    k = config.whole_number(arguments.k, "-k")
    n_queries = config.whole_number(arguments.n_queries, "--n-queries")
    threads = config.threads(arguments.threads)
    if arguments.sweep is not None:
        pictures.check(arguments.sweep, arguments.overwrite)
    indexes = {folder: load_index(folder, threads) for folder in arguments.indexes}
    asked = _questions(indexes, arguments, k, n_queries)
    curves: list[tuple[str, list[Any]]] = []
    for folder, index in indexes.items():
        steps = []
        for one in sweep(index, asked) if arguments.sweep is not None else [evaluate(index, asked)]:
            steps.append(one)
            searching = {kind.name for kind in index.parameters if kind.searching}
            shown = " ".join(f"{name}={value}" for name, value in one.settings.items() if name in searching)
            if not arguments.json and not curves and len(steps) == 1:
                print(
                    f"{'index':<24} {'setting':<16} {'recall':>7} {'error':>9} {'queries/s':>10} {'bytes/vector':>18}"
                )
            if arguments.json:
                print(json.dumps({"index": folder, **one.as_dict()}), flush=True)
            else:
                size = f"{one.engine_bytes:,.0f} + {one.vector_bytes:,.0f}"
                print(
                    f"{folder:<24} {shown:<16} {one.recall:>7.4f} {one.distance_error:>9.2e} "
                    f"{one.queries_per_second:>10,.0f} {size:>18}",
                    flush=True,
                )
        curves.append((Path(folder).name, steps))
    if arguments.sweep is not None:
        figure = pictures.recall_and_speed([(n, [(s.recall, s.queries_per_second) for s in c]) for n, c in curves], k)
        pictures.save(figure, arguments.sweep, arguments.overwrite)
        console.note(f"recall against speed: {arguments.sweep}")
    return 0


def _questions(indexes: dict[str, Any], arguments: argparse.Namespace, k: int, n_queries: int) -> Any:
    """The questions that are put to every index, and their truth.

    Raises   DataError where the indexes are not over the same rows, or none of them has vectors
    """
    import numpy as np

    from vicinal.errors import DataError
    from vicinal.indexes import annbenchmarks
    from vicinal.indexes.evaluation import Questions, questions
    from vicinal.storage import npy
    from vicinal.tasks.score import config

    first, one = next(iter(indexes.items()))
    for folder, index in indexes.items():
        shown = [f"{one.metric.name}, {len(one)} rows of dim {one.dim}" for one in (one, index)]
        if shown[0] != shown[1] or not np.array_equal(one.rows(), index.rows()):
            raise DataError(f"{folder} is of {shown[1]}, {first} of {shown[0]}: expected indexes over the same rows")
    if arguments.queries is not None and annbenchmarks.is_hdf5(arguments.queries):
        read = annbenchmarks.read(config.input_file(arguments.queries, "--queries"))
        if read.metric != one.metric.name or len(read.train) != len(one) or read.distances.shape[1] < k:
            raise DataError(
                f"{arguments.queries}: found {read.metric}, {len(read.train)} rows, {read.distances.shape[1]} "
                f"neighbours; {first} is of {one.metric.name}, {len(one)} rows, and k is {k}"
            )
        return Questions(read.test, None, read.distances[:, :k], read.train)
    whole = {folder: index for folder, index in indexes.items() if isinstance(index.vectors, np.ndarray)}
    if not whole:
        raise DataError(
            f"{first}: holds codes alone, so that there is no truth to compare with; name an index with vectors of the "
            "same rows beside it, or a set of ann-benchmarks by --queries"
        )
    given = None if arguments.queries is None else npy.load_npy(config.input_file(arguments.queries, "--queries"))
    source, one = next(iter(whole.items()))
    asked = questions(one, k, given, n_queries, arguments.seed)
    for folder, index in whole.items():
        if asked.rows is not None:
            there = np.asarray(index.vectors[asked.rows], dtype=np.float64)
            off = np.abs(there - asked.queries).max()
            if off > 1e-2 * np.abs(there).max():
                raise DataError(f"{folder} and {source} hold other vectors: expected indexes over the same rows")
    return asked


def _export(arguments: argparse.Namespace, console: Console) -> int:
    import numpy as np

    from vicinal.errors import UsageError
    from vicinal.indexes import annbenchmarks
    from vicinal.knn.metrics import find
    from vicinal.storage import atomic, npy
    from vicinal.tasks.score import config

    metric = find(arguments.metric or "euclidean").name
    annbenchmarks.check_metric(metric)
    atomic.check_file(arguments.output, arguments.overwrite)
    train = npy.load_npy(config.input_file(arguments.embeddings, "NPY"))
    if arguments.test.isdigit():
        n = config.whole_number(arguments.test, "--test")
        if n >= len(train):
            raise UsageError(f"--test: expected fewer than the {len(train)} rows, got {n}")
        chosen = np.zeros(len(train), dtype=bool)
        chosen[np.random.default_rng(arguments.seed).choice(len(train), n, replace=False)] = True
        train, test = train[~chosen], train[chosen]
    else:
        test = npy.load_npy(config.input_file(arguments.test, "--test"))
    annbenchmarks.write(arguments.output, train, test, metric, arguments.overwrite)
    console.note(f"{len(train):,} rows and {len(test):,} queries: {arguments.output}")
    return 0
