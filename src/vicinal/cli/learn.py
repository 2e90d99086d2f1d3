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
import json
import time
from typing import Any

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal learn`."""
    from vicinal.learn.heads import KINDS
    from vicinal.learn.losses import DISTANCES, FORMS, LOSSES
    from vicinal.learn.mining import MINERS

    parser.add_argument("embeddings", metavar="NPY", nargs="?", help="the embeddings, one row a sample")
    parser.add_argument("--labels", metavar="FILE[:FIELD]", help="the class of each row (default field: label)")
    parser.add_argument("--pairs", metavar="FILE", help="similar and dissimilar pairs: fields a, b, same")
    parser.add_argument("--ids", metavar="FILE[:FIELD]", help="the ids that pairs use (default: row numbers)")
    parser.add_argument("--joint", metavar="NPY", nargs=2, help="two arrays whose rows belong together")
    losses = "; ".join(f"{one.name}: {' or '.join(one.learns_from)}" for one in LOSSES)
    parser.add_argument(
        "--loss", metavar="NAME", help=f"{losses} (default: triplet for labels, contrastive for pairs, clip for joint)"
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a head that exists")
    parser.add_argument("--head", choices=KINDS, default="linear", help="linear, or a small network (default linear)")
    parser.add_argument("--dim", metavar="N", help="dimension of the output (default: that of the embeddings)")
    parser.add_argument("--hidden", metavar="N", help="hidden units of mlp (default: the embeddings' dimension)")
    parser.add_argument("--no-normalize", action="store_true", help="do not scale the output to length 1")
    parser.add_argument("--margin", metavar="X", help="contrastive (default 1), triplet (default 0.2)")
    parser.add_argument("--form", choices=FORMS, help="contrastive: max(0, m - d^2) or Hadsell's max(0, m - d)^2")
    parser.add_argument("--unsquared", action="store_true", help="triplet: distances instead of squared distances")
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
    parser.add_argument("--device", metavar="NAME", help="where torch computes: cpu, cuda, ... (default: the best)")
    parser.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    parser.add_argument("--json", action="store_true", help="the table and the settings as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Learn, measure, save, and print the table."""
    from vicinal.learn import train

    began = time.perf_counter()
    with console.progress() as progress:
        result = train(
            **_inputs(arguments),
            **_settings(arguments),
            output=arguments.output,
            overwrite=arguments.overwrite,
            checkpoint=arguments.checkpoint,
            progress=progress and progress("learning"),
            on_epoch=console.detail,
        )
    if arguments.json:
        print(json.dumps({**result.heads.about, "output": arguments.output}))
    elif result.table:
        print(result)
    seconds = time.perf_counter() - began
    epochs = f"{result.history.epochs_run} epochs, the best {result.history.best}"
    console.note(f"{epochs}, in {seconds:.1f} s: {arguments.output}")
    return 0


def _inputs(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `train` that name files; each array must be a file that exists."""
    from vicinal.tasks.score import config

    if arguments.embeddings is not None:
        config.input_file(arguments.embeddings, "NPY")
    for path in arguments.joint or ():
        config.input_file(path, "--joint")
    names = ("labels", "pairs", "ids", "joint")
    return {"data": arguments.embeddings, **{name: getattr(arguments, name) for name in names}}


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The other arguments of `train`, with numbers in place of text."""
    from vicinal.cli import options
    from vicinal.errors import UsageError
    from vicinal.tasks import arguments as checks
    from vicinal.tasks.score import config

    def option(name: str) -> str:
        return f"--{name.replace('_', '-')}"

    settings = {name: getattr(arguments, name) for name in ("loss", "head", "form", "distance", "miner", "device")}
    for name in ("dim", "hidden", "batch_size", "per_class", "epochs", "patience", "threads"):
        text = getattr(arguments, name)
        settings[name] = None if text is None else config.whole_number(text, option(name))
    for name in ("margin", "temperature", "learning_rate", "weight_decay"):
        text = getattr(arguments, name)
        settings[name] = None if text is None else checks.number(options.number(text), option(name), "a number")
    if not (arguments.seed.isascii() and arguments.seed.isdigit() and len(arguments.seed) < 4000):
        raise UsageError(f'--seed: expected a whole number of at least 0, got "{arguments.seed}"')
    return {
        **settings,
        "seed": int(arguments.seed),
        "squared": False if arguments.unsquared else None,
        "normalize": not arguments.no_normalize,
        "allow_small_classes": arguments.allow_small_classes,
    }
