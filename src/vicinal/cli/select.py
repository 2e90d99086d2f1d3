"""Choose exactly so many rows of a data set, and say why of each.

The chosen lines are copied byte for byte; beside them a decision for every row: kept or dropped, by which rule, because
of which row.

  vicinal select data.jsonl scores.jsonl --keep 10000 -o chosen.jsonl
  vicinal select data.jsonl scores.jsonl --keep 10% --strategy middle --quality rating --quota source -o chosen.jsonl
  vicinal select data.jsonl --keep 10% --strategy k-center --embeddings emb.npy --dedup 0.05 --metric cosine -o c.jsonl
"""

import argparse
import json
import time
from pathlib import Path

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal select`."""
    from vicinal.knn.metrics import BY_NAME
    from vicinal.tasks.select import STRATEGIES

    parser.add_argument("data", metavar="DATA", help="the data set")
    parser.add_argument("scores", metavar="SCORES", nargs="?", help="its scores, by vicinal score")
    parser.add_argument("--keep", metavar="N", required=True, help="how many rows: a number, or a share as 10%%")
    told = "; ".join(f"{strategy.name}: {strategy.does}" for strategy in STRATEGIES)
    parser.add_argument("--strategy", metavar="NAME", default="highest", help=f"{told} (default highest)")
    parser.add_argument("--by", metavar="NAME", help="which score, where the file has several")
    parser.add_argument("--embeddings", metavar="NPY", help="one row a sample, for k-center, facility and --dedup")
    parser.add_argument("--neighbors", metavar="FOLDER", help="a graph saved by `vicinal neighbors`, for facility")
    parser.add_argument("-k", "--k", metavar="K", default="10", help="how many neighbours facility sees (default 10)")
    parser.add_argument(
        "--metric", metavar="NAME", default="euclidean", help=f"{', '.join(BY_NAME)} (default euclidean)"
    )
    parser.add_argument("--quality", metavar="FIELD", help="a field of numbers, high is good: prefer such rows")
    parser.add_argument("--dedup", metavar="RADIUS", help="first keep one row of each group so close together")
    parser.add_argument("--quota", metavar="FIELD", help="each value of this field keeps its share")
    parser.add_argument("-o", "--output", metavar="PATH", required=True, help="the chosen rows, of the data set's kind")
    parser.add_argument("--decisions", metavar="PATH", help="the decisions (default: OUTPUT.decisions.jsonl)")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--id-field", metavar="FIELD", default="id", help="the data set's field of ids (default id)")
    parser.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read, choose, copy."""
    from vicinal.tasks import select
    from vicinal.tasks.score import config

    def given(value: str | None, place: str) -> Path | None:
        return None if value is None else config.input_file(value, place)

    start = time.perf_counter()
    with console.progress() as progress:
        done = select.select_rows(
            config.input_file(arguments.data, "DATA"),
            given(arguments.scores, "SCORES"),
            arguments.output,
            keep=arguments.keep,
            strategy=arguments.strategy,
            decisions=arguments.decisions,
            by=arguments.by,
            embeddings=given(arguments.embeddings, "--embeddings"),
            neighbors=arguments.neighbors,
            k=config.whole_number(arguments.k, "-k"),
            metric=arguments.metric,
            quality=arguments.quality,
            dedup=arguments.dedup,
            quota=arguments.quota,
            id_field=arguments.id_field,
            threads=config.threads(arguments.threads),
            overwrite=arguments.overwrite,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    n, kept = len(done.decisions), len(done.rows)
    if arguments.json:
        summary = {"n": n, "kept": kept, "strategy": arguments.strategy, "seconds": round(seconds, 3)}
        print(json.dumps({**summary, "output": arguments.output}))
    console.note(f"{kept:,} of {n:,} rows kept in {seconds:.1f} s: {arguments.output}")
    return 0
