"""Say how far two columns of labels agree beyond chance: Cohen's kappa and its confidence interval.

  vicinal kappa one.jsonl:label two.jsonl:label
  vicinal kappa experts.jsonl:label model.jsonl:label --pairs pairs.jsonl --split evaluation

Rows are matched by id, and those that both files label count; how many only one of them labels is said. --pairs takes
only rows of the boundary pairs that `vicinal diagnose --write-pairs` wrote, --split only one part of them. The interval
is that of large samples (Fleiss, Cohen & Everitt 1969).
"""

import argparse
import json
from dataclasses import asdict

from vicinal.cli import training
from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal kappa`."""
    parser.add_argument("one", metavar="FILE[:FIELD]", help="one judge's labels (default field: label)")
    parser.add_argument("other", metavar="FILE[:FIELD]", help="another's")
    parser.add_argument("--pairs", metavar="FILE", help="count only rows of these boundary pairs")
    parser.add_argument("--split", choices=("train", "evaluation"), help="and of them only this part")
    parser.add_argument("--confidence", metavar="SHARE", default="0.95", help="of the interval (default 0.95)")
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read, match, count."""
    from vicinal.analysis.diagnostics import cohen_kappa
    from vicinal.data import labels
    from vicinal.errors import UsageError
    from vicinal.tasks import diagnose
    from vicinal.tasks.score import config

    confidence = training.share(arguments.confidence, "--confidence")
    if not 0 < confidence < 1:
        raise UsageError(f"--confidence: expected a share between 0 and 1, got {confidence:g}")
    if arguments.split is not None and arguments.pairs is None:
        raise UsageError("--split: needs --pairs FILE, which says which rows are of which part")
    only = None
    if arguments.pairs is not None:
        only = diagnose.ids_of_pairs(config.input_file(arguments.pairs, "--pairs"), arguments.split)
    one = labels.read_labels(arguments.one, "FILE", None, "")
    other = labels.read_labels(arguments.other, "FILE", None, "")
    rows, codes = diagnose.matched(one, other, only)
    found = cohen_kappa(one.codes[rows], codes, confidence)
    wanted = [sum(only is None or label in only for label in judge.ids) for judge in (one, other)]
    alone = [count - found.n for count in wanted]
    if arguments.json:
        print(json.dumps({**asdict(found), "only_one": alone[0], "only_other": alone[1]}))
    else:
        print(f"Cohen's kappa {found.value:.4f}, {100 * confidence:g} % interval {found.low:.4f} to {found.high:.4f}")
        print(f"The columns agree on {100 * found.agreement:.1f} % of the {found.n:,} rows that both label.")
        print(f"Only in {one.place}: {alone[0]:,} rows; only in {other.place}: {alone[1]:,}")
    return 0
