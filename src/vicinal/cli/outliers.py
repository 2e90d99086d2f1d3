"""Score how far each row stands from the others, and say which are outliers.

  vicinal outliers emb.npy -k 20 -o outliers.jsonl
  vicinal outliers emb.npy --by distance --contamination 0.01 -o outliers.jsonl

--by lof: the local outlier factor (Breunig et al. 2000), near 1 inside a cluster however thin it is; rows above 1.5 are
outliers. --by distance: the distance to the k-th neighbour, in the metric's unit; rows above the upper quartile and
1.5 interquartile ranges are outliers. --contamination says instead which share of the rows are.
Each record: id, score, outlier (1 or 0).
"""

import argparse
import json
import sys
import time

from vicinal.cli import training
from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal outliers`."""
    from vicinal.tasks.predict import OUTLIER_SCORES

    training.add_rows(parser, "the embeddings, one row a sample")
    parser.add_argument("-k", "--k", metavar="K", default="20", help="how many neighbours (default 20)")
    parser.add_argument("--by", choices=tuple(OUTLIER_SCORES), default="lof", help="the score (default lof)")
    parser.add_argument("--contamination", metavar="SHARE", default="auto", help="the share of outliers (default auto)")
    training.add_predictions(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Look, search, score, write."""
    from vicinal.errors import UsageError
    from vicinal.tasks import predict
    from vicinal.tasks.score import config

    index = training.index_of(arguments)
    k = config.whole_number(arguments.k, "-k")
    contamination = None
    if arguments.contamination != "auto":
        contamination = training.share(arguments.contamination, "--contamination")
        predict.check_contamination(contamination)
    if index.metric.product:
        raise UsageError(
            f"--metric: {index.metric.name} is no distance, and outliers need one; use cosine or euclidean"
        )
    stored = training.vectors(arguments.embeddings, "NPY", index, at_least=3)
    ids = training.ids_of(arguments, len(stored), arguments.embeddings)
    training.check_output(arguments, ids)
    start = time.perf_counter()
    with console.progress() as progress:
        index.fit(stored, invalid={})
        found = index.neighbors(k, progress=progress and progress(f"{index.metric.name} neighbours"))
    scores, flags, limit = predict.outliers(found, arguments.by, contamination)
    records = (
        {"id": one, "score": float(score), "outlier": int(flag)}
        for one, score, flag in zip(ids, scores, flags, strict=True)
    )
    training.write(arguments, records, {"score": "double", "outlier": "int64"})
    if arguments.json:
        summary = {"n": len(ids), "k": found.k, "by": arguments.by, "limit": limit, "outliers": int(flags.sum())}
        print(json.dumps(summary), file=sys.stderr if arguments.output is None else None)
    console.note(
        f"{int(flags.sum()):,} of {len(ids):,} rows are outliers ({arguments.by} above {limit:.6g}, k = {found.k}), in "
        f"{time.perf_counter() - start:.1f} s"
    )
    return 0
