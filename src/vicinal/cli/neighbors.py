"""Save each row's k nearest other rows, for every later question.

  vicinal neighbors emb.npy -k 20 -o graph/

The folder holds manifest.json, indices.npy (int64) and distances.npy (float32), both (n, k), nearest first.
"""

import argparse
import json
import time

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal neighbors`."""
    from vicinal.knn.metrics import BY_NAME
    from vicinal.knn.vectors import ON_INVALID

    parser.add_argument("embeddings", metavar="NPY", help="the embeddings, one row a sample")
    parser.add_argument("-k", "--k", metavar="K", default="5", help="how many neighbours (default 5)")
    parser.add_argument(
        "--metric", metavar="NAME", default="euclidean", help=f"{', '.join(BY_NAME)} (default euclidean)"
    )
    parser.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder of neighbours that exists")
    parser.add_argument(
        "--on-invalid",
        choices=ON_INVALID,
        default="error",
        help="rows with NaN, infinity or, under cosine, only zeros: an error, or no neighbours (default error)",
    )
    parser.add_argument(
        "--checkpoint", metavar="FOLDER", help="keep finished work there every minute; the same command goes on from it"
    )
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Look, search, save."""
    from vicinal.indexes.exact import Exact
    from vicinal.knn.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid
    from vicinal.storage import atomic, npy
    from vicinal.tasks.score import config

    k = config.whole_number(arguments.k, "-k")
    threads = config.threads(arguments.threads)
    index = Exact(arguments.metric, threads)
    atomic.check_folder(arguments.output, arguments.overwrite)
    path = config.input_file(arguments.embeddings, "NPY")
    vectors = as_vectors(npy.load_npy(path), str(path), at_least=2)
    refuse_dtype(vectors, index.metric, str(path))
    wrong = invalid_rows(vectors, index.metric)
    if arguments.on_invalid == "error":
        refuse_invalid(wrong, range(len(vectors)), str(path))
    start = time.perf_counter()
    with console.progress() as progress:
        index.fit(vectors, arguments.on_invalid, wrong)
        tell = progress and progress(f"{index.metric.name} neighbours of {path.name}")
        found = index.neighbors(k, progress=tell, checkpoint=arguments.checkpoint)
    found.save(arguments.output, arguments.overwrite)
    seconds = time.perf_counter() - start
    if arguments.json:
        summary = {"n": len(found), "dim": vectors.shape[1], "k": found.k, "metric": index.metric.name}
        print(json.dumps({**summary, "engine": index.engine, "seconds": round(seconds, 3), "output": arguments.output}))
    console.note(f"{found.k} neighbours of {len(found):,} rows in {seconds:.1f} s: {arguments.output}")
    return 0
