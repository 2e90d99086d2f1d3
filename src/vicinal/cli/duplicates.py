"""Find groups of rows that lie within a radius of each other.

One line a group: its representative (the first row, or the best of a quality field), its size, the ids and row numbers
of its members, and their distances to the representative. A chain of close rows is one group.

  vicinal duplicates data.jsonl --embeddings emb.npy --radius 0.05 --metric cosine -o groups.jsonl
"""

import argparse
import json
import sys

from vicinal.cli import options
from vicinal.cli.console import Console

FUNCTION = "vicinal.duplicates"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal duplicates`."""
    parser.add_argument("data", metavar="DATA", help=f"the data set, or embeddings alone: {options.PATHS}")
    options.add_embeddings_option(parser, "one row a sample, where DATA is a data set")
    parser.add_argument(
        "--radius", metavar="R", required=True, help="rows at most so far apart are duplicates; 0 for exact copies"
    )
    options.add_metric(parser)
    parser.add_argument(
        "--quality", metavar="FIELD", help="a field of numbers: the best row of a group is its representative"
    )
    parser.add_argument("-o", "--output", metavar="PATH", help="a .jsonl or .jsonl.gz file (default: standard output)")
    options.add_overwrite(parser)
    options.add_on_invalid(parser, "in no group")
    options.add_ids(parser)
    options.add_threads(parser)
    parser.add_argument("--json", action="store_true", help="a summary as JSON: on stdout, or stderr without an output")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Find the duplicates; print the groups and a summary."""
    from vicinal.data import tables
    from vicinal.tasks.duplicates import duplicates

    with console.progress() as progress:
        found = duplicates(
            arguments.data,
            options.number(arguments.radius),
            arguments.embeddings,
            encoding=arguments.encoding,
            metric=arguments.metric,
            quality=arguments.quality,
            ids=arguments.ids,
            on_invalid=arguments.on_invalid,
            threads=options.number(arguments.threads),
            progress=progress,
            output=arguments.output,
            overwrite=arguments.overwrite,
        )
    if arguments.output is None:
        lines = tables.JsonLines(sys.stdout.buffer)
        for record in found.groups:
            lines.add(record)
        sys.stdout.buffer.flush()
    summary = found.summary()
    if arguments.json:
        print(json.dumps(summary), file=sys.stderr if arguments.output is None else sys.stdout)
    console.note(
        f"{summary['groups']:,} groups of {summary['rows']:,} rows; {summary['removable']:,} could go "
        f"({found.seconds:.1f} s)"
    )
    return 0
