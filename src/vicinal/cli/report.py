"""Write a kept run as one page to look at: self-contained, without a network.

The distribution of the score, a map, the most unique and the most redundant samples, the largest groups of duplicates,
what a cut would drop; a click on a point shows the sample and its neighbours.

  vicinal score data.jsonl --embeddings emb.npy --by mean,lof --run run/ -o scores.jsonl
  vicinal report run/ -o report.html
"""

import argparse
import json
import time

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal report`."""
    from vicinal.tasks.report import MAPS

    parser.add_argument("folder", metavar="RUN", help="a folder of vicinal score --run")
    parser.add_argument("-o", "--output", metavar="HTML", required=True, help="the page to write")
    parser.add_argument("--field", metavar="FIELD", action="append", help="a field to show (default: the usual ones)")
    parser.add_argument("--map", metavar="NAME", default="pca", help=f"{', '.join(MAPS)} (default pca)")
    parser.add_argument("--radius", metavar="R", default="0", help="rows so close are duplicates (default 0: copies)")
    parser.add_argument("--title", help="of the page (default: the data set's name)")
    parser.add_argument("--overwrite", action="store_true", help="replace a page that exists")
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Load, draw, write."""
    from vicinal.tasks.report import write_report

    start = time.perf_counter()
    page = write_report(
        arguments.folder,
        arguments.output,
        fields=arguments.field,
        kind=arguments.map,
        radius=arguments.radius,
        title=arguments.title,
        overwrite=arguments.overwrite,
    )
    seconds = time.perf_counter() - start
    if arguments.json:
        print(json.dumps({"n": page.n, "bytes": page.size, "seconds": round(seconds, 3), "output": str(page.path)}))
    console.note(f"{page.n:,} rows, {page.size / 1e6:.1f} MB in {seconds:.1f} s: {page.path}")
    return 0
