"""Write a data set without its near-duplicates, or without rows that are close to another set.

  vicinal dedup data.jsonl --embeddings emb.npy --radius 0.05 --metric cosine -o clean.jsonl
  vicinal dedup train.jsonl --embeddings train.npy --radius 0.1 --against test.npy --keep all -o clean.jsonl

Each row that goes is within the radius of a row that stays (--link single: of a chain of rows). `vicinal duplicates
--suggest` shows what several radii remove. --removed names a file for the rows that go and the reasons.
"""

import argparse
import json

from vicinal.cli import options
from vicinal.cli.console import Console
from vicinal.cli.duplicates import kinds_of

FUNCTION = "vicinal.dedup"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal dedup`."""
    parser.add_argument("data", metavar="DATA", help="the data set")
    options.add_embeddings_option(parser, "one row a sample")
    parser.add_argument(
        "--radius", metavar="R", required=True, help="rows at most so far apart are duplicates; 0 for exact copies"
    )
    options.add_metric(parser, default=None)
    options.add_neighbors(parser)
    options.add_recall(parser, "pairs of rows")
    options.add_grouping(parser, also=", or all, which removes only rows close to --against")
    options.add_text(parser)
    parser.add_argument("--against", metavar="DATA", help="another set: rows within the radius of its rows go")
    parser.add_argument("--against-embeddings", metavar="NPY", help="its embeddings, where --against is a data set")
    parser.add_argument("-o", "--output", metavar="PATH", help="the rows that stay, of the data set's kind")
    parser.add_argument("--removed", metavar="PATH", help="the rows that go, and why: .jsonl or .jsonl.gz")
    options.add_add_to(parser)
    options.add_overwrite(parser)
    options.add_on_invalid(parser, "they stay")
    options.add_ids(parser)
    options.add_threads(parser)
    options.add_device(parser)
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Remove the duplicates; print a summary."""
    from vicinal.data.usable import note
    from vicinal.errors import UsageError
    from vicinal.knn.recall import recall_note
    from vicinal.tasks.duplicates.dedup import dedup

    outputs = [name for name in (arguments.output, arguments.add_to, arguments.removed) if name is not None]
    if not outputs:
        raise UsageError("output: missing; name a file for the rows that stay (-o), or --add-to or --removed")
    with console.progress() as progress:
        found = dedup(
            arguments.data,
            options.number(arguments.radius),
            arguments.embeddings,
            encoding=arguments.encoding,
            metric=arguments.metric,
            neighbors=arguments.neighbors,
            recall=options.number(arguments.recall),
            link=arguments.link,
            keep=arguments.keep,
            within=arguments.within,
            text=options.names(arguments.text),
            against=arguments.against,
            against_embeddings=arguments.against_embeddings,
            ids=arguments.ids,
            on_invalid=arguments.on_invalid,
            threads=options.number(arguments.threads),
            device=arguments.device,
            progress=progress,
            output=arguments.output,
            removed=arguments.removed,
            add_to=arguments.add_to,
            overwrite=arguments.overwrite,
        )
    summary = found.summary()
    if arguments.json:
        print(json.dumps({**summary, "output": arguments.output}))
    far = f" ({found.beyond:,} of them beyond the radius)" if found.link == "single" else ""
    said = kinds_of(summary).removeprefix(": ").removeprefix("; ")
    kinds = f" ({said})" if said else ""
    against = f", {summary['against']:,} close to {arguments.against}" if arguments.against else ""
    console.note(
        f"{summary['kept']:,} of {summary['n']:,} rows stay; {summary['duplicates']:,} duplicates went{far}{kinds}"
        f"{against} in {found.seconds:.1f} s: {outputs[0]}{note(found.unusable, found.skipped)}"
        f"{recall_note(found.recall)}"
    )
    return 0
