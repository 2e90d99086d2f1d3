"""kNN-LM: a language model mixed with the nearest contexts of a text.

  vicinal lm build --model model/ --text train.txt -o store/
  vicinal lm eval store/ --model model/ --validation valid.txt --text test.txt -k 256

build stores, for every position of a text, the input of the model's last feed-forward network and the token that came
next. eval finds the nearest keys of each position, chooses lambda and T on the validation text, and prints the
perplexity of the other text with and without neighbours. In Python: vicinal.lm.build and vicinal.lm.evaluate. Needs
pip install 'vicinal[hf]'.
"""

import argparse
import json
import time
from typing import Any

from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTIONS = {"build": "vicinal.lm.build", "eval": "vicinal.lm.evaluate"}
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of both actions."""
    from vicinal.indexes import INDEXES
    from vicinal.lm.datastore import DTYPES

    actions = options.add_actions(parser)

    def action(name: str, about: str) -> argparse.ArgumentParser:
        one = options.add_action(actions, name, about)
        one.add_argument("--model", metavar="MODEL", required=True, help="a folder with a causal model, or its name")
        one.add_argument("--layer", metavar="NAME", help="the module whose input is the key (default: the last FFN)")
        one.add_argument("--context", metavar="N", help="tokens at once (default: the model's limit, at most 1024)")
        options.add_device(one, "where the model runs", "auto, the best")
        one.add_argument("--json", action="store_true", help="a summary as JSON on stdout")
        return one

    build = action("build", "store the keys and next tokens of a text")
    build.add_argument("--text", metavar="FILE", required=True, help="the text, UTF-8")
    build.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    build.add_argument("--dtype", choices=DTYPES, default="float16", help="of the keys (default float16)")
    options.add_overwrite(build)

    evaluate = action("eval", "perplexity with and without neighbours")
    evaluate.add_argument("store", metavar="STORE", help="a folder that `vicinal lm build` wrote")
    evaluate.add_argument(
        "--validation", metavar="FILE", required=True, help="the text that lambda and T are chosen on"
    )
    evaluate.add_argument("--text", metavar="FILE", required=True, help="the text that is reported on")
    evaluate.add_argument("-k", "--k", metavar="K", default="256", help="how many neighbours (default 256)")
    names = [kind.name for kind in INDEXES if "sqeuclidean" in kind.metrics]
    evaluate.add_argument("--index", choices=("auto", *names), default="exact", help="over the keys (default exact)")
    options.add_threads(evaluate)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the action."""

    settings: dict[str, Any] = {name: getattr(arguments, name) for name in ("layer", "device")}
    settings["context"] = options.number(arguments.context)
    return (_build if arguments.action == "build" else _eval)(arguments, console, settings)


def _build(arguments: argparse.Namespace, console: Console, settings: dict[str, Any]) -> int:
    """Build a store."""
    from vicinal.lm import build

    start = time.perf_counter()
    with console.progress() as progress:
        store = build(
            arguments.text,
            arguments.model,
            arguments.output,
            dtype=arguments.dtype,
            overwrite=arguments.overwrite,
            progress=progress and progress("building"),
            **settings,
        )
    if arguments.json:
        print(json.dumps({"n": len(store), "output": arguments.output}))
    console.note(f"{len(store):,} keys in {time.perf_counter() - start:.1f} s: {arguments.output}")
    return 0


def _eval(arguments: argparse.Namespace, console: Console, settings: dict[str, Any]) -> int:
    """Evaluate, and print the perplexities."""
    from vicinal.lm import evaluate

    start = time.perf_counter()
    with console.progress() as progress:
        evaluation = evaluate(
            arguments.store,
            arguments.model,
            arguments.validation,
            arguments.text,
            k=options.number(arguments.k),
            index=arguments.index,
            threads=options.number(arguments.threads),
            progress=progress and progress("searching"),
            **settings,
        )
    screen.show_text(json.dumps(evaluation.as_dict()) if arguments.json else str(evaluation), arguments.json)
    console.note(f"{evaluation.tokens:,} tokens in {time.perf_counter() - start:.1f} s")
    return 0
