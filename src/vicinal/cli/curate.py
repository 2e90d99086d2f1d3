r"""Say which rows two experts should label next, and when a model agrees with them as they agree with each other.

  vicinal curate data.jsonl --embeddings emb.npy --labels model_label --state rounds/ -o to_label.jsonl
  vicinal curate data.jsonl --embeddings emb.npy --labels model.jsonl:label --state rounds/ \
    --experts one.jsonl:label two.jsonl:label -o next.jsonl --train train.jsonl

Each call is a round. The rows of each label are clustered; where clusters of different labels overlap, near pairs are
asked, half for training, half for evaluation. From the second call on, --experts has the labels of all rows asked so
far. The kappa of the model with the experts is compared with their own; it stops when that is reached, or no longer
rises. --state keeps what was asked, so that an interrupted call can be made again.
"""

import argparse
import json

from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.curate"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal curate`."""
    parser.add_argument("data", metavar="DATA", help=f"the embeddings: {options.PATHS}; or their data set")
    options.add_embeddings_option(parser)
    parser.add_argument(
        "--labels", metavar="FIELD", required=True, help="the model's present labels: FIELD or FILE:FIELD"
    )
    parser.add_argument("--state", metavar="FOLDER", required=True, help="keeps what was asked and measured")
    parser.add_argument("--experts", metavar="FILE:FIELD", nargs=2, help="two experts' labels of the rows asked so far")
    parser.add_argument("--count", metavar="N", default="50", help="pairs a round (default 50)")
    parser.add_argument(
        "--evaluation", metavar="SHARE", default="0.5", help="of the pairs, for evaluation (default 0.5)"
    )
    parser.add_argument("-k", "--k", metavar="K", default="20", help="neighbours that are looked at (default 20)")
    options.add_recall(parser)
    options.add_neighbors(parser)
    parser.add_argument("--clusters", metavar="N", default="10", help="clusters of a label (default 10)")
    parser.add_argument("--metric", metavar="NAME", help="default that of --neighbors, else cosine")
    parser.add_argument(
        "--tolerance", metavar="X", default="0.01", help="what counts as a rise of kappa (default 0.01)"
    )
    parser.add_argument(
        "--patience", metavar="N", default="2", help="rounds without a rise before stopping (default 2)"
    )
    parser.add_argument("--seed", metavar="N", default="0", help="of the clusters (default 0)")
    options.add_ids(parser)
    options.add_threads(parser)
    options.add_device(parser)
    options.add_on_invalid(parser, "never asked")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the rows to label next")
    parser.add_argument("--train", metavar="FILE", help="write the rows to train on, with the experts' labels")
    options.add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="print the state as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Make one round and print its state."""
    from vicinal.data.usable import note
    from vicinal.tasks.curate import curate

    found = curate(
        arguments.data,
        arguments.embeddings,
        encoding=arguments.encoding,
        labels=arguments.labels,
        state=arguments.state,
        experts=arguments.experts,
        count=options.number(arguments.count),
        evaluation=options.number(arguments.evaluation),
        k=options.number(arguments.k),
        recall=options.number(arguments.recall),
        neighbors=arguments.neighbors,
        clusters=options.number(arguments.clusters),
        metric=arguments.metric,
        tolerance=options.number(arguments.tolerance),
        patience=options.number(arguments.patience),
        ids=arguments.ids,
        seed=options.number(arguments.seed),
        threads=options.number(arguments.threads),
        device=arguments.device,
        on_invalid=arguments.on_invalid,
        output=arguments.output,
        train=arguments.train,
        overwrite=arguments.overwrite,
    )
    screen.show_text(json.dumps(found.summary()) if arguments.json else str(found), arguments.json)
    if found.unusable:
        console.note(note(found.unusable, skip=True).removeprefix("; "))
    return 0
