"""Diagnose a data set from its nearest neighbours, with or without labels.

  vicinal diagnose emb.npy
  vicinal diagnose emb.npy --labels data.jsonl:label --metric cosine --html page.html
  vicinal diagnose emb.npy --labels a.jsonl:label --second-labels b.jsonl:label --pairs 200 --write-pairs pairs.jsonl

Without labels: intrinsic dimension, concentration of distances, hubness, duplicates, lengths, and warnings. With labels
also: the 1-NN error and the Cover-Hart interval, accuracy over k, confusion, likely label errors (ranked), and boundary
pairs for experts to label, split for training and evaluation; with a second column Cohen's kappa.
"""

import argparse
import json
from typing import TYPE_CHECKING

from vicinal.cli import diagnosed, options, screen, texts
from vicinal.cli.console import Console

if TYPE_CHECKING:
    from vicinal.tasks.diagnose.diagnosis import Diagnosis

FUNCTION = "vicinal.diagnose"
PRINTED = ("json", "top")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal diagnose`."""
    options.add_embeddings(parser, "the embeddings, one row a sample")
    parser.add_argument("-k", "--k", metavar="K", help="how many neighbours (default 50, at most those of --neighbors)")
    parser.add_argument("--labels", metavar="FILE[:FIELD]", help="the labels (default field: label)")
    parser.add_argument("--second-labels", metavar="FILE[:FIELD]", help="another judge's labels, matched by id")
    parser.add_argument("--html", metavar="FILE", help="write the page: map, rows, figures, label errors")
    parser.add_argument("--write-errors", metavar="FILE", help="write all likely label errors, ranked, as a table")
    parser.add_argument("--write-pairs", metavar="FILE", help="write the boundary pairs as a table")
    parser.add_argument("--pairs", metavar="N", default="100", help="how many boundary pairs at most (default 100)")
    parser.add_argument("--evaluation", metavar="SHARE", default="0.5", help="share of pairs set aside (default 0.5)")
    parser.add_argument("--top", metavar="N", default="10", help="how many of each list to print (default 10)")
    options.add_metric(parser, mahalanobis=True, default=None)
    options.add_neighbors(parser)
    options.add_on_invalid(parser, "left out")
    options.add_recall(parser)
    options.add_threads(parser)
    options.add_device(parser)
    options.add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="everything as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Diagnose the data set and print the diagnosis."""
    from vicinal.data.usable import note
    from vicinal.knn.recall import recall_note
    from vicinal.tasks.arguments import whole_number
    from vicinal.tasks.diagnose.diagnose import diagnose

    top = whole_number(options.number(arguments.top), "top")
    with console.progress() as progress:
        diagnosis = diagnose(
            arguments.data,
            arguments.labels,
            arguments.second_labels,
            embeddings=arguments.embeddings,
            encoding=arguments.encoding,
            k=options.number(arguments.k),
            pairs=options.number(arguments.pairs),
            evaluation=options.number(arguments.evaluation),
            metric=arguments.metric,
            matrix=arguments.matrix,
            neighbors=arguments.neighbors,
            on_invalid=arguments.on_invalid,
            recall=options.number(arguments.recall),
            threads=options.number(arguments.threads),
            device=arguments.device,
            html=arguments.html,
            write_errors=arguments.write_errors,
            write_pairs=arguments.write_pairs,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    seen = screen.stdout()
    if seen.is_terminal and not arguments.json:
        seen.show(diagnosed.lines(diagnosis, seen, top, _texts(diagnosis, arguments, top)))
    else:
        print(json.dumps(diagnosis.summary()) if arguments.json else diagnosis.text(top))
    recall = recall_note(diagnosis.neighbors.recall)
    left_out = note(diagnosis.unusable, skip=True)
    console.note(f"{diagnosis.n:,} rows diagnosed in {diagnosis.seconds:.1f} s{left_out}{recall}")
    return 0


def _texts(diagnosis: "Diagnosis", arguments: argparse.Namespace, top: int) -> dict[object, str]:
    """The texts of the rows in the lists, from the data set or from the file of the labels."""
    from vicinal.tasks.diagnose.tables import first_records

    ids = [one["id"] for one in first_records(diagnosis.label_errors, top)]
    for pair in first_records(diagnosis.boundary_pairs, top):
        ids += [pair["id"], pair["other_id"]]
    return texts.by_id(arguments.data, ids) or texts.by_id(arguments.labels, ids)
