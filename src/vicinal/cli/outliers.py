"""Score how isolated each row is, and name the outliers.

  vicinal outliers emb.npy -k 20 -o outliers.jsonl
  vicinal outliers emb.npy --by distance --contamination 0.01 -o outliers.jsonl

--by lof: the local outlier factor (Breunig et al. 2000) over distinct rows, near 1 inside a cluster of any density;
rows above 1.5 are outliers. --by distance: the distance to the k-th neighbour, in the metric's unit; rows above the
upper quartile plus 1.5 interquartile ranges are outliers. --contamination gives the share of outliers instead.
Each record: id, score, outlier (1 or 0).
"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vicinal.cli import options, screen, texts
from vicinal.cli.console import Console
from vicinal.layout import decimals

if TYPE_CHECKING:
    from vicinal.tasks.predict.outliers import Outliers

FUNCTION = "vicinal.outliers"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal outliers`."""
    from vicinal.tasks.predict.outliers import SCORES

    options.add_embeddings(parser, "the embeddings, one row a sample")
    parser.add_argument("--ids", metavar="FILE[:FIELD]", help="the ids of the rows (default: row numbers)")
    parser.add_argument("-k", "--k", metavar="K", default="20", help="how many neighbours (default 20)")
    parser.add_argument("--by", choices=tuple(SCORES), default="lof", help="the score (default lof)")
    parser.add_argument("--contamination", metavar="SHARE", default="auto", help="the share of outliers (default auto)")
    options.add_metric(parser, mahalanobis=True, default=None)
    options.add_neighbors(parser)
    options.add_on_invalid(parser, "no score")
    options.add_recall(parser)
    options.add_threads(parser)
    options.add_device(parser)
    options.add_output(parser)
    options.add_add_to(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Score the rows and print the scores."""
    from vicinal.data.usable import note
    from vicinal.knn.recall import recall_note
    from vicinal.tasks.predict.outliers import outliers

    with console.progress() as progress:
        result = outliers(
            arguments.data,
            arguments.embeddings,
            encoding=arguments.encoding,
            ids=arguments.ids,
            k=options.number(arguments.k),
            by=arguments.by,
            contamination=options.number(arguments.contamination),
            metric=arguments.metric,
            matrix=arguments.matrix,
            neighbors=arguments.neighbors,
            on_invalid=arguments.on_invalid,
            recall=options.number(arguments.recall),
            threads=options.number(arguments.threads),
            device=arguments.device,
            output=arguments.output,
            add_to=arguments.add_to,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    written = arguments.output or arguments.add_to
    seen = screen.stdout()
    if seen.is_terminal and not arguments.json and not console.quiet:
        seen.show(_first(result, seen, arguments.data))
    else:
        options.print_result(result.records(), result.summary, written, arguments.json)
    console.note(
        f"{int(result.outlier.sum()):,} of {len(result):,} rows are outliers ({result.by} above {result.limit:.6g}, "
        f"k = {result.k}), in {result.seconds:.1f} s"
        f"{note(result.unusable, result.skipped)}{recall_note(result.neighbors.recall)}"
    )
    return 0


def _first(result: "Outliers", seen: screen.Screen, data: str) -> Iterator[str]:
    """The rows with the highest scores, with their texts."""
    import numpy as np

    score = np.asarray(result["score"], dtype=np.float64)
    order = np.argsort(np.where(np.isfinite(score), -score, np.inf), kind="stable")[: screen.FIRST]
    ids = [result.ids[row] for row in order]
    known = texts.by_id(data, ids)
    shown = [
        {
            "id": identity,
            "score": value,
            "outlier": str(int(outlier)),
            **({"text": known.get(identity, "")} if known else {}),
        }
        for identity, value, outlier in zip(ids, decimals(score[order].tolist()), result["outlier"][order], strict=True)
    ]
    yield seen.bold(f"The {len(shown)} rows with the highest scores")
    yield from seen.table(shown, ["text"])
