"""Predict the class of rows from the labels of their nearest rows.

  vicinal classify train.npy --labels train.jsonl:label --queries test.npy -k auto -o predictions.jsonl

Each record: id, label (the class with the most votes; of equals the lower one), probability (its share of the votes)
and probabilities (each class's share); with --with-neighbors also who voted. In .csv and .parquet
the last two are JSON text.
"""

import argparse
import json
import sys
import time

from vicinal.cli import training
from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal classify`."""
    training.add_rows(parser, "the embeddings of the labelled rows")
    parser.add_argument("--labels", metavar="FILE[:FIELD]", required=True, help="their labels (default field: label)")
    training.add_votes(parser)
    parser.add_argument(
        "--allow-small-classes", action="store_true", help="let k be larger than a class, which the others outvote"
    )
    training.add_predictions(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Look, search, vote, write."""
    from vicinal.tasks import predict

    index = training.index_of(arguments)
    stored = training.vectors(arguments.embeddings, "NPY", index, at_least=2)
    known = training.labels_of(arguments, len(stored))
    asked = training.queries(arguments, index, stored)
    ids = training.ids_of(arguments, len(asked), arguments.queries)
    training.check_output(arguments, ids)
    most = training.number_of_voters(arguments)
    if arguments.k != "auto" and arguments.weights == "uniform" and not arguments.allow_small_classes:
        predict.refuse_small_classes(known, most)
    start = time.perf_counter()
    with console.progress() as progress:
        index.fit(stored, invalid={})
        k, weights, curve = training.voters(arguments, index, known, progress and progress("choosing k"))
        k = training.at_most(k, len(stored))
        if arguments.k == "auto" and not arguments.allow_small_classes:
            predict.warn_of_small_classes(known, k, weights)
        found = index.search(asked, k, progress=progress and progress(f"{k} neighbours of {arguments.queries}"))
    records = predict.classify(found, known, weights, ids, arguments.with_neighbors)
    types = {"probability": "double", "probabilities": "string", "neighbors": "string"}
    training.write(arguments, records, {**types, "label": "string" if known.is_text else "double"})
    summary = {"n": len(stored), "queries": len(asked), "classes": len(known.classes), "k": k, "weights": weights}
    accuracy = None if curve is None else round(float(curve.scores[weights][k - 1]), 6)
    summary |= {"metric": index.metric.name, "leave_one_out_accuracy": accuracy}
    if arguments.json:
        print(json.dumps(summary), file=sys.stderr if arguments.output is None else sys.stdout)
    chosen = "" if accuracy is None else f"; leave-one-out accuracy {accuracy:.4f}"
    console.note(
        f"{len(asked):,} rows classified among {len(known.classes)} classes by {k} neighbours, {weights} weights"
        f"{chosen}, in {time.perf_counter() - start:.1f} s"
    )
    return 0
