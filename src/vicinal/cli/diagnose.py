"""Say what the neighbours tell of a whole data set, with its labels or without.

  vicinal diagnose emb.npy
  vicinal diagnose emb.npy --labels data.jsonl:label --metric cosine --html page.html
  vicinal diagnose emb.npy --labels a.jsonl:label --second-labels b.jsonl:label --pairs 200 --write-pairs pairs.jsonl

Without labels: intrinsic dimension, distance concentration, hubness, duplicates, lengths, and warnings in words. With
labels also: the 1-NN error and the Cover-Hart interval, accuracy over k, confusion, likely label errors (ranked), and
boundary pairs for experts to label, split for training and evaluation; with a second column Cohen's kappa.
"""

import argparse
import json
import time

from vicinal.cli import training
from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal diagnose`."""
    training.add_rows(parser, "the embeddings, one row a sample")
    parser.add_argument("-k", "--k", metavar="K", default="50", help="how many neighbours (default 50)")
    parser.add_argument("--labels", metavar="FILE[:FIELD]", help="the labels (default field: label)")
    parser.add_argument("--second-labels", metavar="FILE[:FIELD]", help="another judge's labels, matched by id")
    parser.add_argument("--html", metavar="FILE", help="write the page with pictures (needs matplotlib)")
    parser.add_argument("--write-errors", metavar="FILE", help="write all likely label errors, ranked, as a table")
    parser.add_argument("--write-pairs", metavar="FILE", help="write the boundary pairs as a table")
    parser.add_argument("--pairs", metavar="N", default="100", help="how many boundary pairs at most (default 100)")
    parser.add_argument("--evaluation", metavar="SHARE", default="0.5", help="share of pairs set aside (default 0.5)")
    parser.add_argument("--top", metavar="N", default="10", help="how many of each list to print (default 10)")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Look, search, tell."""
    from vicinal.data import labels, tables
    from vicinal.errors import DataError, UsageError, need, some
    from vicinal.storage import atomic
    from vicinal.tasks import diagnose
    from vicinal.tasks.diagnose import page
    from vicinal.tasks.score import config

    index = training.index_of(arguments)
    if index.metric.product or index.metric.kernel == "bits":
        raise UsageError(f"--metric: diagnose needs distances between numbers, which {index.metric.name} is not")
    k, pairs, top = (
        config.whole_number(getattr(arguments, name), option)
        for name, option in (("k", "-k"), ("pairs", "--pairs"), ("top", "--top"))
    )
    evaluation = training.share(arguments.evaluation, "--evaluation")
    if not 0 <= evaluation <= 1:
        raise UsageError(f"--evaluation: expected a share from 0 to 1, got {evaluation:g}")
    asked = {
        "--second-labels": arguments.second_labels,
        "--write-errors": arguments.write_errors,
        "--write-pairs": arguments.write_pairs,
    }
    without = [option for option, value in asked.items() if value is not None]
    if arguments.labels is None and without:
        raise UsageError(f"{', '.join(without)}: needs --labels FILE:FIELD")
    for path in (arguments.write_errors, arguments.write_pairs):
        if path is not None:
            tables.suffix(path)
            atomic.check_file(path, arguments.overwrite)
    if arguments.html is not None:
        atomic.check_file(arguments.html, arguments.overwrite)
        need("matplotlib", extra="report")
    vectors = training.vectors(arguments.embeddings, "NPY", index, at_least=3)
    known = second = None
    if arguments.labels is not None:
        known = training.labels_of(arguments, len(vectors))
    if known is not None and arguments.second_labels is not None:
        other = labels.read_labels(arguments.second_labels, "--second-labels", len(vectors), arguments.embeddings)
        rows, second = diagnose.matched(known, other)
        if len(rows) < len(known.ids):
            there = set(other.ids)
            missing = [one for one in known.ids if one not in there]
            raise DataError(
                f"{other.place}: {len(missing)} ids of {known.place} are missing: {some(missing)}; `vicinal kappa` "
                "compares files of which one labels only a part"
            )
    start = time.perf_counter()
    with console.progress() as progress:
        found = diagnose.diagnose(
            arguments.embeddings,
            vectors,
            index,
            k,
            known,
            second,
            None if known is None else known.ids,
            pairs,
            evaluation,
            progress and progress(f"{index.metric.name} neighbours"),
        )
    kind = "string" if known is not None and known.is_text else "double"
    types = {"row": "int64", "label": kind, "suggested": kind, "agreement": "double", "own": "double"}
    types |= {"other_id": "id", "other_row": "int64", "other_label": kind, "distance": "double", "split": "string"}
    for path, records in (
        (arguments.write_errors, diagnose.error_records(found)),
        (arguments.write_pairs, diagnose.pair_records(found)),
    ):
        if path is not None:
            with tables.table_writer(path, arguments.overwrite, types) as table:
                for record in records:
                    table.add(record)
    if arguments.html is not None:
        with atomic.whole_file(arguments.html, arguments.overwrite) as file:
            file.write(page.page(found).encode("utf-8"))
    if arguments.json:
        print(json.dumps(diagnose.as_json(found)))
    else:
        print("\n".join(page.lines(found, top)))
    console.note(f"{found.n:,} rows diagnosed in {time.perf_counter() - start:.1f} s")
    return 0
