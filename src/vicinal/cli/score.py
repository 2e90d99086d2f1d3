"""Score a data set by its neighbours: high is unique, low is redundant.

The score of a sample is the mean distance to its k nearest other samples, or what --by names: any number of scores from
one pass. A name may be followed by :percentile or :ratio (to the data set's median).

  vicinal score data.jsonl --embeddings emb.npy -k 5 --metric euclidean -o scores.jsonl
  vicinal score data.jsonl --config knn.yaml -o scores.jsonl
  vicinal score --config oda.yaml --skip-unknown
  vicinal score data.jsonl --neighbors graph/ -k 5
  vicinal score data.jsonl --embeddings emb.npy --by mean,lof,kth:percentile --evidence --run run/ -o scores.jsonl
  vicinal score --append new.jsonl --embeddings new.npy --previous run/ -o all.jsonl

Data sets are .jsonl, .jsonl.gz, .csv or .parquet; the output too, chosen by its extension. Without an output the scores
go to standard output. Every key of a configuration has an option here that overrides it.
"""

import argparse
from typing import Any

from vicinal.cli import options
from vicinal.cli.closing import closing
from vicinal.cli.console import Console
from vicinal.cli.screen import stdout

FUNCTION = "vicinal.score"
UNUSED = ("num_gpu", "num_gpu_per_job", "data_with_id", "resume")
PRINTED = ("json", *UNUSED)  # the unused options change one line of -v


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal score`."""
    _add_sources(parser)
    _add_scores(parser)
    _add_outputs(parser)
    for key in UNUSED:
        parser.add_argument(f"--{key.replace('_', '-')}", metavar="X", help="accepted, unused")


def _add_sources(parser: argparse.ArgumentParser) -> None:
    """Add what is read."""
    from vicinal.data.tables import SUFFIXES

    help_of_data = f"the data set: {', '.join(SUFFIXES)}; or embeddings alone: {options.PATHS}"
    parser.add_argument("data", metavar="DATA", nargs="?", default=argparse.SUPPRESS, help=help_of_data)
    parser.add_argument("--config", metavar="FILE", help="a YAML file, flat (one scorer) or nested (several)")
    parser.add_argument(
        "--skip-unknown", action="store_true", help="leave out scorers of the file that vicinal does not have"
    )
    parser.add_argument("--input-path", dest="data", metavar="DATA", help="the same as DATA")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--embeddings",
        "--embedding-path",
        dest="embeddings",
        metavar="PATH",
        help=f"one row a sample: {options.PATHS}; :FIELD is a field of DATA itself",
    )
    options.add_encoding(source)
    source.add_argument("--neighbors", metavar="FOLDER", help="a graph saved by `vicinal neighbors`, for embeddings")
    parser.add_argument("--append", metavar="DATA", help="new rows, to be scored together with those of --previous")
    parser.add_argument("--previous", metavar="FOLDER", help="the kept run that --append goes on from")
    options.add_on_invalid(parser, "score null")
    options.add_ids(parser)


def _add_scores(parser: argparse.ArgumentParser) -> None:
    """Add what is computed, and how."""
    from vicinal.analysis.score_table import SCORES
    from vicinal.knn.metrics import BY_NAME

    parser.add_argument("-k", "--k", metavar="K", help="how many neighbours (default 5)")
    parser.add_argument(
        "--metric",
        "--distance-metric",
        dest="metric",
        metavar="NAME",
        help=f"{', '.join(BY_NAME)} (default euclidean)",
    )
    parser.add_argument(
        "--by",
        "--name",
        dest="by",
        metavar="NAME,...",
        help=f"the scores: {', '.join(score.by for score in SCORES)} (default mean), or "
        f"{', '.join(score.name for score in SCORES)}",
    )
    parser.add_argument("--sub-name", metavar="NAME", help="the name of a single score in the output")
    parser.add_argument(
        "--reference",
        "--reference-path",
        dest="reference",
        metavar="NPY",
        help="score each sample by its distance to this other set too",
    )
    parser.add_argument(
        "--group",
        "--group-field",
        dest="groups",
        metavar="FIELD",
        help="samples with the same value of this field are not each other's neighbours",
    )
    parser.add_argument(
        "--evidence", action="store_true", help="add the neighbours' ids and distances, and the group of exact copies"
    )
    options.add_recall(parser)
    parser.add_argument(
        "--threads", "--max-workers", dest="threads", metavar="N", help="threads (default: the machine's cores)"
    )
    options.add_engine(parser)
    options.add_device(parser)
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="keep finished work there every minute and at Ctrl-C; the same command continues from it",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add what is written."""
    from vicinal.tasks.score.results import FORMATS

    parser.add_argument(
        "-o",
        "--output",
        "--output-path",
        dest="output",
        metavar="PATH",
        help="the output file; in the nested form the output folder",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="one shape of record for one score or several: flat, {id, mean, lof}, or nested, {id, scores: {mean: "
        "{score}}} (default: one score as {id, score}, several nested, in tables flat)",
    )
    options.add_add_to(parser)
    parser.add_argument("--run", metavar="FOLDER", help="keep the run, for reports and --append")
    options.add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="a summary as JSON: on stdout, or stderr without an output")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Score and print."""
    from vicinal.data.usable import note
    from vicinal.knn.recall import recall_note
    from vicinal.tasks.score import score
    from vicinal.tasks.score.config import check_unused

    k: Any = options.number(arguments.k)  # the function refuses what is no whole number
    threads: Any = options.number(arguments.threads)
    recall: Any = options.number(arguments.recall)
    unused = check_unused({key: getattr(arguments, key) for key in UNUSED})
    with console.progress() as progress:
        scores = score(
            arguments.data,
            arguments.embeddings,
            encoding=arguments.encoding,
            by=arguments.by,
            k=k,
            metric=arguments.metric,
            reference=arguments.reference,
            groups=arguments.groups,
            ids=arguments.ids,
            neighbors=arguments.neighbors,
            on_invalid=arguments.on_invalid,
            evidence=arguments.evidence,
            threads=threads,
            engine=arguments.engine,
            address=arguments.address,
            device=arguments.device,
            progress=progress,
            checkpoint=arguments.checkpoint,
            recall=recall,
            output=arguments.output,
            add_to=arguments.add_to,
            overwrite=arguments.overwrite,
            run=arguments.run,
            append=arguments.append,
            previous=arguments.previous,
            config=arguments.config,
            sub_name=arguments.sub_name,
            skip_unknown=arguments.skip_unknown,
            format=arguments.format,
        )
    unused = tuple(key for key in UNUSED if key in (*unused, *scores.plan.unused))
    if unused:
        console.detail(f"accepted but not used here: {', '.join(unused)}")
    written = scores.output or arguments.add_to
    seen = stdout()
    if seen.is_terminal and not arguments.json and not console.quiet:
        seen.show(closing(scores, seen))
    else:
        options.print_result(scores.records(), scores.summary, written, arguments.json)
    for one in scores.scored:
        metric = one.scorer.metric.name
        console.detail(f"{one.label}: k = {one.k}, {metric}, {one.engine}, {one.seconds:.2f} s")
    left_out = f"; {scores.skipped:,} rows without a usable value were left out" if scores.skipped else ""
    null = note(scores.errors) + (recall_note(scores.neighbors.recall) if scores.scored else "")
    if written is not None or left_out or null:
        place = "" if written is None else f": {written}"
        console.note(f"{len(scores):,} rows scored in {scores.seconds:.1f} s{place}{null}{left_out}")
    return 0
