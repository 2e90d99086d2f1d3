"""Predict the class of rows from the labels of their nearest rows.

  vicinal classify train.npy --labels train.jsonl:label --queries test.npy -k auto -o predictions.jsonl

Each record: id, label (the class with the most votes; of equals the lower one), probability (its share of the votes)
and probabilities (the share of each class); with --with-neighbors also the neighbours. In .csv and .parquet the last
two are JSON text.
"""

import argparse

from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.classify"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal classify`."""
    options.add_embeddings(parser, "the embeddings of the labelled rows")
    parser.add_argument("--labels", metavar="FILE[:FIELD]", required=True, help="their labels (default field: label)")
    options.add_voting(parser)
    parser.add_argument("--allow-small-classes", action="store_true", help="do not warn where k is larger than a class")
    options.add_metric(parser, mahalanobis=True)
    options.add_on_invalid(parser, "known rows do not vote, queries get no result")
    options.add_threads(parser)
    options.add_device(parser)
    options.add_output(parser)
    options.add_add_to(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Classify the queries and print what was predicted."""
    from vicinal.data.usable import note
    from vicinal.tasks.predict.classify import classify

    with console.progress() as progress:
        result = classify(
            arguments.data,
            arguments.labels,
            arguments.queries,
            embeddings=arguments.embeddings,
            encoding=arguments.encoding,
            query_ids=arguments.query_ids,
            k=options.number(arguments.k),
            max_k=options.number(arguments.max_k),
            weights=arguments.weights,
            allow_small_classes=arguments.allow_small_classes,
            with_neighbors=arguments.with_neighbors,
            metric=arguments.metric,
            matrix=arguments.matrix,
            on_invalid=arguments.on_invalid,
            threads=options.number(arguments.threads),
            device=arguments.device,
            output=arguments.output,
            add_to=arguments.add_to,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    written = arguments.output or arguments.add_to
    screen.result(result.records(), result.summary, written, arguments.json, len(result))
    chosen = "" if result.score is None else f"; leave-one-out accuracy {result.score:.4f}"
    console.note(
        f"{len(result):,} rows classified among {len(result.classes)} classes by {result.k} neighbours, "
        f"{result.weights} weights{chosen}, in {result.seconds:.1f} s"
        f"{note(result.unusable['data'], skip=True, of='the data')}"
        f"{note(result.unusable['queries'], result.skipped, of='the queries')}"
    )
    return 0
