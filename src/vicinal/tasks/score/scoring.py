"""`vicinal.score`: a data set and its embeddings in, scores out; or rows added to what was scored before.

All inputs are checked before the passes: the output's path, every id, the embeddings, the groups, and the rows that no
distance can be computed for. The phases are plan (`config`), check (`inputs`), pass (`passes`), values
(`values`) and result (`results`, `outputs`). A run may be kept as a folder (`runs`), for a report, or to add rows to it
later (`appending`).
"""

import os
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.data import adding, dataset, frames, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import ON_INVALID, OnInvalid
from vicinal.data.sources import is_data_file, split
from vicinal.data.usable import kind_of
from vicinal.distributed.engines import engine_of
from vicinal.errors import UsageError, unknown
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import check_recall
from vicinal.knn.vectors import refuse_invalid
from vicinal.storage import locks
from vicinal.tasks.score import kept, setwise, values
from vicinal.tasks.score.appending import appended
from vicinal.tasks.score.config import read_plan
from vicinal.tasks.score.inputs import Inputs, check, fields_of, without_invalid
from vicinal.tasks.score.outputs import Options, check_outputs, finished, written
from vicinal.tasks.score.passes import answers
from vicinal.tasks.score.plan import EMBEDDINGS, REFERENCE, Key, Plan
from vicinal.tasks.score.results import Format, Scores
from vicinal.tasks.score.runs import Origin
from vicinal.typing import MetricLike, PathLike, StartProgress


@devices.takes_device
def score(
    data: object = None,
    embeddings: object = None,
    *,
    encoding: object = None,
    by: str | Sequence[str] | None = None,
    k: int | None = None,
    metric: MetricLike | None = None,
    reference: object = None,
    groups: object = None,
    ids: object = None,
    neighbors: Neighbors | PathLike | None = None,
    on_invalid: OnInvalid = "error",
    evidence: bool = False,
    threads: int | None = None,
    device: str | None = None,
    progress: StartProgress | None = None,
    checkpoint: PathLike | None = None,
    engine: str = "local",
    address: str | None = None,
    recall: float | None = None,
    output: PathLike | None = None,
    add_to: PathLike | None = None,
    overwrite: bool = False,
    run: PathLike | None = None,
    append: object = None,
    previous: PathLike | None = None,
    config: PathLike | None = None,
    sub_name: str | None = None,
    skip_unknown: bool = False,
    format: Format | None = None,
) -> Scores:
    """Return scores of each row by its nearest neighbours: uniqueness, outlier factor, density and others.

    The scores of one metric, group and reference come from one neighbour search, exact unless `recall` is given.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (an array of shape (n, dim) or a `.npy` file), a data set file (`.jsonl`, `.jsonl.gz`, `.csv`,
        `.parquet`), or a table in memory (pandas, polars, pyarrow, Hugging Face datasets, mapping of columns).
    embeddings : str, path, or array_like, optional
        Where the embeddings are, if not in `data`: a column of the table, a `.npy` file, or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    by : str or sequence of str, optional
        The scores (default "mean"), as a list or with commas: "mean" (distance to the k nearest), "kth", "median",
        "distinct" (mean over distinct vectors), "lof" (local outlier factor), "density", "hubness", "lid" (local
        intrinsic dimension). ":percentile" or ":ratio" after a name gives the share of rows below, or the multiple of
        the median. Of a nested configuration, one name replaces that of each scorer.
    k : int, optional
        The number of neighbours (default 5); where there are fewer other rows, all of them, with a warning.
    metric : str or Metric, optional
        The metric (default "euclidean"): a name or alias of `vicinal.knn.metrics`, or a metric such as
        `vicinal.mahalanobis(M)`.
    reference : path, array_like, or table, optional
        Another set: each score that allows it is also computed from the nearest rows there, as "mean@reference".
    groups : str or sequence, optional
        The column (or FILE:FIELD, or one value a row) whose equal values make rows no neighbours of each other.
    ids : str or sequence, optional
        The column of ids (default "id"; where there is none, row numbers), or the ids.
    neighbors : Neighbors or path, optional
        Neighbours of these rows that are at hand, or a folder of `vicinal neighbors`, in place of embeddings.
    on_invalid : {"error", "null", "skip"}
        What to do with rows that no distance is defined for (NaN, infinite, under cosine all zero), and rows without a
        group: refuse them, give them no score and leave them out of the others' neighbours, or leave them out of the
        result too.
    evidence : bool
        Whether tables and files name each row's neighbours, their distances, and its group of exact copies.
    threads : int, optional
        The number of threads (default: all cores). The scores do not depend on it.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    progress : callable, optional
        Called with the name of each pass; returns the function that is called with (rows done, rows in all).
    checkpoint : path, optional
        A folder that keeps finished work every minute and at Ctrl-C; the same call resumes from it, and removes it at
        the end.
    engine : {"local", "ray"}
        Where the passes run: in this process, or on a Ray cluster (`vicinal.distributed`). The scores do not depend on
        it.
    address : str, optional
        Of the Ray cluster: HOST:PORT, or "auto" on one of its nodes; without it, this machine alone.
    recall : float, optional
        Above 0 and at most 1: approximate neighbours among the rows, of at least this measured recall, for less work;
        exact by default.
    output : path, optional
        A `.jsonl`, `.jsonl.gz`, `.csv` or `.parquet` file to write; of a nested configuration the folder.
    add_to : path, optional
        Write the data set with the scores, and with `evidence` the neighbours as lists, as new columns: `.parquet`,
        `.jsonl`, `.jsonl.gz` or `.csv`. What was there stays as it is, a Parquet file's schema and row groups too.
    overwrite : bool
        Whether `output`, `add_to` and `run` may be replaced.
    run : path, optional
        A folder to keep the run in, for `vicinal.report` and `previous`; as `Scores.save`.
    append : path, array_like, or table, optional
        In place of `data`: rows that are scored together with those of the kept run `previous`. The result has the
        rows of the run first, and is what one run over all rows gives; only pairs with new rows are compared. What is
        scored and how is the kept run's.
    previous : path, optional
        The folder of the kept run that `append` adds to.
    config : path, optional
        A YAML file in the flat form (one scorer) or in the nested form (several, as OpenDataArena's tool writes it).
        Arguments replace its values. Scorers of the whole set (`vicinal.diversity`) in the nested form are computed
        too: their answers are in `Scores.setwise` and in `setwise_scores.jsonl` beside `pointwise_scores.jsonl`.
    sub_name : str, optional
        The name of a single score in the result.
    skip_unknown : bool
        Whether scorers of a nested configuration that vicinal does not have, such as those that run a model, are left
        out with a warning that names them; they are an error otherwise.
    format : {"flat", "nested"}, optional
        One shape of the records that are written, whether there is one score or several; `Scores.format` describes
        them. By default one score is `{"id": ..., "score": ...}` and several are "nested".

    Returns
    -------
    Scores
        One row a sample, in the order of the input; `scores[name]` are the values of a score.

    Raises
    ------
    UsageError
        An argument or a value of the configuration cannot be used; an output exists and may not be replaced.
    DataError
        A file cannot be read; the numbers of rows differ; rows are invalid and `on_invalid` is "error".

    Examples
    --------
    >>> table = {"id": ["a", "b", "c"], "embedding": [[0.0], [1.0], [3.0]]}
    >>> scores = score(table, by=["mean", "kth:ratio"], k=2)
    >>> scores["mean"].tolist(), scores["kth:ratio"].round(2).tolist()
    ([2.0, 1.5, 2.5], [1.0, 0.6700000166893005, 1.0])
    >>> scores.neighbors.indices[0].tolist()
    [1, 2]
    >>> score([[0.0], [1.0], [3.0]], by="kth", k=1)["kth"].tolist()
    [1.0, 1.0, 2.0]
    """
    start = time.perf_counter()
    if on_invalid not in ON_INVALID:
        raise UsageError(f"on_invalid: {unknown('choice', on_invalid, ON_INVALID)}")
    if neighbors is not None and (engine != "local" or address is not None):
        raise UsageError("engine: neighbors are given, so that no pass runs; leave engine and address out")
    place = engine_of(engine, address, recall)
    if append is not None and place.in_place:
        raise UsageError("engine: new rows are compared in this process; leave engine and address out with append")
    options = Options(
        on_invalid, evidence, overwrite, _path(run), _path(checkpoint), progress, _path(add_to), place, format
    )
    given = {"data": data, "by": by, "k": k, "metric": metric, "reference": reference, "groups": groups}
    given["sub_name"] = sub_name
    if (append is None) != (previous is None):
        raise UsageError(
            "append: expected new rows together with previous, a kept run; give both --append and --previous (in "
            "Python: append= and previous=) or neither"
        )
    if append is not None and previous is not None:
        others = {"ids": ids, "neighbors": neighbors, "config": config, "checkpoint": checkpoint, "add_to": add_to}
        others["recall"] = recall
        _refuse_with_append({**given, **others, "encoding": encoding})
        # A run that is replaced by itself with more rows is changed by one process at a time.
        same = run is not None and os.path.realpath(run) == os.path.realpath(previous)
        with locks.changing(previous) if same else nullcontext():
            scores = appended(append, embeddings, Path(previous), _path(output), threads, options)
    else:
        given |= {"embeddings": embeddings, "output": output, "threads": threads}
        held = data is not None and (not is_data_file(data) or bool(split(str(data))[1]))
        plan = read_plan(_path(config), given, neighbors is not None, held, skip_unknown)
        plan = replace(plan, recall=_checked(recall, neighbors, checkpoint, plan, reference))
        if plan.skipped:
            warnings.warn(f"skipped, as vicinal does not have them: {', '.join(plan.skipped)}", stacklevel=2)
        if neighbors is not None:
            scores = _from_saved(plan, neighbors, embeddings, ids, options)
        else:
            scores = _from_embeddings(plan, (embeddings, encoding), reference, groups, ids, options)
    scores.seconds = time.perf_counter() - start
    return scores


def _checked(
    recall: float | None, neighbors: object, checkpoint: object, plan: Plan, reference: object
) -> float | None:
    """The recall of a new pass among the rows, which cannot be given beside neighbours or a checkpoint."""
    if recall is None:
        return None
    for name, given in (("neighbors", neighbors), ("checkpoint", checkpoint)):
        if given is not None:
            why = "keeps no checkpoint" if name == "checkpoint" else "is a new one, but neighbors are given"
            raise UsageError(f"recall: an approximate pass {why}; leave one of them out")
    if reference is not None or all(question.reference is not None for question in plan.questions):
        what = "a reference is searched exactly" if plan.questions else "measures of the whole set are computed exactly"
        raise UsageError(f"recall: {what}, and no score of the rows among themselves is asked for; leave recall out")
    return check_recall(recall)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _from_embeddings(
    plan: Plan, source: tuple[object, object], reference: object, groups: object, ids: object, options: Options
) -> Scores:
    """Check, search, score, write; `source` is where the embeddings lie and how they are quantised."""
    if plan.data is None:
        raise UsageError("data: expected a data set or a .npy file (in Python also an array or a table), got nothing")
    output = check_outputs(plan, options, [plan.data, source[0], reference, groups, ids])
    fields = fields_of(plan, groups)
    kind = kind_of("label", options.on_invalid)
    wanted = {key: (spec, kind) for key, spec in fields.values()}
    if any(not one.measure.embeddings for one in plan.setwise):
        wanted[setwise.CLUSTER_FIELD] = (setwise.CLUSTER_FIELD, kind)
    rows = dataset.read(plan.data, source[0], ids=ids, fields=wanted, encoding=source[1])
    if output is not None:
        tables.check_table(output, rows.ids)
    if options.add_to is not None:
        adding.check(rows, options.add_to)
    sources: dict[Key, object] = {EMBEDDINGS: rows.embeddings, REFERENCE: _reference(reference, rows)}
    columns = {name: rows.values[key] for name, (key, _) in fields.items()}
    how = options.on_invalid, options.engine.in_place
    inputs = check(plan, rows, columns, sources, *how)
    sets = setwise.check(plan, rows, rows.values.get(setwise.CLUSTER_FIELD), sources, *how)
    id_field = ids if isinstance(ids, str) else "id"
    problem = _problem(plan, rows, inputs, fields, ids)
    whole, left = rows, None
    if options.on_invalid == "skip":
        rows, inputs, left = without_invalid(plan, rows, inputs, setwise.left_out(sets, len(rows)))
        sets = setwise.without_invalid(sets, left, len(whole))
        problem = problem or "expected all rows of the data set, got on_invalid 'skip'; give 'null'"
    origin = Origin(problem, rows.path, inputs.vectors, inputs.references, id_field, options.on_invalid)
    if options.run is not None:
        if not plan.scorers:
            raise UsageError("run: a run is kept for its scores of rows, and the file names none; leave it out")
        origin.require_files()
    answered = answers(plan, inputs, progress=options.progress, checkpoint=options.checkpoint, engine=options.engine)
    found = setwise.compute(sets, answered, options.progress)
    scores = finished(plan, (rows,), inputs, answered, origin, output, options, found)
    if left is not None:
        scores.skipped = len(whole) - len(left)
    if options.add_to is not None:
        adding.write(whole, scores, options.add_to, options.overwrite, left)
    return scores


def _from_saved(
    plan: Plan, neighbors: Neighbors | PathLike, embeddings: object, ids: object, options: Options
) -> Scores:
    """Score by neighbours that are at hand."""
    devices.refuse("neighbors are given, so that no pass runs")
    if options.on_invalid == "skip":
        raise UsageError("on_invalid: skip leaves rows out of a search, but neighbors are given; give null or error")
    if embeddings is not None:
        raise UsageError("embeddings: neighbors take their place; give one of them")
    for name in ("reference", "groups"):
        if any(getattr(one, name) is not None for one in plan.scorers):
            raise UsageError(
                f"{name}: needs embeddings; neighbors were computed without it, so give embeddings instead"
            )
    origin = Origin("a run is kept with its embeddings; give embeddings in place of neighbors")
    if options.run is not None:
        origin.require_files()
    place = "neighbors" if isinstance(neighbors, Neighbors) else str(neighbors)
    output = check_outputs(plan, options, [plan.data, ids])
    if not isinstance(neighbors, Neighbors):
        if not Path(neighbors).is_dir():
            raise UsageError(f"{place}: expected a folder written by `vicinal neighbors`, found no folder there")
        wanted = next((one.metric for one in plan.scorers if one.metric_given), None)
        neighbors = kept.open_graph(neighbors, wanted if kept.is_run(neighbors) else None).neighbors
    rows = Dataset(place, list(range(len(neighbors)))) if plan.data is None else dataset.read(plan.data, ids=ids)
    rows.refuse_other_count(place, len(neighbors))
    if output is not None:
        tables.check_table(output, rows.ids)
    invalid = {int(row): "no neighbours" for row in np.flatnonzero((neighbors.indices < 0).all(axis=1))}
    if options.on_invalid == "error":
        refuse_invalid(invalid, rows.ids, place)
    scored = values.of_saved(plan, neighbors, place, invalid)
    if options.add_to is not None:
        adding.check(rows, options.add_to)
    scores = Scores(plan, (rows,), scored, origin=origin, output=output, evidence=options.evidence)
    written(scores, place, options)
    if options.add_to is not None:
        adding.write(rows, scores, options.add_to, options.overwrite)
    return scores


def _refuse_with_append(given: dict[str, Any]) -> None:
    """Raise UsageError where what is scored, or how, is given although it is the kept run's."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"{name}: cannot be given with append and previous, where the kept run says what is scored and how; "
                "leave it out"
            )


def _reference(reference: object, rows: Dataset) -> object:
    """The vectors of the reference: a column of the data set, the vectors of another table, or what was given."""
    if isinstance(reference, str) and rows.table is not None and reference in frames.column_names(rows.table):
        return frames.column(rows.table, reference, REFERENCE)
    return dataset.read(reference, argument=REFERENCE).embeddings if frames.is_table(reference) else reference


def _problem(plan: Plan, rows: Dataset, inputs: Inputs, fields: dict[str, tuple[str, object]], ids: object) -> str:
    """Why a run cannot be kept; empty where it can."""
    if rows.path is None:
        return (
            f"expected a data set file, got {rows.name}: a kept run names the files that it was made from; give a data "
            "set file with --embeddings (in Python: embeddings=), or leave the run out"
        )
    for one in (*inputs.vectors.values(), *inputs.references.values()):
        if one.path is None:
            return f"expected vectors in files, got {one.name} in memory; write them with numpy.save"
        if not one.path.is_file():
            return f"expected vectors in one file, got the folder {one.path}; join its files, or leave the run out"
    if any(spec != name or rows.places[key] != f"{rows.path}:{name}" for name, (key, spec) in fields.items()):
        return "expected groups that are a field of the data set, so that later rows have them too"
    if ids is not None and not isinstance(ids, str):
        return "expected ids that are a field of the data set, so that later rows have them too"
    if rows.encoding is not None:
        return "expected embeddings that are read as they are, got an encoding; save the decoded ones, and score those"
    if any(question.metric.whiten is not None for question in plan.questions):
        return "expected a metric with a name, got mahalanobis with a matrix; whiten the vectors and take euclidean"
    return ""
