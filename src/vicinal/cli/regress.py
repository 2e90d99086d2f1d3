"""Predict a value of rows from the values of their nearest rows.

  vicinal regress train.npy --targets train.jsonl:price --queries test.npy -k auto -o predictions.jsonl

Each record: id, value (the weighted mean of the neighbours' values) and spread (their standard deviation); with
--with-neighbors also the neighbours, in .csv and .parquet as JSON text.
"""

import argparse

from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.regress"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal regress`."""
    options.add_embeddings(parser, "the embeddings of the rows whose value is known")
    parser.add_argument("--targets", metavar="FILE[:FIELD]", required=True, help="the values (default field: target)")
    options.add_voting(parser)
    options.add_metric(parser, mahalanobis=True)
    options.add_on_invalid(parser, "known rows do not vote, queries get no result")
    options.add_threads(parser)
    options.add_device(parser)
    options.add_output(parser)
    options.add_add_to(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Predict the values of the queries and print them."""
    from vicinal.data.usable import note
    from vicinal.tasks.predict.regress import regress

    with console.progress() as progress:
        result = regress(
            arguments.data,
            arguments.targets,
            arguments.queries,
            embeddings=arguments.embeddings,
            encoding=arguments.encoding,
            query_ids=arguments.query_ids,
            k=options.number(arguments.k),
            max_k=options.number(arguments.max_k),
            weights=arguments.weights,
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
    chosen = "" if result.score is None else f"; leave-one-out R2 {result.score:.4f}"
    console.note(
        f"{len(result):,} values predicted from {result.k} neighbours, {result.weights} weights{chosen}, in "
        f"{result.seconds:.1f} s"
        f"{note(result.unusable['data'], skip=True, of='the data')}"
        f"{note(result.unusable['queries'], result.skipped, of='the queries')}"
    )
    return 0
