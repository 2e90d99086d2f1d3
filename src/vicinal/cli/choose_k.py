"""Choose k: the leave-one-out score of every number of neighbours, from one pass.

  vicinal choose-k train.npy --labels train.jsonl:label --picture curve.svg
  vicinal choose-k train.npy --targets train.jsonl:price --max-k 100 --json

The score is the accuracy for labels and R2 for values, each row predicted from its nearest others. n / k is the
model's complexity: about the number of separate neighbourhoods.
"""

import argparse
import json

from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.choose_k"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal choose-k`."""
    from vicinal.analysis.votes import WEIGHTS
    from vicinal.tasks.predict.choose_k import MAX_K

    options.add_embeddings(parser, "the embeddings of the rows whose labels or values are known")
    known = parser.add_mutually_exclusive_group(required=True)
    known.add_argument("--labels", metavar="FILE[:FIELD]", help="their labels (default field: label)")
    known.add_argument("--targets", metavar="FILE[:FIELD]", help="or their values (default field: target)")
    parser.add_argument("--max-k", metavar="K", default=str(MAX_K), help=f"the largest k (default {MAX_K})")
    parser.add_argument("--weights", choices=(*WEIGHTS, "both"), default="both", help="which votes (default both)")
    parser.add_argument("--picture", metavar="FILE", help="the curve as .svg, .png or .pdf (needs matplotlib)")
    options.add_metric(parser, mahalanobis=True, default=None)
    options.add_neighbors(parser)
    options.add_on_invalid(parser, "left out")
    options.add_threads(parser)
    options.add_device(parser)
    options.add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="the scores as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Score every k and print the curve."""
    from vicinal.data.usable import note
    from vicinal.knn.recall import recall_note
    from vicinal.tasks.predict.choose_k import choose_k

    with console.progress() as progress:
        curve = choose_k(
            arguments.data,
            arguments.labels,
            arguments.targets,
            embeddings=arguments.embeddings,
            encoding=arguments.encoding,
            max_k=options.number(arguments.max_k),
            weights=arguments.weights,
            metric=arguments.metric,
            matrix=arguments.matrix,
            neighbors=arguments.neighbors,
            on_invalid=arguments.on_invalid,
            threads=options.number(arguments.threads),
            device=arguments.device,
            picture=arguments.picture,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    screen.show_text(json.dumps(curve.summary()) if arguments.json else curve.table(), arguments.json)
    k, weights = curve.best
    console.note(
        f"best: k = {k}, {weights} weights, leave-one-out {curve.score} {curve.best_score:.4f}; {curve.n:,} rows in "
        f"{curve.seconds:.1f} s{note(curve.unusable, skip=True)}{recall_note(curve.recall)}"
    )
    return 0
