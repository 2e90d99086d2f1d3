"""Learn a head after which Euclidean neighbours agree with labels, pairs or another embedding.

A head is a linear map or a small network from embeddings to embeddings; `vicinal apply` applies it, without torch. The
command prints a table of before and after, on held-out rows and on classes that were held out whole. After each epoch
the state is saved beside the output (OUTPUT.checkpoint), and the same command resumes from it. In Python:
vicinal.learn.train.

  vicinal learn emb.npy --labels data.jsonl:label --loss triplet -o head/
  vicinal learn emb.npy --pairs pairs.jsonl --ids data.jsonl --loss contrastive -o head/
  vicinal learn --joint image.npy text.npy --loss clip -o heads/

Pairs are lines with the fields a and b (ids) and same (true or false). Needs pip install 'vicinal[learn]'.
"""

import argparse
import inspect
import json
import time

from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.learn.train"
PRINTED = ("json",)
NUMBERS = (
    "dim",
    "hidden",
    "batch_size",
    "per_class",
    "epochs",
    "patience",
    "threads",
    "margin",
    "temperature",
    "learning_rate",
    "weight_decay",
    "seed",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal learn`."""
    from vicinal.learn.heads import KINDS
    from vicinal.learn.losses import DISTANCES, FORMS, LOSSES
    from vicinal.learn.mining import MINERS

    parser.add_argument("data", metavar="DATA", nargs="?", help=f"the embeddings, one row a sample: {options.PATHS}")
    options.add_encoding(parser)
    parser.add_argument("--labels", metavar="FILE[:FIELD]", help="the class of each row (default field: label)")
    parser.add_argument("--pairs", metavar="FILE", help="similar and dissimilar pairs: fields a, b, same")
    parser.add_argument("--ids", metavar="FILE[:FIELD]", help="the ids that pairs use (default: row numbers)")
    parser.add_argument("--joint", metavar="NPY", nargs=2, help="two arrays whose rows belong together")
    losses = "; ".join(f"{one.name}: {' or '.join(one.learns_from)}" for one in LOSSES)
    parser.add_argument(
        "--loss", metavar="NAME", help=f"{losses} (default: triplet for labels, contrastive for pairs, clip for joint)"
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    options.add_overwrite(parser)
    parser.add_argument("--head", choices=KINDS, default="linear", help="linear, or a small network (default linear)")
    parser.add_argument("--dim", metavar="N", help="dimension of the output (default: that of the embeddings)")
    parser.add_argument("--hidden", metavar="N", help="hidden units of mlp (default: the embeddings' dimension)")
    parser.add_argument(
        "--no-normalize", dest="normalize", action="store_false", help="do not scale the output to length 1"
    )
    parser.add_argument("--margin", metavar="X", help="contrastive (default 1), triplet (default 0.2)")
    parser.add_argument("--form", choices=FORMS, help="contrastive: max(0, m - d^2) or Hadsell's max(0, m - d)^2")
    parser.add_argument(
        "--unsquared",
        dest="squared",
        action="store_false",
        default=None,
        help="triplet: distances instead of squared distances",
    )
    parser.add_argument("--temperature", metavar="X", help="n-pair (default 0.07)")
    parser.add_argument("--distance", choices=[one.name for one in DISTANCES], help="what the loss measures")
    parser.add_argument("--miner", choices=MINERS, help="triplet: which triplets of a batch (default semi-hard)")
    parser.add_argument("--batch-size", metavar="N", default="128", help="rows, or pairs, of a batch (default 128)")
    parser.add_argument("--per-class", metavar="M", help="with --labels: rows of a class in a batch (default 4)")
    parser.add_argument(
        "--allow-small-classes", action="store_true", help="use rows of classes with a single row as negatives"
    )
    parser.add_argument("--epochs", metavar="N", default="50", help="at most (default 50)")
    parser.add_argument("--patience", metavar="N", default="5", help="epochs without a better MAP@R (default 5)")
    parser.add_argument("--learning-rate", metavar="X", default="0.001", help="of AdamW (default 0.001)")
    parser.add_argument("--weight-decay", metavar="X", default="0", help="of AdamW (default 0)")
    parser.add_argument("--seed", metavar="N", default="0", help="of split, batches and initial weights (default 0)")
    parser.add_argument("--checkpoint", metavar="FOLDER", help="where the state is saved (default: OUTPUT.checkpoint)")
    options.add_device(parser, "where torch computes", "auto, the best")
    options.add_on_invalid(parser, "left out")
    options.add_threads(parser)
    parser.add_argument("--json", action="store_true", help="the table and the settings as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Learn, measure, save, and print the table."""
    from vicinal.data.usable import note
    from vicinal.learn import train

    began = time.perf_counter()
    given = {name: value for name, value in vars(arguments).items() if name in inspect.signature(train).parameters}
    numbers = {name: options.number(given[name]) for name in NUMBERS}
    with console.progress() as progress:
        result = train(**{**given, **numbers}, progress=progress and progress("learning"), on_epoch=console.detail)
    if arguments.json:
        print(json.dumps({**result.heads.about, "output": arguments.output}))
    elif result.table:
        screen.show_text(str(result))
    seconds = time.perf_counter() - began
    epochs = f"{result.history.epochs_run} epochs, the best {result.history.best}"
    console.note(f"{epochs}, in {seconds:.1f} s: {arguments.output}{note(result.unusable, skip=True)}")
    return 0
