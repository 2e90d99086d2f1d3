"""Predict a value of rows from the values of their nearest rows.

  vicinal regress train.npy --targets train.jsonl:price --queries test.npy -k auto -o predictions.jsonl

Each record: id, value (the weighted mean of the neighbours' values) and spread (their standard deviation); with
--with-neighbors also who they are, in .csv and .parquet as JSON text.
"""

import argparse
import json
import sys
import time

from vicinal.cli import training
from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal regress`."""
    training.add_rows(parser, "the embeddings of the rows whose value is known")
    parser.add_argument("--targets", metavar="FILE[:FIELD]", required=True, help="the values (default field: target)")
    training.add_votes(parser)
    training.add_predictions(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Look, search, average, write."""
    from vicinal.tasks import predict

    index = training.index_of(arguments)
    stored = training.vectors(arguments.embeddings, "NPY", index, at_least=2)
    known, values = training.targets_of(arguments, len(stored))
    asked = training.queries(arguments, index, stored)
    ids = training.ids_of(arguments, len(asked), arguments.queries)
    training.check_output(arguments, ids)
    training.number_of_voters(arguments)
    start = time.perf_counter()
    with console.progress() as progress:
        index.fit(stored, invalid={})
        k, weights, curve = training.voters(arguments, index, values, progress and progress("choosing k"))
        k = training.at_most(k, len(stored))
        found = index.search(asked, k, progress=progress and progress(f"{k} neighbours of {arguments.queries}"))
    evidence = known if arguments.with_neighbors else None
    types = {"value": "double", "spread": "double", "neighbors": "string"}
    training.write(arguments, predict.regress(found, values, weights, ids, evidence), types)
    r2 = None if curve is None else round(float(curve.scores[weights][k - 1]), 6)
    if arguments.json:
        summary = {"n": len(stored), "queries": len(asked), "k": k, "weights": weights, "metric": index.metric.name}
        print(json.dumps({**summary, "leave_one_out_r2": r2}), file=sys.stderr if arguments.output is None else None)
    chosen = "" if r2 is None else f"; leave-one-out R2 {r2:.4f}"
    console.note(
        f"{len(asked):,} values predicted from {k} neighbours, {weights} weights{chosen}, in "
        f"{time.perf_counter() - start:.1f} s"
    )
    return 0
