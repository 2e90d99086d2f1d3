"""Build an index, describe it, add and remove rows, and measure its recall and speed.

  vicinal index build emb.npy --data data.jsonl --metric cosine -o my.index
  vicinal index build emb.npy --type hnsw --set M=16 --set ef_search=100 -o graph.index
  vicinal index info my.index
  vicinal index add my.index more.npy --data more.jsonl
  vicinal index remove my.index --id 17 --id 23
  vicinal index evaluate graph.index lists.index -k 10 --sweep curve.png
  vicinal index export emb.npy --metric cosine --test 1000 -o set.hdf5

An index is a folder. Its rows have the ids of the data set (else their numbers) and its columns, which
`vicinal search` prints and filters by. Without --type the index is chosen from the size, the dimension, the
metric and the memory.
Data sets of ann-benchmarks (.hdf5) are read in the place of a .npy, and written by export.
"""

import argparse
import json
from typing import Any

from vicinal import layout
from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTIONS = {
    "build": "vicinal.index",
    "info": "vicinal.describe_index",
    "add": "vicinal.add_to_index",
    "remove": "vicinal.remove_from_index",
    "evaluate": "vicinal.evaluate",
    "export": "vicinal.export_benchmark",
}
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = options.add_actions(parser)
    _add_build(options.add_action(actions, "build", "make an index of embeddings"))
    info = options.add_action(actions, "info", "what an index holds")
    info.add_argument("folder", metavar="INDEX")
    info.add_argument("--json", action="store_true", help="the same as JSON")
    _add_changes(actions)
    _add_evaluate(options.add_action(actions, "evaluate", "recall, error, speed and size against the exact answer"))
    about = "write a data set of ann-benchmarks: rows, queries and their true neighbours"
    _add_export(options.add_action(actions, "export", about))


def _add_build(build: argparse.ArgumentParser) -> None:
    from vicinal.indexes import INDEXES

    build.add_argument("embeddings", metavar="PATH", help=f"the embeddings, one row a sample: {options.PATHS}")
    options.add_encoding(build)
    _add_data(build)
    _add_metric(build)
    build.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    options.add_overwrite(build)
    build.add_argument(
        "--type", default="auto", help=f"auto, {', '.join(kind.name for kind in INDEXES)} (default auto)"
    )
    options.add_settings(build, "a parameter of the index")
    options.add_threads(build)
    options.add_device(build)
    options.add_on_invalid(build, "left out")
    build.add_argument("--json", action="store_true", help="a summary as JSON on stdout")
    build.epilog = "parameters:\n" + "\n".join(
        f"  {kind.name:<9} {one.name:<16} {one.about}" for kind in INDEXES for one in kind.parameters
    )


def _add_changes(actions: Any) -> None:
    """Add the actions that change an index: add and remove."""
    add = options.add_action(actions, "add", "add rows")
    add.add_argument("index", metavar="INDEX")
    add.add_argument("embeddings", metavar="PATH", help="the rows to add")
    options.add_encoding(add)
    _add_data(add)
    remove = options.add_action(actions, "remove", "remove rows by id")
    remove.add_argument("index", metavar="INDEX")
    remove.add_argument("--id", dest="ids", action="append", default=[], metavar="ID", help="an id; as often as needed")
    remove.add_argument("--ids", dest="ids_file", metavar="FILE", help="a file with an id a line")
    remove.add_argument("--where", metavar="EXPR", help="all rows that a filter matches")
    for one in (add, remove):
        one.add_argument("-o", "--output", metavar="FOLDER", help="write there instead of in place")


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("indexes", metavar="INDEX", nargs="+", help="one or several, over the same rows")
    evaluate.add_argument("-k", "--k", metavar="K", default="10", help="recall of so many neighbours (default 10)")
    evaluate.add_argument("--queries", metavar="PATH", help="the queries, or a set of ann-benchmarks (default: rows)")
    options.add_encoding(evaluate)
    evaluate.add_argument("--n-queries", metavar="N", default="1000", help="how many rows to search (default 1000)")
    evaluate.add_argument("--seed", metavar="N", default=0, type=int, help="of their choice (default 0)")
    evaluate.add_argument("--sweep", metavar="PICTURE", help="draw recall against speed over the search parameter")
    options.add_overwrite(evaluate)
    options.add_threads(evaluate)
    options.add_device(evaluate)
    evaluate.add_argument("--json", action="store_true", help="one JSON object a line")


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("data", metavar="DATA", help=f"the embeddings: {options.PATHS}")
    options.add_encoding(export)
    _add_metric(export)
    export.add_argument(
        "--test", metavar="N|PATH", default="1000", help="how many rows to keep as queries, or the queries"
    )
    export.add_argument("--seed", metavar="N", default=0, type=int, help="of their choice (default 0)")
    export.add_argument("-o", "--output", metavar="HDF5", required=True, help="the file to write")
    options.add_overwrite(export)


def _add_metric(parser: argparse.ArgumentParser) -> None:
    from vicinal.knn.metrics import BY_NAME

    parser.add_argument("--metric", metavar="NAME", help=f"{', '.join(BY_NAME)} (default euclidean)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DATA", help="the data set of these rows: ids and columns")
    options.add_ids(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the action."""
    actions = {
        "build": _build,
        "info": _info,
        "add": _add,
        "remove": _remove,
        "evaluate": _evaluate,
        "export": _export,
    }
    return actions[arguments.action](arguments, console)


def _build(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.tasks.index import describe_index, index

    built = index(
        arguments.type,
        arguments.metric,
        options.number(arguments.threads),
        device=arguments.device,
        data=arguments.data,
        embeddings=arguments.embeddings,
        encoding=arguments.encoding,
        ids=arguments.ids,
        on_invalid=arguments.on_invalid,
        settings=options.settings(arguments.settings),
        output=arguments.output,
        overwrite=arguments.overwrite,
    )
    if built.reason:
        console.note(f"chose {built.reason}")
    if arguments.json:
        about = describe_index(arguments.output)
        print(json.dumps({name: value for name, value in about.items() if name not in ("columns", "engine")}))
    lost = built.n_rows - len(built)
    left_out = f"; {lost:,} rows without a usable vector were left out" if lost else ""
    console.note(f"{built.name} index of {len(built):,} rows: {arguments.output}{left_out}")
    return 0


def _info(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.tasks.index import describe_index

    about = describe_index(arguments.folder)
    if arguments.json:
        print(json.dumps(about))
        return 0
    for name, value in about.items():
        shown = ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else value
        if shown not in (None, "", 0):
            screen.show_text(f"{name:<12} {shown}")
    return 0


def _add(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.storage import locks
    from vicinal.tasks.index import add_to_index

    data, embeddings = arguments.data, arguments.embeddings
    with locks.changing(arguments.index):  # from before the rows are counted
        before = _rows_in(arguments.index)
        index = add_to_index(
            arguments.index,
            embeddings if data is None else data,
            None if data is None else embeddings,
            encoding=arguments.encoding,
            ids=arguments.ids if data is not None else None,
            output=arguments.output,
        )
    return _say(index, arguments, console, f"{len(index) - before:,} rows added")


def _remove(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.storage import locks
    from vicinal.tasks.index import remove_from_index

    with locks.changing(arguments.index):
        before = _rows_in(arguments.index)
        index = remove_from_index(
            arguments.index, arguments.ids, ids_file=arguments.ids_file, where=arguments.where, output=arguments.output
        )
    return _say(index, arguments, console, f"{before - len(index):,} rows removed")


def _rows_in(index: str) -> int:
    from vicinal.indexes import folder

    return int(folder.about(index)["rows"])


def _say(index: Any, arguments: argparse.Namespace, console: Console, what: str) -> int:
    console.note(f"{what}, {len(index):,} in all: {arguments.output or arguments.index}")
    return 0


def _evaluate(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.tasks.evaluate import evaluate

    lines = _JsonLines() if arguments.json else _Lines()
    evaluate(
        arguments.indexes,
        k=options.number(arguments.k),
        queries=arguments.queries,
        encoding=arguments.encoding,
        n_queries=options.number(arguments.n_queries),
        seed=arguments.seed,
        sweep=arguments.sweep,
        overwrite=arguments.overwrite,
        threads=options.number(arguments.threads),
        device=arguments.device,
        callback=lines.add,
    )
    if arguments.sweep is not None:
        console.note(f"recall against speed: {arguments.sweep}")
    return 0


class _JsonLines:
    """Measurements as a JSON object a line."""

    def add(self, name: str, one: Any) -> None:
        print(json.dumps({"index": name, **one.as_dict()}), flush=True)


class _Lines:
    """Measurements as lines of a table; the names give way, and in a narrow terminal each is a block."""

    def __init__(self) -> None:
        from vicinal.indexes import INDEXES

        self._searching = {kind.name: {one.name for one in kind.parameters if one.searching} for kind in INDEXES}
        self._seen, self._begun = screen.stdout(), False

    def add(self, name: str, one: Any) -> None:
        shown = " ".join(f"{key}={value}" for key, value in one.settings.items() if key in self._searching[one.type])
        record = {
            "index": f"{name:<24}",
            "setting": f"{shown:<16}",
            "recall": f"{one.recall:>7.4f}",
            "error": f"{one.distance_error:>9.2e}",
            "queries/s": f"{one.queries_per_second:>10,.0f}",
            "bytes/vector": f"{one.engine_bytes:,.0f} + {one.vector_bytes:,.0f}".rjust(18),
        }
        for line in self._lines(record):
            print(line, flush=True)

    def _lines(self, record: dict[str, str]) -> list[str]:
        begun, self._begun = self._begun, True
        sizes = [len(cell) for cell in record.values()]
        width = self._seen.width
        if width is not None and width < sum(sizes) + len(sizes) - 1:
            sizes[0] = width - sum(sizes[1:]) - len(sizes) + 1
        if sizes[0] < layout.LEAST_TEXT:
            return [*([""] if begun else []), *(f"{name:<12} {cell.strip()}" for name, cell in record.items())]
        heads = [
            name.ljust(size) if at < 2 else name.rjust(size)
            for at, (name, size) in enumerate(zip(record, sizes, strict=True))
        ]
        cells = list(record.values())
        cells[0] = layout.shortened(cells[0].rstrip(), sizes[0]).ljust(sizes[0])
        return [*([] if begun else [" ".join(heads)]), " ".join(cells)]


def _export(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.tasks.index import export_benchmark

    rows, queries = export_benchmark(
        arguments.data,
        arguments.output,
        metric=arguments.metric or "euclidean",
        test=options.number(arguments.test),
        seed=arguments.seed,
        encoding=arguments.encoding,
        overwrite=arguments.overwrite,
    )
    console.note(f"{rows:,} rows and {queries:,} queries: {arguments.output}")
    return 0
