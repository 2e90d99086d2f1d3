"""Measure the diversity of a whole set: radius, mean similarity, Vendi score, log-determinant, NovelSum and others.

  vicinal diversity emb.npy
  vicinal diversity emb.npy --by vendi,novelsum --similarity cosine
  vicinal diversity emb.npy --by facility --subset chosen.npy --distance cosine
  vicinal diversity data.jsonl --embeddings emb.npy --by entropy --clusters cluster_id --num-clusters 22

radius, aps, vendi and logdet read the rows once and keep dim x dim numbers; novelsum compares all pairs, block by
block. aps and vendi under euclidean or manhattan are estimated above some thousand rows, and say so with their error.
The names and the keys of the answers are those of ODA-DataScorer, whose YAML files `vicinal score` reads.
"""

import argparse
import json
from typing import Any

from vicinal.cli import options, screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.diversity"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal diversity`."""
    from vicinal.analysis.diversity.similarities import SIMILARITIES
    from vicinal.tasks.diversity.measures import DISTANCES, MEASURES

    parser.add_argument("data", metavar="DATA", help=f"the embeddings: {options.PATHS}; or their data set")
    options.add_embeddings_option(parser)
    names = ", ".join(measure.by for measure in MEASURES)
    parser.add_argument("--by", metavar="NAME,...", default="radius,aps,vendi,logdet", help=f"the measures: {names}")
    parser.add_argument(
        "--similarity",
        metavar="NAME",
        choices=[one.name for one in SIMILARITIES],
        default="cosine",
        help=f"of aps and vendi: {', '.join(one.name for one in SIMILARITIES)}",
    )
    parser.add_argument("--distance", choices=DISTANCES, help="of facility (euclidean) and inertia (cosine)")
    parser.add_argument("--subset", metavar="NPY", help="facility: the embeddings of the subset")
    parser.add_argument("--reference", metavar="NPY", help="novelsum: the rows that densities are measured in")
    parser.add_argument("--centroids", metavar="NPY", help="inertia: one row a cluster")
    parser.add_argument("--clusters", metavar="FIELD", help="inertia, entropy: a field, FILE:FIELD or .npy file")
    parser.add_argument("--num-clusters", metavar="N", help="entropy: how many clusters there are in all")
    parser.add_argument("--density-powers", metavar="P,...", default="0,0.25,0.5", help="novelsum (default 0,0.25,0.5)")
    parser.add_argument("--neighbors", metavar="K,...", default="5,10", help="novelsum (default 5,10)")
    parser.add_argument("--distance-powers", metavar="P,...", default="0,1,2", help="novelsum (default 0,1,2)")
    parser.add_argument(
        "--ridge-alpha", metavar="A", default="1e-10", help="logdet: added to the diagonal (default 1e-10)"
    )
    parser.add_argument("--sample-pairs", metavar="N", help="aps: so many pairs, drawn by the seed")
    parser.add_argument("--seed", metavar="N", default="0", help="of samples and landmarks (default 0)")
    options.add_on_invalid(parser, "left out")
    options.add_threads(parser)
    options.add_device(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write the answers as one line of JSON")
    options.add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


def _numbers(text: str) -> list[Any]:
    return [options.number(one.strip()) for one in text.split(",")]


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compute the measures and print their main figures."""
    from vicinal.data.usable import note
    from vicinal.tasks.diversity import diversity

    with console.progress() as progress:
        found = diversity(
            arguments.data,
            arguments.embeddings,
            encoding=arguments.encoding,
            by=arguments.by,
            similarity=arguments.similarity,
            distance=arguments.distance,
            subset=arguments.subset,
            reference=arguments.reference,
            centroids=arguments.centroids,
            clusters=arguments.clusters,
            num_clusters=options.number(arguments.num_clusters),
            density_powers=_numbers(arguments.density_powers),
            neighbors=_numbers(arguments.neighbors),
            distance_powers=_numbers(arguments.distance_powers),
            ridge_alpha=options.number(arguments.ridge_alpha),
            sample_pairs=options.number(arguments.sample_pairs),
            seed=options.number(arguments.seed),
            on_invalid=arguments.on_invalid,
            threads=options.number(arguments.threads),
            device=arguments.device,
            progress=progress,
            output=arguments.output,
            overwrite=arguments.overwrite,
        )
    screen.show_text(json.dumps(found.summary()) if arguments.json else str(found), arguments.json)
    for name, seconds in found.seconds.items():
        console.detail(f"{name}: {seconds:.2f} s")
    for name, answer in found.items():
        if "warning" in answer:
            console.note(f"{name}: {answer['warning']}")
    left_out = note(found.unusable, skip=True)
    console.note(f"{found.n:,} rows measured in {sum(found.seconds.values()):.1f} s{left_out}")
    return 0
