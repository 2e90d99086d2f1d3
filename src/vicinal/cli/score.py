"""Score a data set by its neighbours: high is unique, low is redundant.

The score of a sample is the mean distance to its k nearest other samples, or what --by names: any number of scores from
one pass. A name may be followed by :percentile or :ratio (to the data set's median).

  vicinal score data.jsonl --embeddings emb.npy -k 5 --metric euclidean -o scores.jsonl
  vicinal score data.jsonl --config knn.yaml -o scores.jsonl
  vicinal score --config oda.yaml
  vicinal score data.jsonl --neighbors graph/ -k 5
  vicinal score data.jsonl --embeddings emb.npy --by mean,lof,kth:percentile --evidence --run run/ -o scores.jsonl
  vicinal score --append new.jsonl --embeddings new.npy --previous run/ -o all.jsonl

Data sets are .jsonl, .jsonl.gz, .csv or .parquet; the output too, chosen by its extension. Without an output the scores
go to standard output. Every key of a configuration has an option here that overrides it.
"""

import argparse
import sys
import time

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal score`."""
    from vicinal.analysis.scores import SCORES
    from vicinal.data.tables import SUFFIXES
    from vicinal.knn.metrics import BY_NAME
    from vicinal.knn.vectors import ON_INVALID

    parser.add_argument("input_path", metavar="DATA", nargs="?", help=f"the data set: {', '.join(SUFFIXES)}")
    parser.add_argument("--config", metavar="FILE", help="a YAML file, flat (one scorer) or nested (several)")
    parser.add_argument("--input-path", dest="input_option", metavar="DATA", help="the same as DATA")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--embeddings", "--embedding-path", dest="embedding_path", metavar="NPY", help="one row a sample"
    )
    source.add_argument("--neighbors", metavar="FOLDER", help="a graph saved by `vicinal neighbors`, for embeddings")
    parser.add_argument("-k", "--k", metavar="K", help="how many neighbours (default 5)")
    parser.add_argument(
        "--metric",
        "--distance-metric",
        dest="distance_metric",
        metavar="NAME",
        help=f"{', '.join(BY_NAME)} (default euclidean)",
    )
    parser.add_argument(
        "--by", metavar="NAME,...", help=f"the scores: {', '.join(score.by for score in SCORES)} (default mean)"
    )
    parser.add_argument("--name", metavar="NAME", help=f"the same, one: {', '.join(score.name for score in SCORES)}")
    parser.add_argument("--sub-name", metavar="NAME", help="the scorer's name in the output of the nested form")
    parser.add_argument(
        "--reference",
        "--reference-path",
        dest="reference_path",
        metavar="NPY",
        help="score each sample by its distance to this other set too",
    )
    parser.add_argument(
        "--group",
        "--group-field",
        dest="group_field",
        metavar="FIELD",
        help="samples with the same value of this field are not each other's neighbours",
    )
    parser.add_argument(
        "--evidence", action="store_true", help="add the neighbours' ids and distances, and the group of exact copies"
    )
    parser.add_argument("--max-workers", "--threads", metavar="N", help="threads (default: the machine's cores)")
    parser.add_argument(
        "-o",
        "--output",
        "--output-path",
        dest="output_path",
        metavar="PATH",
        help="the output file; in the nested form the output folder",
    )
    parser.add_argument("--run", dest="run_folder", metavar="FOLDER", help="keep the run, for reports and --append")
    parser.add_argument("--append", metavar="DATA", help="new rows, to be scored together with those of --previous")
    parser.add_argument("--previous", metavar="FOLDER", help="the kept run that --append goes on from")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    parser.add_argument(
        "--on-invalid",
        choices=ON_INVALID,
        default="error",
        help="rows with NaN, infinity or, under cosine, only zeros: an error, or score null (default error)",
    )
    parser.add_argument("--id-field", metavar="FIELD", default="id", help="the data set's field of ids (default id)")
    parser.add_argument(
        "--checkpoint", metavar="FOLDER", help="keep finished work there every minute; the same command goes on from it"
    )
    parser.add_argument("--json", action="store_true", help="a summary as JSON: on stdout, or stderr without an output")
    for key in ("num-gpu", "num-gpu-per-job", "data-with-id", "resume"):
        parser.add_argument(f"--{key}", metavar="X", help="accepted, unused")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Plan, score, print."""
    from vicinal.data import tables
    from vicinal.errors import UsageError
    from vicinal.tasks import score
    from vicinal.tasks.score import config

    if arguments.input_option is not None:
        if arguments.input_path is not None:
            raise UsageError("the data set is given twice, as DATA and as --input-path; give one of them")
        arguments.input_path = arguments.input_option
    if (arguments.append is None) != (arguments.previous is None):
        raise UsageError("--append NEW.jsonl and --previous FOLDER belong together: give both or neither")
    overrides = {key: getattr(arguments, key) for key in config.OVERRIDES}
    if arguments.append is not None:
        given = {"input_path": arguments.input_path, **overrides, "config": arguments.config}
        given |= {"neighbors": arguments.neighbors, "checkpoint": arguments.checkpoint}
        own = [key for key in given if given[key] is not None and key not in ("embedding_path", "output_path")]
        if own:
            raise UsageError(f"{', '.join(own)}: with --append, what is scored and how is the kept run's; leave it out")
        overrides["input_path"] = str(config.input_file(arguments.append, "--append"))
    plan = config.read_plan(arguments.config, overrides, neighbors_given=arguments.neighbors is not None)
    if plan.unused:
        console.detail(f"accepted but not used here: {', '.join(plan.unused)}")
    start = time.perf_counter()
    with console.progress() as progress:
        if arguments.append is not None:
            done = score.append_dataset(
                plan,
                arguments.previous,
                overwrite=arguments.overwrite,
                progress=progress,
                evidence=arguments.evidence,
                keep=arguments.run_folder,
            )
        else:
            done = score.score_dataset(
                plan,
                neighbors=arguments.neighbors,
                on_invalid=arguments.on_invalid,
                overwrite=arguments.overwrite,
                id_field=arguments.id_field,
                progress=progress,
                checkpoint=arguments.checkpoint,
                evidence=arguments.evidence,
                keep=arguments.run_folder,
            )
    seconds = time.perf_counter() - start
    if done.output is None:
        lines = tables.JsonLines(sys.stdout.buffer)
        for record in done.records(plan.nested):
            lines.add(record)
        sys.stdout.buffer.flush()
    if arguments.json:
        print(score.summary(done, plan.nested, seconds), file=sys.stderr if done.output is None else sys.stdout)
    for one in done.scored:
        console.detail(f"{one.plan.label}: k = {one.k}, {one.plan.metric}, {one.engine}, {one.seconds:.2f} s")
    if done.output is not None:
        console.note(f"{len(done.ids):,} rows scored in {seconds:.1f} s: {done.output}")
    return 0
