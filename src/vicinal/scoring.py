"""The main job: a data set and its embeddings in, a file of scores out.

Everything that can be wrong is looked at before the pass: the output's place, the embeddings, every id, the counts,
and the rows that no distance can be computed for. Scorers that share embeddings and metric share one pass, at the
largest k.
"""

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import datasets, files, scores
from vicinal.config import Plan, ScorerPlan
from vicinal.errors import DataError, UsageError
from vicinal.graph import Neighbors
from vicinal.indexes.exact import Exact, at_most, cores
from vicinal.metrics import find
from vicinal.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid

NESTED_FILE = "pointwise_scores.jsonl"
QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scored:
    """One scorer's result.

    values : float32 (n,); NaN where the row has no score, and `errors` says why by row number
    """

    plan: ScorerPlan
    k: int
    dim: int | None
    engine: str
    seconds: float
    values: np.ndarray
    errors: dict[int, str] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """What a program wants to know of it; `seconds` are those of the pass, shared by its scorers."""
        finite = self.values[np.isfinite(self.values)].astype(np.float64)
        quantiles = np.quantile(finite, QUANTILES) if len(finite) else np.full(len(QUANTILES), np.nan)
        return {
            "name": self.plan.label,
            "n": len(self.values),
            "dim": self.dim,
            "k": self.k,
            "metric": self.plan.metric,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "invalid": len(self.errors),
            "quantiles": {
                f"{q:g}": float(f"{v:.7g}") if np.isfinite(v) else None
                for q, v in zip(QUANTILES, quantiles, strict=True)
            },
        }


@dataclass(frozen=True)
class Run:
    """What a run did."""

    ids: list[datasets.Id]
    scored: tuple[Scored, ...]
    output: Path | None

    def records(self, nested: bool) -> Iterator[dict[str, Any]]:
        """One record a row, in the order of the input."""
        columns = [(one.plan.label, _shortest(one.values), one.errors) for one in self.scored]
        for row, identity in enumerate(self.ids):
            if nested:
                cells = {label: _cell(values[row], errors.get(row)) for label, values, errors in columns}
                yield {"id": identity, "scores": cells}
            else:
                _, values, errors = columns[0]
                yield {"id": identity, **_cell(values[row], errors.get(row))}


def score_dataset(
    plan: Plan,
    *,
    neighbors: str | Path | None = None,
    on_invalid: str = "error",
    overwrite: bool = False,
    id_field: str = "id",
    progress: Callable[[str], Progress] | None = None,
    checkpoint: str | Path | None = None,
) -> Run:
    """Scores a data set by its neighbours and writes the scores, whole or not at all.

    neighbors  : a saved graph to use in place of embeddings
    on_invalid : "error", or "null" to give rows without a distance the score null and keep them out of the others'
    progress   : called with the name of each pass; gives the function that is told of its rows
    checkpoint : a folder that keeps the finished work of each pass, for the same run to go on from
    Returns      what was done; where the plan names no output, the records are for the caller to write
    Raises       UsageError, DataError
    """
    if plan.input_path is None:
        raise UsageError("no data set was given; write: vicinal score DATA.jsonl --embeddings EMB.npy")
    output = plan.output_path
    if output is not None and plan.nested:
        if output.exists() and not output.is_dir():
            raise UsageError(f"{output}: expected a folder for {NESTED_FILE}, found a file")
        output = output / NESTED_FILE
    if output is not None:
        datasets.suffix(output)
        if output.exists() and output.samefile(plan.input_path):
            raise UsageError(f"{output}: is the data set itself, which is never overwritten; name another output")
        files.check_file(output, overwrite, parents=plan.nested)
    datasets.suffix(plan.input_path)
    if neighbors is not None and not Path(neighbors).is_dir():
        raise UsageError(f"{neighbors}: expected a folder written by `vicinal neighbors`, found no folder there")
    graph = None if neighbors is None else Neighbors.load(neighbors)
    arrays = {path: as_vectors(files.load_npy(path), str(path), at_least=2) for path in _embedding_paths(plan)}
    ids, notes = datasets.read_ids(plan.input_path, id_field)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    sizes = [(neighbors, len(graph))] if graph is not None else [(path, len(array)) for path, array in arrays.items()]
    for source, size in sizes:
        if size != len(ids):
            raise DataError(
                f"{plan.input_path} has {len(ids)} rows, but {source} has {size}; each row of the data set needs one "
                "row of the embeddings, in the same order"
            )
    if output is not None:
        datasets.check_table(output, ids)
    if graph is not None:
        wrong = {int(row): "no neighbours" for row in np.flatnonzero((graph.indices < 0).all(axis=1))}
        if on_invalid == "error":
            refuse_invalid(wrong, ids, str(neighbors))
        scored = tuple(_scored_from_graph(one, graph, Path(str(neighbors)), wrong) for one in plan.scorers)
    else:
        scored = _scored_from_passes(plan, arrays, ids, on_invalid, progress, checkpoint)
    if on_invalid == "error":
        for one in scored:  # what only the pass can find: distances beyond float32
            refuse_invalid(one.errors, ids, str(neighbors or one.plan.embedding_path))
    run = Run(ids, scored, output)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)  # of the nested form; the flat form's folder is there
        with datasets.table_writer(output, overwrite) as table:
            for record in _same_keys(run.records(plan.nested), scored, output):
                table.add(record)
    return run


def _embedding_paths(plan: Plan) -> list[Path]:
    return list(dict.fromkeys(one.embedding_path.resolve() for one in plan.scorers if one.embedding_path is not None))


def _scored_from_passes(
    plan: Plan,
    arrays: dict[Path, np.ndarray],
    ids: list[datasets.Id],
    on_invalid: str,
    progress: Callable[[str], Progress] | None,
    checkpoint: str | Path | None,
) -> tuple[Scored, ...]:
    passes: dict[tuple[Path, str], list[ScorerPlan]] = {}
    for one in plan.scorers:
        assert one.embedding_path is not None
        passes.setdefault((one.embedding_path.resolve(), one.metric), []).append(one)
    for path, metric in passes:
        refuse_dtype(arrays[path], find(metric), str(path))
    wrong = {key: invalid_rows(arrays[key[0]], find(key[1])) for key in passes}
    if on_invalid == "error":
        for (path, _), rows in wrong.items():
            refuse_invalid(rows, ids, str(path))
    for (path, _), rows in wrong.items():
        left = len(arrays[path]) - len(rows)
        if left < 2:
            reasons = ", ".join(sorted(set(rows.values())))
            raise DataError(f"{path}: {left} of {len(arrays[path])} rows can be used ({reasons}), expected at least 2")
    done: dict[str, Scored] = {}
    if checkpoint is not None:
        Path(checkpoint).mkdir(exist_ok=True)
    for number, ((path, metric), members) in enumerate(passes.items(), start=1):
        start = time.perf_counter()
        threads = min(max(one.threads or cores() for one in members), cores())
        index = Exact(metric, threads).fit(arrays[path], on_invalid, wrong[path, metric])
        tell = None if progress is None else progress(f"{metric} neighbours of {path.name}")
        kept = None if checkpoint is None else Path(checkpoint) / f"pass{number}-{metric}"
        found = index.neighbors(max(one.k for one in members), progress=tell, checkpoint=kept)
        seconds = time.perf_counter() - start
        for one in members:
            done[one.label] = _scored(one, found, arrays[path].shape[1], index.engine, seconds, index.invalid)
    if checkpoint is not None:
        with contextlib.suppress(OSError):  # it holds something else too
            Path(checkpoint).rmdir()
    return tuple(done[one.label] for one in plan.scorers)


def _scored_from_graph(one: ScorerPlan, graph: Neighbors, folder: Path, wrong: dict[int, str]) -> Scored:
    if one.metric_given and graph.metric is not None and one.metric != graph.metric:
        raise UsageError(f"{folder}: its neighbours are {graph.metric}, but {one.metric} was asked for")
    k = one.k
    if k > graph.k:
        if graph.k < len(graph) - len(wrong) - 1:
            raise UsageError(
                f"{folder}: holds {graph.k} neighbours a row, but k = {k} was asked for; make it again with -k {k}"
            )
        k = at_most(k, graph.k)
    few = np.flatnonzero((graph.indices[:, :k] < 0).any(axis=1))
    errors = wrong | {int(row): f"fewer than {k} neighbours" for row in few if row not in wrong}
    one = ScorerPlan(one.label, one.name, one.k, graph.metric or one.metric, one.threads, None)
    return _scored(one, graph.nearest(k), None, f"saved neighbours ({folder})", 0.0, errors)


def _scored(
    one: ScorerPlan, found: Neighbors, dim: int | None, engine: str, seconds: float, invalid: dict[int, str]
) -> Scored:
    k = min(one.k, found.k)
    values = scores.BY_NAME[one.name].compute(found, k).astype(np.float32)
    errors = dict(invalid)
    for row in np.flatnonzero(~np.isfinite(values)):
        errors.setdefault(int(row), "a distance too large for float32; scale the embeddings down")
    values[list(errors)] = np.nan
    return Scored(one, k, dim, engine, seconds, values, errors)


def _shortest(values: np.ndarray) -> list[float | None]:
    """Each float32 as the shortest decimal that reads back as the same float32."""
    return [float(str(value)) if np.isfinite(value) else None for value in values]


def _cell(value: float | None, error: str | None) -> dict[str, Any]:
    return {"score": value} if error is None else {"score": None, "error": error}


def _same_keys(records: Iterator[dict[str, Any]], scored: tuple[Scored, ...], output: Path) -> Iterator[dict[str, Any]]:
    """Tables with columns get an `error` column in every record where one has it; JSON lines stay as they are."""
    columns = datasets.suffix(output) in (".csv", ".parquet") and any(one.errors for one in scored)
    for record in records:
        yield {**record, "error": record.get("error")} if columns else record


def summary(run: Run, nested: bool, seconds: float) -> str:
    """The run as one line of JSON: n, dim, k, metric, engine, seconds and quantiles of the score; a list if nested."""
    output = None if run.output is None else str(run.output)
    whole = {"output": output, "total_seconds": round(seconds, 3)}
    parts = [one.summary() for one in run.scored]
    return json.dumps({**whole, "n": len(run.ids), "scorers": parts} if nested else {**parts[0], **whole})
