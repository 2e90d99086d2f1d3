"""A data set and its embeddings in, a file of scores out; or rows added to what was scored before.

Everything that can be wrong is looked at before the pass: the output's place, the embeddings, every id, the counts,
and the rows that no distance can be computed for. A run may be kept as a folder (`runs.py`), for a report, or to add
rows to it later.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import provenance, tables
from vicinal.errors import DataError, UsageError, some
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.vectors import as_vectors, refuse_invalid
from vicinal.storage import atomic, npy
from vicinal.tasks.score import runs
from vicinal.tasks.score.config import Plan
from vicinal.tasks.score.passes import Progress, Question, question_of, scored_from_graph, scored_from_passes
from vicinal.tasks.score.results import Run

NESTED_FILE = "pointwise_scores.jsonl"


def score_dataset(
    plan: Plan,
    *,
    neighbors: str | Path | None = None,
    on_invalid: str = "error",
    overwrite: bool = False,
    id_field: str = "id",
    progress: Callable[[str], Progress] | None = None,
    checkpoint: str | Path | None = None,
    evidence: bool = False,
    keep: str | Path | None = None,
) -> Run:
    """Scores a data set by its neighbours and writes the scores, whole or not at all.

    neighbors  : a saved graph to use in place of embeddings
    on_invalid : "error", or "null" to give rows without a distance the score null and keep them out of the others'
    progress   : called with the name of each pass; gives the function that is told of its rows
    checkpoint : a folder that keeps the finished work of each pass, for the same run to go on from
    evidence   : whether each score comes with its neighbours, their distances, and the row's group of copies
    keep       : a folder to keep the run in, for a report and for `append_dataset`
    Returns      what was done; where the plan names no output, the records are for the caller to write
    Raises       UsageError, DataError
    """
    if plan.input_path is None:
        raise UsageError("no data set was given; write: vicinal score DATA.jsonl --embeddings EMB.npy")
    output = _check_output(plan, overwrite, [plan.input_path])
    tables.suffix(plan.input_path)
    if keep is not None:
        atomic.check_folder(keep, overwrite)
        if neighbors is not None:
            raise UsageError("a run is kept with its embeddings; give --embeddings in place of --neighbors")
    if neighbors is not None and not Path(neighbors).is_dir():
        raise UsageError(f"{neighbors}: expected a folder written by `vicinal neighbors`, found no folder there")
    graph = None if neighbors is None else Neighbors.load(neighbors)
    arrays = {path: as_vectors(npy.load_npy(path), str(path), at_least=2) for path in _embedding_paths(plan)}
    ids, warned, columns = tables.read_columns(plan.input_path, id_field, _fields(plan))
    for one in warned:
        warnings.warn(one, stacklevel=2)
    sizes = [(neighbors, len(graph))] if graph is not None else [(path, len(array)) for path, array in arrays.items()]
    for source, size in sizes:
        tables.refuse_other_count(plan.input_path, len(ids), source, size)
    for path in arrays:
        provenance.verify(path, plan.input_path, ids)
    if output is not None:
        tables.check_table(output, ids)
    if graph is not None:
        wrong = {int(row): "no neighbours" for row in np.flatnonzero((graph.indices < 0).all(axis=1))}
        if on_invalid == "error":
            refuse_invalid(wrong, ids, str(neighbors))
        passes: dict[Question, Neighbors] = {}
        scored = tuple(scored_from_graph(one, graph, Path(str(neighbors)), wrong) for one in plan.scorers)
    else:
        passes, scored = scored_from_passes(plan, arrays, ids, columns, on_invalid, progress, checkpoint, {})
    run = _finish(plan, Run(ids, scored, output, evidence), on_invalid, overwrite, neighbors)
    if keep is not None:
        parts = [runs.Part.of(plan.input_path, arrays)]
        _kept(plan, run, parts, passes, id_field, on_invalid).save(keep, overwrite)
    return run


def append_dataset(
    plan: Plan,
    previous: str | Path,
    *,
    overwrite: bool = False,
    progress: Callable[[str], Progress] | None = None,
    evidence: bool = False,
    keep: str | Path | None = None,
) -> Run:
    """Scores a kept run's data and new rows together: the scores of everything anew, at the cost of what is new.

    plan     : its input_path and embedding_path are the new rows'; what is scored, and how, is the kept run's
    previous : a folder that `score_dataset` or this function kept
    keep     : a folder to keep the longer run in; with `overwrite` it may be `previous`
    Returns    the scores of all rows, the earlier ones first; row by row those of one run over all of them
    Raises     UsageError, DataError: also where a file of the kept run has changed since
    """
    before = runs.Kept.load(previous)
    if plan.input_path is None:
        raise UsageError("no new rows were given; write: vicinal score --append NEW.jsonl --embeddings NEW.npy")
    if keep is not None:
        atomic.check_folder(keep, overwrite)
    earlier = [Path(part.data.path) for part in before.parts]
    whole = replace(before.plan(), output_path=plan.output_path)
    output = _check_output(whole, overwrite, [*earlier, plan.input_path])
    (added,) = _embedding_paths(plan)
    if len(before.parts[0].embeddings) > 1:
        raise UsageError(f"{previous}: has several files of embeddings; rows can be added to a run that has one")
    new = as_vectors(npy.load_npy(added), str(added))
    before.verify()
    ids: list[tables.Id] = []
    columns: dict[str, list[Any]] = {}
    for data in (*earlier, plan.input_path):
        tables.suffix(data)
        found, warned, more = tables.read_columns(data, before.id_field, _fields(whole), first_row=len(ids))
        for one in warned:
            warnings.warn(one, stacklevel=2)
        if data == plan.input_path:
            if len(new) != len(found):
                raise DataError(f"{data} has {len(found)} rows, but {added} has {len(new)}; each row needs one")
            provenance.verify(added, data, found)
            for part in before.parts:
                provenance.verify_alike(added, part.embeddings[0].path)
        known = set(ids)
        again = [one for one in found if one in known]
        if again:
            warnings.warn(
                f"{data}: {len(again)} of its ids are those of earlier rows too ({some(again)})", stacklevel=2
            )
        ids += found
        for name, values in more.items():
            columns.setdefault(name, []).extend(values)
    old = [as_vectors(npy.load_npy(part.embeddings[0].path), part.embeddings[0].path) for part in before.parts]
    if (new.dtype, new.shape[1]) != (old[0].dtype, old[0].shape[1]):
        raise DataError(
            f"{added}: found {new.dtype} of dim {new.shape[1]}, the kept run's embeddings are {old[0].dtype} of dim "
            f"{old[0].shape[1]}; make them with the same model and type"
        )
    if output is not None:
        tables.check_table(output, ids)
    (key,) = _embedding_paths(whole)
    arrays = {key: np.concatenate([*old, new])}
    graphs = {question_of(whole.scorers[one.scorers[0]]): one.neighbors for one in before.passes}
    passes, scored = scored_from_passes(whole, arrays, ids, columns, before.on_invalid, progress, None, graphs)
    run = _finish(whole, Run(ids, scored, output, evidence), before.on_invalid, overwrite, None)
    if keep is not None:
        parts = [*before.parts, runs.Part.of(plan.input_path, {added: new})]
        _kept(whole, run, parts, passes, before.id_field, before.on_invalid).save(keep, overwrite)
    return run


def _check_output(plan: Plan, overwrite: bool, inputs: list[Path]) -> Path | None:
    output = plan.output_path
    if output is not None and plan.nested:
        if output.exists() and not output.is_dir():
            raise UsageError(f"{output}: expected a folder for {NESTED_FILE}, found a file")
        output = output / NESTED_FILE
    if output is not None:
        tables.suffix(output)
        atomic.refuse_input(output, inputs)
        atomic.check_file(output, overwrite, parents=plan.nested)
    return output


def _finish(plan: Plan, run: Run, on_invalid: str, overwrite: bool, neighbors: str | Path | None) -> Run:
    """Refuses or warns of what only the pass could find, and writes the output."""
    for one in run.scored:
        if on_invalid == "error":
            refuse_invalid(one.errors, run.ids, str(neighbors or one.plan.embedding_path))
        if one.undefined:
            rows = [run.ids[row] for row in one.undefined]
            warnings.warn(
                f"{one.plan.label}: {len(rows)} {'row has' if len(rows) == 1 else 'rows have'} no value and score null "
                f"({next(iter(one.undefined.values()))}): {some(rows)}",
                stacklevel=3,
            )
    if run.output is not None:
        run.output.parent.mkdir(parents=True, exist_ok=True)  # of the nested form; the flat form's folder is there
        tabular = tables.suffix(run.output) in (".csv", ".parquet")
        with tables.table_writer(run.output, overwrite, run.types()) as table:
            for record in run.flat_records() if tabular else run.records(plan.nested):
                table.add(record)
    return run


def _kept(
    plan: Plan,
    run: Run,
    parts: list[runs.Part],
    passes: dict[Question, Neighbors],
    id_field: str,
    on_invalid: str,
) -> runs.Kept:
    questions = [question_of(one) for one in plan.scorers]
    references = sorted({asked[3] for asked in questions if asked[3] is not None})
    return runs.Kept(
        parts=tuple(parts),
        scorers=tuple(replace(one, threads=None) for one in plan.scorers),
        values=np.stack([one.values for one in run.scored]),
        passes=tuple(
            runs.Pass(found, tuple(number for number, asked in enumerate(questions) if asked == question))
            for question, found in passes.items()
        ),
        nested=plan.nested,
        id_field=id_field,
        on_invalid=on_invalid,
        references=tuple(runs.Source.of(path, len(npy.load_npy(path))) for path in references),
    )


def _embedding_paths(plan: Plan) -> list[Path]:
    return list(dict.fromkeys(one.embedding_path.resolve() for one in plan.scorers if one.embedding_path is not None))


def _fields(plan: Plan) -> dict[str, str]:
    return {one.group: "label" for one in plan.scorers if one.group is not None}
