"""Write a kept run as one self-contained HTML page.

A map, a filter for every score and field, all rows as a table, each sample whole with its neighbours, groups of
duplicates side by side, outliers, what a cut would drop; with --labels also likely label errors and boundary pairs.
What is selected leaves the page as ids, rows, or the command that gives the same rows.

  vicinal score data.jsonl --embeddings emb.npy --by mean,lof --run run/ -o scores.jsonl
  vicinal report run/ -o report.html
"""

import argparse
import json
from typing import Any

from vicinal.cli import options
from vicinal.cli.console import Console

FUNCTION = "vicinal.report"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal report`."""
    from vicinal.tasks.page.maps import MAPS

    parser.add_argument("scores", metavar="RUN", help="a folder of vicinal score --run")
    parser.add_argument("-o", "--output", metavar="HTML", required=True, help="the page to write")
    parser.add_argument(
        "--field", dest="fields", metavar="FIELD", action="append", help="a field to show (default: all but embeddings)"
    )
    parser.add_argument("--map", metavar="NAME", default="pca", help=f"{', '.join(MAPS)} (default pca)")
    parser.add_argument("--radius", metavar="R", default="0", help="rows so near are duplicates (default 0)")
    parser.add_argument("--labels", metavar="FIELD", help="labels: show likely label errors, boundary pairs, figures")
    parser.add_argument("--title", help="of the page (default: the data set's name)")
    options.add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Draw, write, print."""
    from vicinal.tasks.report import report

    radius: Any = options.number(arguments.radius)  # the function refuses what is no number
    with console.progress() as progress:
        page = report(
            arguments.scores,
            arguments.output,
            fields=arguments.fields,
            map=arguments.map,
            radius=radius,
            labels=arguments.labels,
            title=arguments.title,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    if arguments.json:
        print(json.dumps(page.summary()))
    console.note(f"{page.n:,} rows, {page.size / 1e6:.1f} MB in {page.seconds:.1f} s: {page.path}")
    return 0
