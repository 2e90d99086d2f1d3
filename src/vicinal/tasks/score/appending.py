"""Rows added to a kept run: the scores of everything anew, at the cost of the new pairs."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import dataset, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings, OnInvalid, load
from vicinal.errors import DataError, UsageError, some
from vicinal.knn.blocks import blocks
from vicinal.storage import npy
from vicinal.tasks.score.inputs import check, fields_of, no_embeddings
from vicinal.tasks.score.outputs import Options, check_outputs, finished
from vicinal.tasks.score.passes import answers
from vicinal.tasks.score.plan import Plan
from vicinal.tasks.score.results import Scores
from vicinal.tasks.score.runs import Kept, Origin
from vicinal.tasks.score.settings import Setting

BLOCK_BYTES = 1 << 22


def appended(
    append: object,
    embeddings: object,
    previous: Path,
    output: Path | None,
    threads: int | None,
    options: Options,
) -> Scores:
    """Score a kept run's rows and new rows together, at the cost of what is new."""
    if threads is not None:
        threads = Setting(threads, "threads").whole_number()
    before = Kept.load(previous)
    options = replace(options, evidence=options.evidence or before.evidence)
    if len(before.parts[0].embeddings) > 1:
        raise UsageError(f"{previous}: has several files of embeddings; rows can be added to a run that has one")
    plan = before.plan(output)
    plan = replace(plan, scorers=tuple(replace(one, threads=threads) for one in plan.scorers))
    file = check_outputs(plan, options, [*(part.data.path for part in before.parts), append, embeddings])
    before.verify()
    fields = fields_of(plan, None)
    rows = _parts(before, append, embeddings, {key: (spec, "label") for key, spec in fields.values()})
    together = Dataset(rows[-1].name, [identity for part in rows for identity in part.ids])
    metric = next(iter(plan.questions)).metric
    old = []
    for part in before.parts:
        old.append(load(part.embeddings[0].path, metric=metric, on_invalid="null"))
        npy.let_go(old[-1].vectors)
    new = _new_vectors(plan, rows[-1], before, old[0])
    _warn_of_repeated_ids(rows)
    if file is not None:
        tables.check_table(file, together.ids)
    vectors = _together([*old, new])
    columns = {name: [value for part in rows for value in part.values[key]] for name, (key, _) in fields.items()}
    on_invalid: OnInvalid = "null" if before.on_invalid == "null" else "error"
    inputs = check(plan, together, columns, {next(iter(plan.questions)).embeddings: vectors}, on_invalid)
    in_files = rows[-1].path is not None and new.path is not None
    origin = Origin(
        problem="" if in_files else "expected rows in a data set file and their embeddings in a .npy file",
        data=rows[-1].path,
        vectors=dict.fromkeys(plan.questions, new),
        references=inputs.references,
        id_field=before.id_field,
        on_invalid=on_invalid,
        earlier=before.parts,
    )
    if options.run is not None:
        origin.require_files()
    known = {before.scorers[one.scorers[0]].question: one.neighbors for one in before.passes}
    answered = answers(plan, inputs, progress=options.progress, known=known)
    return finished(plan, rows, inputs, answered, origin, file, replace(options, on_invalid=on_invalid))


def _parts(
    before: Kept, append: object, embeddings: object, fields: dict[str, tuple[object, str]]
) -> tuple[Dataset, ...]:
    """The rows of a kept run and the new ones, a data set each."""
    out: list[Dataset] = []
    ids = None if before.id_field == "id" else before.id_field
    for part in before.parts:
        out.append(dataset.read(part.data.path, ids=ids, fields=fields, first_row=sum(map(len, out))))
    out.append(
        dataset.read(append, embeddings, ids=ids, fields=fields, argument="append", first_row=sum(map(len, out)))
    )
    return tuple(out)


def _together(parts: list[Embeddings]) -> np.ndarray:
    """All rows in one array; of a file, few pages are in memory at a time, which would be held twice otherwise."""
    out = np.empty((sum(map(len, parts)), parts[0].dim), dtype=parts[0].vectors.dtype)
    first = 0
    for one in parts:
        npy.let_go(one.vectors)
        for rows in blocks(len(one), BLOCK_BYTES // max(1, out.strides[0])):
            out[first + rows.start : first + rows.stop] = one.vectors[rows]
            npy.let_go(one.vectors)
        first += len(one)
    return out


def _warn_of_repeated_ids(parts: tuple[Dataset, ...]) -> None:
    known: set[Any] = set()
    for rows in parts:
        again = [one for one in rows.ids if one in known]
        if again:
            warnings.warn(
                f"{rows.name}: {len(again)} of its ids are those of earlier rows too ({some(again)})", stacklevel=4
            )
        known.update(rows.ids)


def _new_vectors(plan: Plan, rows: Dataset, before: Kept, old: Embeddings) -> Embeddings:
    """The vectors of the new rows, once they are known to fit those of the kept run."""
    source = rows.own_embeddings() if rows.embeddings is None else rows.embeddings
    if source is None:
        raise no_embeddings(rows)
    on_invalid: OnInvalid = "null" if before.on_invalid == "null" else "error"
    loaded = [
        load(source, rows=rows, metric=question.metric, on_invalid=on_invalid, like=old) for question in plan.questions
    ]
    new = loaded[0]
    if new.vectors.dtype != old.vectors.dtype:
        raise DataError(
            f"{new.name}: found {new.vectors.dtype} of dim {new.dim}, the kept run's embeddings are "
            f"{old.vectors.dtype} of dim {old.dim}; make them with the same model and type"
        )
    return new
