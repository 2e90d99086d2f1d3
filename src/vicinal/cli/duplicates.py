"""Find groups of rows that lie within a radius of each other.

  vicinal duplicates data.jsonl --embeddings emb.npy --suggest --metric cosine
  vicinal duplicates data.jsonl --embeddings emb.npy --radius 0.05 --metric cosine -o groups.jsonl

One line a group: its representative (the row that stays), its size, the ids and row numbers of its members, and their
distances to the representative, which are at most the radius. --link single joins chains of close rows instead, whose
ends may be far apart. Rows with the same vector and other texts are no copies: with --radius 0 they stay. --suggest
shows what several radii would remove, with sample pairs. `vicinal dedup` writes the data set without its duplicates.
"""

import argparse
import json
from collections.abc import Mapping

from vicinal.cli import grouped, options, screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.duplicates"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal duplicates`."""
    parser.add_argument("data", metavar="DATA", help=f"the data set, or embeddings alone: {options.PATHS}")
    options.add_embeddings_option(parser, "one row a sample, where DATA is a data set")
    radius = parser.add_mutually_exclusive_group(required=True)
    radius.add_argument(
        "--radius", metavar="R", help="rows at most so far apart are duplicates; 0 for exact copies; auto as --suggest"
    )
    radius.add_argument(
        "--suggest",
        dest="radius",
        action="store_const",
        const="auto",
        help="show what several radii would remove, with three sample pairs each, to choose one by",
    )
    options.add_metric(parser, default=None)
    options.add_neighbors(parser)
    options.add_recall(parser, "pairs of rows")
    options.add_grouping(parser)
    parser.add_argument("--quality", metavar="FIELD", help="the same as --keep best:FIELD")
    options.add_text(parser, "; with --suggest, the one that the sample pairs are shown with")
    parser.add_argument("--picture", metavar="FILE", help="with --suggest, draw the curve: .svg, .png or .pdf")
    parser.add_argument("-o", "--output", metavar="PATH", help="a .jsonl or .jsonl.gz file (default: standard output)")
    options.add_add_to(parser)
    options.add_overwrite(parser)
    options.add_on_invalid(parser, "in no group")
    options.add_ids(parser)
    options.add_threads(parser)
    options.add_engine(parser)
    options.add_device(parser)
    parser.add_argument("--json", action="store_true", help="a summary as JSON: on stdout, or stderr without an output")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Find the duplicates; print the groups and a summary."""
    from vicinal.data.usable import note
    from vicinal.knn.recall import recall_note
    from vicinal.tasks.duplicates import Duplicates, RadiusCurve, duplicates

    with console.progress() as progress:
        found: Duplicates | RadiusCurve = duplicates(
            arguments.data,
            options.number(arguments.radius),
            arguments.embeddings,
            encoding=arguments.encoding,
            metric=arguments.metric,
            neighbors=arguments.neighbors,
            recall=options.number(arguments.recall),
            link=arguments.link,
            keep=arguments.keep,
            quality=arguments.quality,
            within=arguments.within,
            ids=arguments.ids,
            on_invalid=arguments.on_invalid,
            threads=options.number(arguments.threads),
            engine=arguments.engine,
            address=arguments.address,
            device=arguments.device,
            progress=progress,
            output=arguments.output,
            add_to=arguments.add_to,
            picture=arguments.picture,
            text=options.names(arguments.text),
            overwrite=arguments.overwrite,
        )
    if isinstance(found, RadiusCurve):
        if arguments.json:
            print(json.dumps(found.summary(), ensure_ascii=False))
        else:
            seen = screen.stdout()
            seen.show(seen.fitted(found.lines()))
        console.note(
            f"{found.n:,} rows in {found.seconds:.1f} s{note(found.unusable, found.skipped)}; choose the largest "
            "radius whose pairs say the same, and give it as --radius"
        )
        return 0
    summary = found.summary()
    written = arguments.output or arguments.add_to
    seen = screen.stdout()
    if seen.is_terminal and not arguments.json and not console.quiet:
        seen.show(grouped.lines(found, seen, arguments.data, arguments.ids))
    else:
        options.print_result(found.groups if written is None else (), found.summary, written, arguments.json)
    far = f", {summary['beyond_radius']:,} of them beyond the radius" if found.link == "single" else ""
    console.note(
        f"{summary['groups']:,} groups of {summary['rows']:,} rows; {summary['removable']:,} could go{far}"
        f"{kinds_of(summary)} ({found.seconds:.1f} s){note(found.unusable, found.skipped)}"
        f"{recall_note(found.recall)}"
    )
    return 0


def kinds_of(summary: Mapping[str, int]) -> str:
    """What a closing line says of the kinds of duplicates."""
    counts = (
        ("copies", "the same vector and text"),
        ("same_vector", "the same vector, another text or none"),
        ("near", "near"),
    )
    said = ", ".join(f"{summary[name]:,} {words}" for name, words in counts if summary[name])
    stay = f"; {summary['other_text']:,} stay, whose vector is there with another text" if summary["other_text"] else ""
    return (f": {said}" if said else "") + stay
