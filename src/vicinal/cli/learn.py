"""Learn a head that makes Euclidean neighbours mean what labels, pairs or another embedding say.

A head is a linear map or a small network from embeddings to embeddings; `vicinal apply` uses it, without torch. At the
end stands a table of before and after, on held-out rows and on classes that were held out whole. Work is kept after
each epoch beside the output (OUTPUT.checkpoint), and the same command goes on from it.

  vicinal learn emb.npy --labels data.jsonl:label --loss triplet -o head/
  vicinal learn emb.npy --pairs pairs.jsonl --ids data.jsonl --loss contrastive -o head/
  vicinal learn --joint image.npy text.npy --loss clip -o heads/

Pairs are lines with the fields a and b, ids, and same, true or false. Needs pip install 'vicinal[learn]'.
"""

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.cli.console import Console

if TYPE_CHECKING:
    from vicinal.learn.descent import Watch
    from vicinal.learn.learning import Learned
    from vicinal.learn.tower import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal learn`."""
    from vicinal.learn.heads import KINDS
    from vicinal.learn.losses import DISTANCES, FORMS, LOSSES
    from vicinal.learn.mining import MINERS

    parser.add_argument("embeddings", metavar="NPY", nargs="?", help="the embeddings, one row a sample")
    parser.add_argument("--labels", metavar="FILE[:FIELD]", help="the class of each row (default field: label)")
    parser.add_argument("--pairs", metavar="FILE", help="similar and dissimilar pairs: fields a, b, same")
    parser.add_argument("--ids", metavar="FILE[:FIELD]", help="the ids that pairs name (default: row numbers)")
    parser.add_argument("--joint", metavar="NPY", nargs=2, help="two arrays whose rows belong together")
    told = "; ".join(f"{one.name}: {' or '.join(one.learns_from)}" for one in LOSSES)
    parser.add_argument("--loss", metavar="NAME", required=True, help=told)
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a head that exists")
    parser.add_argument("--head", choices=KINDS, default="linear", help="linear, or a small network (default linear)")
    parser.add_argument("--dim", metavar="N", help="coordinates that come out (default: as many as come in)")
    parser.add_argument("--hidden", metavar="N", help="of a small network (default: as many as come in)")
    parser.add_argument("--no-normalize", action="store_true", help="leave lengths as they come out (default: 1)")
    parser.add_argument("--margin", metavar="X", help="contrastive (default 1), triplet (default 0.2)")
    parser.add_argument("--form", choices=FORMS, help="contrastive: max(0, m - d^2) or Hadsell's max(0, m - d)^2")
    parser.add_argument("--unsquared", action="store_true", help="triplet: of distances, not of their squares")
    parser.add_argument("--temperature", metavar="X", help="n-pair (default 0.07)")
    parser.add_argument("--distance", choices=[one.name for one in DISTANCES], help="what the loss measures")
    parser.add_argument("--miner", choices=MINERS, help="triplet: which ones (default semi-hard)")
    parser.add_argument("--batch-size", metavar="N", default="128", help="rows, or pairs, of a batch (default 128)")
    parser.add_argument("--per-class", metavar="M", help="of --labels: rows of a class in a batch (default 4)")
    parser.add_argument("--allow-small-classes", action="store_true", help="classes of a single row are negatives")
    parser.add_argument("--epochs", metavar="N", default="50", help="at most (default 50)")
    parser.add_argument("--patience", metavar="N", default="5", help="epochs without a better MAP@R (default 5)")
    parser.add_argument("--learning-rate", metavar="X", default="0.001", help="of AdamW (default 0.001)")
    parser.add_argument("--weight-decay", metavar="X", default="0", help="of AdamW (default 0)")
    parser.add_argument("--seed", metavar="N", default="0", help="of the split, the batches and the start (default 0)")
    parser.add_argument("--checkpoint", metavar="FOLDER", help="where work is kept (default: OUTPUT.checkpoint)")
    parser.add_argument("--device", metavar="NAME", help="where torch computes: cpu, cuda, ... (default: the best)")
    parser.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    parser.add_argument("--json", action="store_true", help="the table and the settings as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read, learn, measure, save."""
    from vicinal.errors import UsageError, kept_in, need
    from vicinal.learn import losses, measuring
    from vicinal.learn.descent import Watch
    from vicinal.storage import atomic

    given = [name for name in ("labels", "pairs", "joint") if getattr(arguments, name)]
    if len(given) != 1:
        raise UsageError(f"expected one of --labels, --pairs and --joint, got {' and '.join(given) or 'none'}")
    source = given[0]
    if (arguments.embeddings is None) != (source == "joint"):
        named = "names both arrays itself" if source == "joint" else "needs the embeddings, a NPY"
        raise UsageError(f"--{source}: {named}")
    if arguments.ids and source != "pairs":
        raise UsageError(f"--ids: names the rows of --pairs; {source} need none")
    losses.find(arguments.loss, source)
    plan = _plan(arguments, source)
    torch = need("torch", extra="learn")
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    output = Path(arguments.output)
    atomic.check_folder(output, arguments.overwrite)
    checkpoint = Path(arguments.checkpoint or f"{str(output).rstrip('/')}.checkpoint")
    began = time.perf_counter()
    with kept_in(checkpoint), console.progress() as progress:
        watch = Watch(progress and progress("learning"), console.detail)
        learned = _learn(arguments, plan, source, checkpoint, watch)
    learned.heads.save(output, arguments.overwrite)
    atomic.remove_kept(checkpoint)
    if arguments.json:
        print(json.dumps({**learned.heads.about, "output": arguments.output}))
    else:
        for line in measuring.lines(learned.table):
            print(line)
    run_, best = len(learned.course.losses) - 1, learned.course.best
    seconds = time.perf_counter() - began
    console.note(f"{run_} epochs, the best {best}, in {seconds:.1f} s: {arguments.output}")
    return 0


def _plan(arguments: argparse.Namespace, source: str) -> "Plan":
    from vicinal.cli.options import number
    from vicinal.errors import UsageError
    from vicinal.learn.descent import Schedule
    from vicinal.learn.losses import find
    from vicinal.learn.tower import Plan
    from vicinal.tasks import arguments as checks
    from vicinal.tasks.score import config

    def share(text: str, option: str) -> float:
        return checks.number(number(text), option, "a number")

    def whole(name: str) -> int | None:
        value = getattr(arguments, name)
        return None if value is None else config.whole_number(value, f"--{name.replace('_', '-')}")

    options: dict[str, Any] = {
        "margin": None if arguments.margin is None else share(arguments.margin, "--margin"),
        "temperature": None if arguments.temperature is None else share(arguments.temperature, "--temperature"),
        "form": arguments.form,
        "squared": False if arguments.unsquared else None,
        "distance": arguments.distance,
    }
    options = {name: value for name, value in options.items() if value is not None}
    known = find(arguments.loss, source).options
    for name in options:
        if name not in known:
            shown = "unsquared" if name == "squared" else name
            raise UsageError(f"--{shown}: {arguments.loss} has none; its options are {', '.join(known)}")
    for name, fits, where in (
        ("miner", arguments.loss == "triplet", "--loss triplet"),
        ("hidden", arguments.head == "mlp", "--head mlp"),
        ("per_class", source == "labels", "--labels"),
        ("allow_small_classes", source == "labels", "--labels"),
    ):
        if getattr(arguments, name) and not fits:
            raise UsageError(f"--{name.replace('_', '-')}: goes with {where} alone")
    if options.get("temperature", 1.0) <= 0 or options.get("margin", 1.0) <= 0:
        raise UsageError("--margin and --temperature: expected a number above 0")
    if not (arguments.seed.isascii() and arguments.seed.isdigit()):
        raise UsageError(f'--seed: expected a whole number of at least 0, got "{arguments.seed}"')
    schedule = Schedule(
        epochs=whole("epochs") or 0,
        patience=whole("patience") or 0,
        learning_rate=share(arguments.learning_rate, "--learning-rate"),
        weight_decay=share(arguments.weight_decay, "--weight-decay"),
        seed=int(arguments.seed),
    )
    return Plan(
        loss=arguments.loss,
        options=options,
        kind=arguments.head,
        dim=whole("dim"),
        hidden=whole("hidden"),
        normalize=not arguments.no_normalize,
        miner=arguments.miner or Plan.miner,
        m=Plan.m if arguments.per_class is None else whole("per_class") or 0,
        batch_size=whole("batch_size") or 0,
        alone=arguments.allow_small_classes,
        schedule=schedule,
        device=arguments.device,
        threads=whole("threads"),
    )


def _learn(arguments: argparse.Namespace, plan: "Plan", source: str, checkpoint: Path, watch: "Watch") -> "Learned":
    from vicinal.data import dataset
    from vicinal.data.embeddings import load
    from vicinal.data.labels import from_values
    from vicinal.learn import learning, pairs

    if source == "joint":
        sides = [load(one, name="--joint", at_least=2).vectors for one in arguments.joint]
        names = tuple(Path(one).stem for one in arguments.joint)
        names = names if names[0] != names[1] else ("first", "second")
        return learning.learn_joint((sides[0], sides[1]), (names[0], names[1]), plan, checkpoint, watch)
    rows = dataset.read(arguments.embeddings, ids=arguments.ids, fields={"labels": (arguments.labels, "label")})
    vectors = load(rows.embeddings, rows=rows, at_least=2).vectors
    if source == "labels":
        known = from_values(rows.values["labels"], rows.ids, rows.places["labels"])
        return learning.learn_from_labels(vectors, known.codes, known.classes, plan, checkpoint, watch)
    found, same = pairs.read_pairs(arguments.pairs, rows.ids, arguments.ids or arguments.embeddings)
    return learning.learn_from_pairs(vectors, found, same, plan, checkpoint, watch)
