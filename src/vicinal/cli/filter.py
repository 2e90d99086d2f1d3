"""Write the rows of a data set whose scores and fields meet a condition.

  vicinal filter data.jsonl scores.jsonl --where 'score > 0.8' -o kept.jsonl
  vicinal filter data.jsonl --where 'stars >= 4 and label in ("a", "b")' -o kept.jsonl

The condition is as in SQL's WHERE: = != < <= > >=, and, or, not, in, like, ilike, is null, parentheses; a name that is
no plain word stands in `backticks`. A comparison with a missing value is not met.
"""

import argparse
import json

from vicinal.cli import options
from vicinal.cli.console import Console

FUNCTION = "vicinal.filter"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal filter`."""
    parser.add_argument("data", metavar="DATA", help="the data set")
    parser.add_argument("scores", metavar="SCORES", nargs="?", help="its scores, by vicinal score")
    parser.add_argument("--where", metavar="CONDITION", required=True, help="such as 'score > 0.8'")
    parser.add_argument("-o", "--output", metavar="PATH", required=True, help="the rows that meet it, as they are")
    options.add_overwrite(parser)
    options.add_on_invalid(parser, "up to the condition", default="null")
    options.add_ids(parser)
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Filter the rows; print a summary."""
    from vicinal.data.usable import counted
    from vicinal.tasks.filter import filter

    found = filter(
        arguments.data,
        arguments.where,
        arguments.scores,
        ids=arguments.ids,
        on_invalid=arguments.on_invalid,
        output=arguments.output,
        overwrite=arguments.overwrite,
    )
    summary = found.summary()
    if arguments.json:
        print(json.dumps({**summary, "output": arguments.output}))
    lacking = f"; {len(found.unusable):,} rows lack a value ({counted(found.unusable)})" if found.unusable else ""
    console.note(f"{summary['kept']:,} of {summary['n']:,} rows kept: {arguments.output}{lacking}")
    return 0
