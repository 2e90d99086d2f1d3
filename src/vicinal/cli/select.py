"""Choose a given number of rows of a data set, and give the reason for each row.

The chosen lines are copied byte for byte; beside them a decision for every row: kept or dropped, by which rule, because
of which row.

  vicinal select data.jsonl scores.jsonl --keep 10000 -o chosen.jsonl
  vicinal select data.jsonl scores.jsonl --keep 10% --strategy middle --quality rating --quota source -o chosen.jsonl
  vicinal select data.jsonl --keep 10% --strategy k-center --embeddings emb.npy --dedup 0.05 --metric cosine -o c.jsonl
  vicinal select data.jsonl --keep 10% --strategy tsds --target mine.npy --embeddings emb.npy --metric cosine -o c.jsonl
"""

import argparse
import json

from vicinal.cli import options
from vicinal.cli.console import Console

FUNCTION = "vicinal.select"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal select`."""
    from vicinal.tasks.select import STRATEGIES

    parser.add_argument("data", metavar="DATA", help="the data set")
    parser.add_argument("scores", metavar="SCORES", nargs="?", help="its scores, by vicinal score, or a field of DATA")
    parser.add_argument("--keep", metavar="N", required=True, help="how many rows: a number, or a share as 10%% or 0.1")
    strategies = "; ".join(f"{strategy.name}: {strategy.does}" for strategy in STRATEGIES)
    parser.add_argument("--strategy", metavar="NAME", default="highest", help=f"{strategies} (default highest)")
    parser.add_argument("--by", metavar="NAME", help="which score, where the file has several")
    options.add_embeddings_option(parser, "one row a sample, for --dedup and most strategies")
    parser.add_argument(
        "--neighbors", metavar="FOLDER", help="a graph saved by `vicinal neighbors`, for facility and qdit"
    )
    parser.add_argument(
        "-k", "--k", metavar="K", help="how many neighbours facility, qdit and novelsum search (default 10)"
    )
    options.add_metric(parser)
    parser.add_argument("--quality", metavar="FIELD", help="a field of numbers, high is good: prefer such rows")
    parser.add_argument("--dedup", metavar="RADIUS", help="first leave out rows so close to one that takes part")
    options.add_link(parser)
    parser.add_argument("--quota", metavar="FIELD", help="each value of this field keeps its share")
    parser.add_argument("--target", metavar="NPY", help="the embeddings that tsds selects towards")
    parser.add_argument("--alpha", metavar="A", help="from 0 to 1: the weight of quality in qdit, nearness in tsds")
    parser.add_argument("--threshold", metavar="D", help="the distance that deita keeps rows apart (default 0.1)")
    parser.add_argument("--bandwidth", metavar="D", help="tsds-kde: rows so near share their weight (default 0.75)")
    parser.add_argument("--clusters", metavar="N", help="of semdedup and d4 (default: the root of the rows)")
    parser.add_argument("--seed", metavar="N", help="of the strategies that draw (default 0)")
    parser.add_argument("-o", "--output", metavar="PATH", required=True, help="the chosen rows, of the data set's kind")
    parser.add_argument("--decisions", metavar="PATH", help="the decisions (default: OUTPUT.decisions.jsonl)")
    options.add_overwrite(parser)
    options.add_on_invalid(parser, "not chosen", default="null")
    options.add_ids(parser)
    options.add_threads(parser)
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Select the rows; print a summary."""
    from vicinal.data.usable import note
    from vicinal.tasks.select import select

    with console.progress() as progress:
        found = select(
            arguments.data,
            arguments.scores,
            keep=arguments.keep,
            strategy=arguments.strategy,
            by=arguments.by,
            embeddings=arguments.embeddings,
            encoding=arguments.encoding,
            neighbors=arguments.neighbors,
            k=options.number(arguments.k),
            metric=arguments.metric,
            quality=arguments.quality,
            dedup=options.number(arguments.dedup),
            link=arguments.link,
            quota=arguments.quota,
            on_invalid=arguments.on_invalid,
            target=arguments.target,
            alpha=options.number(arguments.alpha),
            threshold=options.number(arguments.threshold),
            bandwidth=options.number(arguments.bandwidth),
            clusters=options.number(arguments.clusters),
            seed=options.number(arguments.seed),
            ids=arguments.ids,
            threads=options.number(arguments.threads),
            progress=progress,
            output=arguments.output,
            decisions=arguments.decisions,
            overwrite=arguments.overwrite,
        )
    summary = found.summary()
    if arguments.json:
        print(json.dumps({**summary, "output": arguments.output}))
    console.note(
        f"{summary['kept']:,} of {summary['n']:,} rows kept in {found.seconds:.1f} s: {arguments.output}"
        f"{note(found.unusable, arguments.on_invalid == 'skip')}"
    )
    return 0
