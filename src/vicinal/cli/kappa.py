"""Measure how far two columns of labels agree beyond chance: Cohen's kappa and its confidence interval.

  vicinal kappa one.jsonl:label two.jsonl:label
  vicinal kappa experts.jsonl:label model.jsonl:label --pairs pairs.jsonl --split evaluation

Rows are matched by id. Rows that both files label count; the numbers of rows that only one of them labels are printed.
--pairs counts only rows of the boundary pairs that `vicinal diagnose --write-pairs` wrote, --split only one part of
them. The interval is that of large samples (Fleiss, Cohen & Everitt 1969).
"""

import argparse
import json

from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.kappa"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal kappa`."""
    parser.add_argument("one", metavar="FILE[:FIELD]", help="one judge's labels (default field: label)")
    parser.add_argument("other", metavar="FILE[:FIELD]", help="another's")
    parser.add_argument("--pairs", metavar="FILE", help="count only rows of these boundary pairs")
    parser.add_argument("--split", choices=("train", "evaluation"), help="and of them only this part")
    parser.add_argument("--confidence", metavar="SHARE", default="0.95", help="of the interval (default 0.95)")
    options.add_on_invalid(parser, "left out")
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Match the labels and print their agreement."""
    from vicinal.tasks.diagnose.kappa import kappa

    result = kappa(
        arguments.one,
        arguments.other,
        pairs=arguments.pairs,
        split=arguments.split,
        confidence=options.number(arguments.confidence),
        on_invalid=arguments.on_invalid,
    )
    screen.show_text(json.dumps(result.summary()) if arguments.json else str(result), arguments.json)
    if result.unusable:
        console.note(f"{result.unusable:,} rows without a label were left out")
    return 0
