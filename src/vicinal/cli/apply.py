"""Apply a learned head to embeddings.

torch is not needed. The output is written block by block and appears complete or not at all. In Python:
vicinal.learn.apply.

  vicinal apply head/ emb.npy -o learned.npy
  vicinal apply heads/ image.npy --tower image -o joint_image.npy
"""

import argparse
import json
import time

from vicinal.cli import options
from vicinal.cli.console import Console

FUNCTION = "vicinal.learn.apply"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal apply`."""
    from vicinal.learn.applying import DTYPES

    parser.add_argument("head", metavar="FOLDER", help="a folder that `vicinal learn` wrote")
    parser.add_argument("data", metavar="DATA", help=f"the embeddings, one row a sample: {options.PATHS}")
    options.add_encoding(parser)
    parser.add_argument("-o", "--output", metavar="NPY", required=True, help="the array to write")
    parser.add_argument("--tower", metavar="NAME", help="which head of a joint space")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the output (default float32)")
    options.add_on_invalid(parser, "NaN")
    options.add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Apply the head and write the output."""
    from vicinal.learn import apply

    start = time.perf_counter()
    n, dim = apply(
        arguments.head,
        arguments.data,
        arguments.output,
        encoding=arguments.encoding,
        tower=arguments.tower,
        dtype=arguments.dtype,
        on_invalid=arguments.on_invalid,
        overwrite=arguments.overwrite,
    ).shape
    if arguments.json:
        print(json.dumps({"n": n, "dim": dim, "output": arguments.output}))
    console.note(f"{n:,} rows of dim {dim} in {time.perf_counter() - start:.1f} s: {arguments.output}")
    return 0
