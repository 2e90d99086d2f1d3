"""Find groups of rows that lie within a radius of each other.

One line a group: its representative (the first row, or the best of a quality field), its size, the ids and row numbers
of its members, and their distances to the representative. A chain of close rows is one group.

  vicinal duplicates data.jsonl --embeddings emb.npy --radius 0.05 --metric cosine -o groups.jsonl
"""

import argparse
import json
import sys
import time

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal duplicates`."""
    from vicinal.knn.metrics import BY_NAME
    from vicinal.knn.vectors import ON_INVALID

    parser.add_argument("data", metavar="DATA", help="the data set")
    parser.add_argument("--embeddings", metavar="NPY", required=True, help="one row a sample")
    parser.add_argument(
        "--radius", metavar="R", required=True, help="rows at most so far apart are duplicates; 0 for exact copies"
    )
    parser.add_argument(
        "--metric", metavar="NAME", default="euclidean", help=f"{', '.join(BY_NAME)} (default euclidean)"
    )
    parser.add_argument("--quality", metavar="FIELD", help="a field of numbers: its best row stands for the group")
    parser.add_argument("-o", "--output", metavar="PATH", help="a .jsonl or .jsonl.gz file (default: standard output)")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    parser.add_argument(
        "--on-invalid",
        choices=ON_INVALID,
        default="error",
        help="rows with NaN, infinity or, under cosine, only zeros: an error, or in no group (default error)",
    )
    parser.add_argument("--id-field", metavar="FIELD", default="id", help="the data set's field of ids (default id)")
    parser.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    parser.add_argument("--json", action="store_true", help="a summary as JSON: on stdout, or stderr without an output")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Look, search, group."""
    from vicinal.data import tables
    from vicinal.tasks import select
    from vicinal.tasks.score import config

    start = time.perf_counter()
    with console.progress() as progress:
        groups = select.find_duplicates(
            config.input_file(arguments.data, "DATA"),
            config.input_file(arguments.embeddings, "--embeddings"),
            arguments.radius,
            metric=arguments.metric,
            quality=arguments.quality,
            output=arguments.output,
            on_invalid=arguments.on_invalid,
            id_field=arguments.id_field,
            threads=config.threads(arguments.threads),
            overwrite=arguments.overwrite,
            progress=progress,
        )
    if arguments.output is None:
        lines = tables.JsonLines(sys.stdout.buffer)
        for record in groups:
            lines.add(record)
        sys.stdout.buffer.flush()
    rows = sum(record["size"] for record in groups)
    seconds = round(time.perf_counter() - start, 3)
    if arguments.json:
        told = {"groups": len(groups), "rows": rows, "removable": rows - len(groups), "seconds": seconds}
        print(json.dumps(told), file=sys.stderr if arguments.output is None else sys.stdout)
    console.note(f"{len(groups):,} groups of {rows:,} rows; {rows - len(groups):,} could go ({seconds:.1f} s)")
    return 0
