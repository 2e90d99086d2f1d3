"""Save each row's k nearest other rows, for later use.

  vicinal neighbors emb.npy -k 20 -o graph/
  vicinal neighbors emb.npy -k 20 --recall 0.99 -o graph/

The folder holds manifest.json, indices.npy (int64) and distances.npy (float32), both (n, k), nearest first.
"""

import argparse
import json
from typing import Any

from vicinal.cli import options
from vicinal.cli.console import Console

FUNCTION = "vicinal.neighbors"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal neighbors`."""
    options.add_embeddings(parser, "the embeddings, one row a sample")
    options.add_ids(parser)
    parser.add_argument("-k", "--k", metavar="K", default="5", help="how many neighbours (default 5)")
    options.add_metric(parser)
    options.add_recall(parser)
    options.add_threads(parser)
    options.add_engine(parser)
    options.add_device(parser)
    parser.add_argument("-o", "--output", metavar="FOLDER", help="the folder to write")
    parser.add_argument(
        "--add-to",
        metavar="FILE",
        help="write the data set with a column of neighbours, {ids: [row numbers], distances: [...]}, as "
        "embedding-atlas reads it",
    )
    options.add_overwrite(parser)
    options.add_on_invalid(parser, "no neighbours")
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="keep finished work there every minute and at Ctrl-C; the same command continues from it",
    )
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Search, save, print."""
    from vicinal.data.usable import note
    from vicinal.errors import UsageError
    from vicinal.knn.recall import recall_note
    from vicinal.tasks.neighbors import neighbors

    k: Any = options.number(arguments.k)  # the function refuses what is no whole number
    threads: Any = options.number(arguments.threads)
    recall: Any = options.number(arguments.recall)
    if arguments.output is None and arguments.add_to is None:
        raise UsageError("output: missing; name a folder for the neighbours (-o), or --add-to a file")
    with console.progress() as progress:
        nearest = neighbors(
            arguments.data,
            k,
            arguments.metric,
            embeddings=arguments.embeddings,
            ids=arguments.ids,
            encoding=arguments.encoding,
            on_invalid=arguments.on_invalid,
            threads=threads,
            engine=arguments.engine,
            address=arguments.address,
            device=arguments.device,
            progress=progress,
            checkpoint=arguments.checkpoint,
            recall=recall,
            output=arguments.output,
            add_to=arguments.add_to,
            overwrite=arguments.overwrite,
        )
    if arguments.json:
        print(json.dumps(nearest.summary()))
    left_out = note(nearest.unusable, nearest.skipped)
    console.note(
        f"{nearest.k} neighbours of {len(nearest):,} rows in {nearest.seconds:.1f} s: "
        f"{arguments.output or arguments.add_to}{left_out}{recall_note(nearest.recall)}"
    )
    return 0
