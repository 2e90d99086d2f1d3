"""Choose a given number of rows of a data set, and give the reason for each row.

The chosen lines are copied byte for byte; beside them a decision for every row: kept or dropped, by which rule, because
of which row.

  vicinal select data.jsonl scores.jsonl --keep 10000 -o chosen.jsonl
  vicinal select data.jsonl scores.jsonl --keep 10% --strategy middle --quality rating --quota source -o chosen.jsonl
  vicinal select data.jsonl --keep 10% --strategy k-center --embeddings emb.npy --dedup 0.05 --metric cosine -o c.jsonl
  vicinal select data.jsonl --keep 10% --strategy tsds --target mine.npy --embeddings emb.npy --metric cosine -o c.jsonl

With --compare, nothing is selected: on rows with labels, classifiers that learn from the rows which each strategy
chooses are compared with those that learn from random rows.

  vicinal select data.jsonl --compare facility,k-center --labels label --embeddings emb.npy --metric cosine
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from vicinal.cli import options, screen
from vicinal.cli.console import Console
from vicinal.cli.duplicates import kinds_of
from vicinal.errors import UsageError

FUNCTION = "vicinal.select"
ALSO = "vicinal.compare_selections"  # the function of --compare
PRINTED = ("json", "figure")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal select`."""
    from vicinal.tasks.select import STRATEGIES
    from vicinal.tasks.select.comparison import FIGURES

    parser.add_argument("data", metavar="DATA", help="the data set")
    parser.add_argument(
        "scores", metavar="SCORES", nargs="?", help="its scores, by vicinal score, a kept run, or a field of DATA"
    )
    parser.add_argument(
        "--keep",
        metavar="N",
        help="how many rows: a number, or a share as 10%% or 0.1; of --compare several (default 1%%,5%%,10%%,30%%)",
    )
    strategies = "; ".join(f"{strategy.name}: {strategy.does}" for strategy in STRATEGIES)
    parser.add_argument("--strategy", metavar="NAME", help=f"{strategies} (default highest)")
    parser.add_argument("--by", metavar="NAME", help="which score, where the file has several")
    options.add_embeddings_option(parser, "one row a sample, for --dedup and most strategies")
    options.add_neighbors(parser)
    parser.add_argument(
        "-k", "--k", metavar="K", help="how many neighbours facility, qdit and novelsum search (default 10)"
    )
    options.add_recall(parser)
    options.add_metric(parser, default=None)
    parser.add_argument("--quality", metavar="FIELD", help="a field of numbers, high is good: prefer such rows")
    parser.add_argument("--dedup", metavar="RADIUS", help="first leave out rows so close to one that takes part")
    options.add_link(parser)
    parser.add_argument("--quota", metavar="FIELD", help="each value of this field keeps its share")
    parser.add_argument("--marks", metavar="PATH", help="marks of vicinal explore: those to keep first, none to drop")
    parser.add_argument("--target", metavar="NPY", help="the embeddings that tsds selects towards")
    parser.add_argument("--alpha", metavar="A", help="from 0 to 1: the weight of quality in qdit, nearness in tsds")
    parser.add_argument("--threshold", metavar="D", help="the distance that deita keeps rows apart (default 0.1)")
    parser.add_argument("--bandwidth", metavar="D", help="tsds-kde: rows so near share their weight (default 0.75)")
    parser.add_argument("--clusters", metavar="N", help="of semdedup and d4 (default: the root of the rows)")
    parser.add_argument("--seed", metavar="N", help="of the strategies that draw (default 0)")
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="the chosen rows, of the data set's kind; of --compare a .json file"
    )
    parser.add_argument("--decisions", metavar="PATH", help="the decisions (default: OUTPUT.decisions.jsonl)")
    options.add_overwrite(parser)
    options.add_on_invalid(parser, "not chosen", default="null")
    options.add_ids(parser)
    options.add_threads(parser)
    options.add_device(parser)
    parser.add_argument("--compare", metavar="NAMES", help="compare strategies, with commas between them, or all")
    parser.add_argument("--labels", metavar="FIELD", help="the labels that --compare learns")
    parser.add_argument(
        "--variants",
        metavar="NAMES",
        help="of --compare: plain, imbalance, duplicates, noise, or all (default plain)",
    )
    parser.add_argument("--seeds", metavar="N", help="how many trials --compare makes (default 5)")
    parser.add_argument(
        "--figure",
        metavar="NAME",
        choices=FIGURES,
        help=f"what the table shows: {', '.join(FIGURES)} (default linear accuracy)",
    )
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Select the rows and print a summary, or compare strategies and print a table."""
    if arguments.compare is not None:
        return _compare(arguments, console)
    for name in ("labels", "variants", "seeds", "figure"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"{name}: is of a comparison; give --compare too, or leave it out")
    for name in ("keep", "output"):
        if getattr(arguments, name) is None:
            wanted = "how many rows, as --keep 100 or --keep 10%" if name == "keep" else "where the rows go, as -o PATH"
            raise UsageError(f"{name}: missing; say {wanted}")
    return _select(arguments, console)


def _select(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.data.usable import note
    from vicinal.knn.recall import recall_note
    from vicinal.tasks.select import select

    with console.progress() as progress:
        found = select(
            arguments.data,
            arguments.scores,
            keep=arguments.keep,
            strategy=arguments.strategy or "highest",
            by=arguments.by,
            embeddings=arguments.embeddings,
            encoding=arguments.encoding,
            neighbors=arguments.neighbors,
            k=options.number(arguments.k),
            recall=options.number(arguments.recall),
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
            device=arguments.device,
            progress=progress,
            output=arguments.output,
            decisions=arguments.decisions,
            overwrite=arguments.overwrite,
            marks=arguments.marks,
        )
    summary = found.summary()
    if arguments.json:
        print(json.dumps({**summary, "output": arguments.output}))
    console.note(
        f"{summary['kept']:,} of {summary['n']:,} rows kept in {found.seconds:.1f} s: {arguments.output}"
        f"{_dropped(summary)}{note(found.unusable, arguments.on_invalid == 'skip')}{recall_note(found.recall)}"
        f"{recall_note(found.dedup_recall, '; dedup: ')}"
    )
    return 0


def _dropped(summary: dict[str, Any]) -> str:
    """How many rows each rule dropped, for the closing line."""
    kinds = kinds_of(summary).removeprefix(": ").removeprefix("; ")
    words = {"dedup": f"dedup ({kinds})" if kinds else "dedup"}
    went = [f"{n:,} by {words.get(rule, rule)}" for rule, n in summary["dropped"].items() if rule != "unusable"]
    return f"; dropped: {', '.join(went)}" if went else ""


def _compare(arguments: argparse.Namespace, console: Console) -> int:
    from vicinal.tasks.select.compare import KEEP, compare_selections

    for name in ("strategy", "by", "neighbors", "dedup", "quota", "decisions", "seed", "recall", "marks"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"{name}: is of a selection, and --compare makes none; leave it out")
    if arguments.link != "greedy":
        raise UsageError("link: is of a selection, and --compare makes none; leave it out")
    with console.progress() as progress:
        found = compare_selections(
            arguments.data,
            labels=arguments.labels,
            compare=arguments.compare,
            keep=arguments.keep or KEEP,
            variants=arguments.variants or "plain",
            seeds=5 if arguments.seeds is None else options.number(arguments.seeds),
            scores=arguments.scores,
            quality=arguments.quality,
            embeddings=arguments.embeddings,
            encoding=arguments.encoding,
            target=arguments.target,
            metric=arguments.metric or "euclidean",
            k=options.number(arguments.k),
            alpha=options.number(arguments.alpha),
            threshold=options.number(arguments.threshold),
            bandwidth=options.number(arguments.bandwidth),
            clusters=options.number(arguments.clusters),
            ids=arguments.ids,
            on_invalid=arguments.on_invalid,
            threads=options.number(arguments.threads),
            device=arguments.device,
            progress=progress,
            output=arguments.output,
            overwrite=arguments.overwrite,
        )
    shown = found.table() if arguments.figure is None else found.table(arguments.figure)
    seen = screen.stdout()
    if seen.is_terminal and not arguments.json:
        seen.show(_tables(shown, seen))
    else:
        print(json.dumps(found.summary()) if arguments.json else shown)
    console.note("the gain over random rows, ± its standard error; * where a paired t-test at 5 % tells it from 0")
    console.note(f"{len(found.trials):,} choices compared in {found.seconds:.1f} s")
    return 0


def _tables(markdown: str, seen: screen.Screen) -> Iterator[str]:
    """The tables of a text in Markdown, as wide as the terminal."""
    rows: list[list[str]] = []
    for line in [*markdown.split("\n"), ""]:
        if line.startswith("|---"):
            continue
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if rows:
            yield from seen.table([dict(zip(rows[0], row, strict=True)) for row in rows[1:]])
            rows = []
        if line:
            yield from ("", seen.bold(line))
