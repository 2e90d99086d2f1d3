"""Turn a data set's text into embeddings, with a model of sentence-transformers.

A note beside the array (OUTPUT.json) records what it was made from. The other commands read the note and refuse the
embeddings of another file or another order. A run that was stopped resumes where it was.

  vicinal embed data.jsonl --field instruction --field output -o emb.npy --model all-MiniLM-L6-v2
"""

import argparse
import json
import time

from vicinal.cli import options
from vicinal.cli.console import Console

FUNCTION = "vicinal.embed"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal embed`."""
    from vicinal.tasks.embed import DTYPES

    parser.add_argument("data", metavar="DATA", help="the data set")
    parser.add_argument(
        "--field",
        dest="fields",
        metavar="FIELD",
        action="append",
        required=True,
        help="a field of text; several are joined",
    )
    parser.add_argument("-o", "--output", metavar="NPY", required=True, help="the array to write")
    parser.add_argument("--model", metavar="MODEL", required=True, help="a folder with a model, or a model's name")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the array (default float32)")
    parser.add_argument("--normalize", action="store_true", help="scale each row to length 1")
    parser.add_argument("--batch-size", metavar="N", default="64", help="rows at a time (default 64)")
    options.add_device(parser, "the device of the model", "auto, the best")
    options.add_engine(parser, "where the model runs")
    options.add_overwrite(parser)
    options.add_ids(parser)
    parser.add_argument("--json", action="store_true", help="the note as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read, embed, write."""
    from vicinal.tasks.embed import embed

    start = time.perf_counter()
    with console.progress() as progress:
        made = embed(
            arguments.data,
            arguments.model,
            fields=arguments.fields,
            dtype=arguments.dtype,
            normalize=arguments.normalize,
            batch_size=options.number(arguments.batch_size),
            device=arguments.device,
            engine=arguments.engine,
            address=arguments.address,
            ids=arguments.ids,
            output=arguments.output,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    if arguments.json:
        print(json.dumps(made.note))
    seconds = time.perf_counter() - start
    console.note(f"{len(made):,} rows of dim {made.note['dim']} in {seconds:.1f} s: {arguments.output}")
    return 0
