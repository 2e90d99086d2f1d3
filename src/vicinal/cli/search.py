"""Find the rows of an index that are nearest to a query, or that an exemplar SVM ranks highest.

  vicinal search my.index --query-row 368 -k 10
  vicinal search my.index --query-id n02129165 -k 10
  vicinal search my.index --queries q.npy -k 10 --where 'label = "noun.animal"'
  vicinal search my.index --query-text "a large wild cat" --model MODEL --fields text,label
  vicinal search my.index --by svm --positive 368 --positive 219 --C 0.1

For each row found, nearest first: query, rank, id, distance (or decision), and its columns. In a terminal that is a
table; a pipe, or --json, gets one JSON object a line.
A row of the index that is a query is left out of its own result. A filter compares columns with =, !=, <, <=, >, >=,
in, like and is null, joined by and, or, not and parentheses.
"""

import argparse
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vicinal.cli import options, screen
from vicinal.cli.console import Console
from vicinal.layout import one_line, shortened

if TYPE_CHECKING:
    from vicinal.tasks.search import Hits

FUNCTION = "vicinal.search"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal search`."""
    parser.add_argument("index", metavar="INDEX", help="a folder of `vicinal index build`")
    parser.add_argument(
        "--query-row",
        dest="query_rows",
        action="append",
        metavar="ROW",
        help="a row of the index, by its number from 0",
    )
    parser.add_argument(
        "--query-id", dest="query_ids", action="append", metavar="ID", help="a row of the index, by its id"
    )
    parser.add_argument("--queries", metavar="PATH", help=f"vectors, one a query: {options.PATHS}")
    options.add_encoding(parser)
    parser.add_argument(
        "--query-text", dest="query_texts", action="append", metavar="TEXT", help="texts, embedded by --model"
    )
    parser.add_argument("--model", metavar="MODEL", help="of sentence-transformers (default: that of the embeddings)")
    parser.add_argument("-k", "--k", metavar="K", default="10", help="how many rows (default 10)")
    parser.add_argument("--where", metavar="EXPR", help="only rows that this is true of")
    parser.add_argument("--metric", metavar="NAME", help="what the index is expected to have")
    options.add_settings(parser, "a parameter of searching, such as ef_search=100")
    parser.add_argument("--by", choices=("distance", "svm"), default="distance", help="how rows are ranked")
    parser.add_argument(
        "--positive",
        dest="positive_rows",
        action="append",
        metavar="ROW",
        help="svm: an example, by its row; or use a query",
    )
    parser.add_argument(
        "--positive-id", dest="positive_ids", action="append", metavar="ID", help="svm: an example, by its id"
    )
    parser.add_argument("--C", type=float, default=0.1, metavar="C", help="svm: the weight of errors (default 0.1)")
    parser.add_argument("--negatives", metavar="N", help="svm: so many rows stand for all others")
    parser.add_argument("--include-positives", action="store_true", help="svm: rank the examples too")
    parser.add_argument("--fields", metavar="A,B", help="the columns to print (default: all)")
    options.add_on_invalid(parser, "without hits")
    options.add_threads(parser)
    options.add_device(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="a .jsonl file instead of standard output")
    options.add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, in a terminal too")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Search and print."""
    from vicinal.data.usable import counted
    from vicinal.tasks.search import search

    def numbers(texts: list[str] | None) -> list[Any] | None:
        return None if texts is None else [options.number(text) for text in texts]

    hits = search(
        arguments.index,
        arguments.queries,
        options.number(arguments.k),
        encoding=arguments.encoding,
        query_rows=numbers(arguments.query_rows),
        query_ids=arguments.query_ids,
        query_texts=arguments.query_texts,
        model=arguments.model,
        where=arguments.where,
        metric=arguments.metric,
        by=arguments.by,
        positive_rows=numbers(arguments.positive_rows),
        positive_ids=arguments.positive_ids,
        C=arguments.C,
        negatives=options.number(arguments.negatives),
        include_positives=arguments.include_positives,
        fields=None if arguments.fields is None else [name for name in arguments.fields.split(",") if name],
        settings=options.settings(arguments.settings),
        on_invalid=arguments.on_invalid,
        threads=options.number(arguments.threads),
        device=arguments.device,
        output=arguments.output,
        overwrite=arguments.overwrite,
    )
    seen = screen.stdout()
    if arguments.output is None and seen.is_terminal and not arguments.json:
        seen.show(_tables(hits, seen))
    elif arguments.output is None:
        options.print_records(hits.records())
    if hits.unusable:
        queries = "1 query has" if len(hits.unusable) == 1 else f"{len(hits.unusable):,} queries have"
        console.note(f"{len(hits):,} hits; {queries} none, without a usable vector ({counted(hits.unusable)})")
    return 0


def _tables(hits: "Hits", seen: screen.Screen) -> Iterator[str]:
    """A table of hits for each query; of one query without its name."""
    queries = itertools.groupby(hits.records(), key=lambda record: record["query"])
    for number, (query, records) in enumerate(queries):
        if number:
            yield ""
        yield seen.bold(shortened(one_line(f"nearest to {query}"), seen.width or 80))
        yield from seen.records([{name: value for name, value in one.items() if name != "query"} for one in records])
