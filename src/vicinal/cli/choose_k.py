"""Choose k: the leave-one-out score of every number of neighbours, from one pass.

  vicinal choose-k train.npy --labels train.jsonl:label --picture curve.svg
  vicinal choose-k train.npy --targets train.jsonl:price --max-k 100 --json

The score is the accuracy for labels and R2 for values, each row predicted from its nearest others. n / k is the
model's complexity: about how many separate neighbourhoods it has.
"""

import argparse
import json
import time
from typing import TYPE_CHECKING

from vicinal.cli import training
from vicinal.cli.console import Console

if TYPE_CHECKING:
    import numpy as np


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal choose-k`."""
    from vicinal.analysis.votes import WEIGHTS

    training.add_rows(parser, "the embeddings of the rows whose labels or values are known")
    known = parser.add_mutually_exclusive_group(required=True)
    known.add_argument("--labels", metavar="FILE[:FIELD]", help="their labels (default field: label)")
    known.add_argument("--targets", metavar="FILE[:FIELD]", help="or their values (default field: target)")
    parser.add_argument(
        "--max-k", metavar="K", default=training.MAX_K, help=f"the largest k (default {training.MAX_K})"
    )
    parser.add_argument("--weights", choices=(*WEIGHTS, "both"), default="both", help="which votes (default both)")
    parser.add_argument("--picture", metavar="FILE", help="the curve as .svg, .png or .pdf (needs matplotlib)")
    parser.add_argument("--overwrite", action="store_true", help="replace a picture that exists")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Look, search, score every k, print."""
    from vicinal.analysis.votes import WEIGHTS
    from vicinal.data import labels
    from vicinal.tasks import pictures, predict
    from vicinal.tasks.score import config

    index = training.index_of(arguments)
    most = config.whole_number(arguments.max_k, "--max-k")
    if arguments.picture is not None:
        pictures.check(arguments.picture, arguments.overwrite)
    stored = training.vectors(arguments.embeddings, "NPY", index, at_least=2)
    known: labels.Labels | np.ndarray
    if arguments.labels is not None:
        known = training.labels_of(arguments, len(stored))
    else:
        known = training.targets_of(arguments, len(stored))[1]
    start = time.perf_counter()
    weightings = WEIGHTS if arguments.weights == "both" else (arguments.weights,)
    with console.progress() as progress:
        index.fit(stored, invalid={})
        tell = progress and progress(f"{index.metric.name} neighbours")
        curve = predict.leave_one_out(index, known, most, weightings, tell)
    k, weights = curve.best
    if isinstance(known, labels.Labels):
        predict.warn_of_small_classes(known, k, weights)
    if arguments.picture is not None:
        pictures.save(pictures.curve_of_k(curve, len(stored)), arguments.picture, arguments.overwrite)
    if arguments.json:
        scores = {name: [round(float(one), 6) for one in values] for name, values in curve.scores.items()}
        summary = {"n": len(stored), "metric": index.metric.name, "score": curve.score, "best_k": k}
        print(json.dumps({**summary, "best_weights": weights, "ks": curve.ks, "scores": scores}))
    else:
        print("\n".join(predict.table(curve, len(stored))))
    console.note(
        f"best: k = {k}, {weights} weights, leave-one-out {curve.score} {curve.scores[weights][k - 1]:.4f}; "
        f"{len(stored):,} rows in {time.perf_counter() - start:.1f} s"
    )
    return 0
