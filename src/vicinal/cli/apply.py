"""Apply a learned head to embeddings: the same rows, in the space that was learned.

Without torch, block by block; the output appears whole or not at all.

  vicinal apply head/ emb.npy -o learned.npy
  vicinal apply heads/ image.npy --tower image -o joint_image.npy
"""

import argparse
import json
import time

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal apply`."""
    from vicinal.tasks.embed import DTYPES

    parser.add_argument("head", metavar="FOLDER", help="a folder of `vicinal learn`")
    parser.add_argument("embeddings", metavar="NPY", help="the embeddings, one row a sample")
    parser.add_argument("-o", "--output", metavar="NPY", required=True, help="the array to write")
    parser.add_argument("--tower", metavar="NAME", help="which head of a joint space")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the array (default float32)")
    parser.add_argument("--overwrite", action="store_true", help="replace an array that exists")
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read, apply, write."""
    from vicinal.learn.heads import apply_to_file
    from vicinal.tasks.score import config

    start = time.perf_counter()
    path = config.input_file(arguments.embeddings, "NPY")
    n, dim = apply_to_file(
        arguments.head, path, arguments.output, arguments.tower, arguments.dtype, arguments.overwrite
    )
    if arguments.json:
        print(json.dumps({"n": n, "dim": dim, "output": arguments.output}))
    console.note(f"{n:,} rows of dim {dim} in {time.perf_counter() - start:.1f} s: {arguments.output}")
    return 0
