"""kNN-LM: a language model mixed with the nearest contexts of a text.

  vicinal lm build --model model/ --text train.txt -o store/
  vicinal lm eval store/ --model model/ --validation valid.txt --text test.txt -k 256

build keeps, for every position of a text, what went into the model's last feed-forward network and which token came
next. eval finds each position's nearest keys, chooses lambda and T on the validation text, and tells the perplexity of
the other text with and without neighbours. Needs pip install 'vicinal[hf]'.
"""

import argparse
import json
import time
from typing import Any

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of each of its actions."""
    from vicinal.indexes import INDEXES
    from vicinal.lm.datastore import DTYPES

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")

    def action(name: str, about: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=about, description=about, allow_abbrev=False)
        loudness = one.add_mutually_exclusive_group()
        for short, long, what in (("-v", "--verbose", "say more"), ("-q", "--quiet", "say nothing but errors")):
            loudness.add_argument(short, long, action="store_true", default=argparse.SUPPRESS, help=what)
        one.add_argument("--model", metavar="MODEL", required=True, help="a folder with a causal model, or its name")
        one.add_argument("--layer", metavar="NAME", help="the module whose input is the key (default: the last FFN)")
        one.add_argument("--context", metavar="N", help="tokens seen at once (default: the model's, at most 1024)")
        one.add_argument("--device", metavar="NAME", help="where the model runs: cpu, cuda, ... (default: the best)")
        one.add_argument("--json", action="store_true", help="a summary as JSON on stdout")
        return one

    build = action("build", "keep the keys and next tokens of a text")
    build.add_argument("--text", metavar="FILE", required=True, help="the text, UTF-8")
    build.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    build.add_argument("--dtype", choices=DTYPES, default="float16", help="of the keys (default float16)")
    build.add_argument("--overwrite", action="store_true", help="replace a store that exists")

    evaluate = action("eval", "perplexity with and without neighbours")
    evaluate.add_argument("store", metavar="STORE", help="a folder of `vicinal lm build`")
    evaluate.add_argument(
        "--validation", metavar="FILE", required=True, help="the text that lambda and T are chosen on"
    )
    evaluate.add_argument("--text", metavar="FILE", required=True, help="the text that is reported on")
    evaluate.add_argument("-k", "--k", metavar="K", default="256", help="how many neighbours (default 256)")
    names = [kind.name for kind in INDEXES if "sqeuclidean" in kind.serves]
    evaluate.add_argument("--index", choices=("auto", *names), default="exact", help="over the keys (default exact)")
    evaluate.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """The action that was asked for."""
    from vicinal.errors import UsageError
    from vicinal.lm import transformer
    from vicinal.storage import atomic, manifests
    from vicinal.tasks.score import config

    context = None if arguments.context is None else config.whole_number(arguments.context, "--context")
    start = time.perf_counter()
    if arguments.action == "build":
        atomic.check_folder(arguments.output, arguments.overwrite)
        config.input_file(arguments.text, "--text")
    else:
        for name in ("validation", "text"):
            config.input_file(getattr(arguments, name), f"--{name}")
        if manifests.sha256(arguments.validation) == manifests.sha256(arguments.text):
            raise UsageError(
                "--validation and --text are the same text; lambda and T may not be chosen on the test part"
            )
    model, tokenizer = transformer.load(arguments.model, arguments.device)
    act = _build if arguments.action == "build" else _eval
    return act(arguments, console, model, tokenizer, context, start)


def _build(
    arguments: argparse.Namespace, console: Console, model: Any, tokenizer: Any, context: Any, start: float
) -> int:
    from vicinal.lm import evaluation

    tokens = evaluation.read_tokens(arguments.text, tokenizer)
    with console.progress() as progress:
        tell = progress and progress("keys")
        n = evaluation.build(
            arguments.output,
            model,
            tokens,
            tokenizer,
            arguments.dtype,
            context,
            arguments.layer,
            arguments.overwrite,
            tell,
        )
    if arguments.json:
        print(json.dumps({"n": n, "output": arguments.output}))
    console.note(f"{n:,} keys in {time.perf_counter() - start:.1f} s: {arguments.output}")
    return 0


def _eval(
    arguments: argparse.Namespace, console: Console, model: Any, tokenizer: Any, context: Any, start: float
) -> int:
    from vicinal.lm import Datastore, evaluation, transformer
    from vicinal.tasks.arguments import at_most
    from vicinal.tasks.score import config

    threads = config.threads(arguments.threads)
    k = config.whole_number(arguments.k, "-k")
    about = transformer.fingerprint(model, tokenizer, arguments.layer)
    store = Datastore.open(arguments.store, about, arguments.index, threads)
    k = at_most(k, len(store))
    asked = []
    with console.progress() as progress:
        for name in ("validation", "text"):
            tokens = evaluation.read_tokens(getattr(arguments, name), tokenizer)
            tell = progress and progress(f"neighbours of the {name}")
            stream = transformer.blocks(model, tokens, about["layer"], context)
            asked.append(evaluation.ask(store, stream, k, tell, len(tokens) - 1))
    choice = evaluation.choose(asked[0])
    found = evaluation.evaluate(asked[1], choice)
    if arguments.json:
        print(
            json.dumps({**found.as_dict(), "validation": [choice.without, choice.with_neighbors], "keys": len(store)})
        )
    else:
        change = 100 * (found.with_neighbors / found.without - 1)
        print(f"{'':12} {'without':>10} {'with':>10}  neighbours")
        print(f"{'validation':12} {choice.without:>10.2f} {choice.with_neighbors:>10.2f}")
        print(f"{'text':12} {found.without:>10.2f} {found.with_neighbors:>10.2f}  {change:+.1f} %")
        print(
            f"lambda {choice.lambda_:g} and T {choice.T:.4g} from the validation text; k {found.k}, {len(store):,} keys"
        )
        print(f"{100 * found.missing:.1f} % of the tokens are not among their neighbours' values")
    console.note(f"{found.tokens:,} tokens in {time.perf_counter() - start:.1f} s")
    return 0
