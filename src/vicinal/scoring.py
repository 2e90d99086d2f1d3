"""The main job: a data set and its embeddings in, a file of scores out.

Everything that can be wrong is looked at before the pass: the output's place, the embeddings, every id, the counts,
and the rows that no distance can be computed for. Scorers that share embeddings, metric, groups and reference share one
pass, at the largest k. A run may be kept as a folder (`runs.py`), for a report, or to add rows to it later.
"""

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import datasets, embedding, files, runs, scores
from vicinal.config import Plan, ScorerPlan
from vicinal.copies import find_copies
from vicinal.errors import DataError, UsageError, some
from vicinal.graph import Neighbors, components
from vicinal.indexes.arguments import cores
from vicinal.indexes.exact import Exact, at_most
from vicinal.metrics import find
from vicinal.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid

NESTED_FILE = "pointwise_scores.jsonl"
QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
TOO_LARGE = "a distance too large for float32; scale the embeddings down"

Progress = Callable[[int, int], None]
Question = tuple[Path, str, str | None, Path | None]


@dataclass(frozen=True)
class Scored:
    """One scorer's result.

    values    : float32 (n,); NaN where the row has no score, and `errors` or `undefined` says why by row number
    found     : the neighbours that the score is of
    copies    : the lowest row of each row's group of exact copies; None where there is no such thing
    errors    : rows that no distance could be computed for
    undefined : rows that have neighbours, but none that the score is defined for
    also      : further whole numbers a row, by name
    """

    plan: ScorerPlan
    k: int
    dim: int | None
    engine: str
    seconds: float
    values: np.ndarray
    found: Neighbors
    copies: np.ndarray | None = None
    errors: dict[int, str] = field(default_factory=dict)
    undefined: dict[int, str] = field(default_factory=dict)
    also: dict[str, np.ndarray] = field(default_factory=dict)

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
            "undefined": len(self.undefined),
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
    evidence: bool = False

    def _explains(self, one: Scored) -> bool:
        """Whether this scorer's cells hold the evidence; of several with the same neighbours, the first's do."""
        like = [other for other in self.scored if other.found is one.found and other.k == one.k]
        return self.evidence and like[0] is one

    def records(self, nested: bool) -> Iterator[dict[str, Any]]:
        """One record a row, in the order of the input: its score, or a mapping where there are several."""
        columns = [(one.plan.label, self._cells(one)) for one in self.scored]
        if nested or len(columns) > 1:
            for identity in self.ids:
                yield {"id": identity, "scores": {label: next(cells) for label, cells in columns}}
        else:
            for identity, cell in zip(self.ids, columns[0][1], strict=True):
                yield {"id": identity, **cell}

    def flat_records(self) -> Iterator[dict[str, Any]]:
        """The same for tables with columns: every record has all of them, several scores each their own."""
        several, failed = len(self.scored) > 1, any(one.errors or one.undefined for one in self.scored)
        for identity, *cells in zip(self.ids, *(self._cells(one) for one in self.scored), strict=True):
            record: dict[str, Any] = {"id": identity}
            errors = []
            for one, cell in zip(self.scored, cells, strict=True):
                error = cell.pop("error", None)
                if error is not None:
                    errors.append(f"{one.plan.label}: {error}" if several else error)
                for name, value in cell.items():
                    key = name if not several else one.plan.label if name == "score" else f"{one.plan.label} {name}"
                    record[key] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
            yield {**record, "error": "; ".join(errors) or None} if failed else record

    def types(self) -> dict[str, str]:
        """The types of the columns of `flat_records`, by name; "id" for the type of the ids."""
        several = len(self.scored) > 1
        types = {"id": "id", "error": "string"}
        for one in self.scored:
            kinds = {"score": "float32", **dict.fromkeys(one.also, "int64"), "neighbors": "string"}
            kinds |= {"distances": "string", "duplicate_group": "id", "duplicate_size": "int64"}
            for name, kind in kinds.items():
                key = name if not several else one.plan.label if name == "score" else f"{one.plan.label} {name}"
                types[key] = kind
        return types

    def _cells(self, one: Scored) -> Iterator[dict[str, Any]]:
        """What there is to say of each row by one scorer."""
        values, without = _shortest(one.values), one.errors | one.undefined
        also = {name: column.tolist() for name, column in one.also.items()}
        evidence = self._evidence(one) if self._explains(one) else None
        for row in range(len(self.ids)):
            cell: dict[str, Any] = {"score": values[row]}
            cell |= {name: column[row] for name, column in also.items()}
            if row in without:
                cell["error"] = without[row]
            if evidence is not None:
                cell |= next(evidence)
            yield cell

    def _evidence(self, one: Scored) -> Iterator[dict[str, Any]]:
        """Each row's neighbours and their distances, and its group of copies; a reference's rows go by their number."""
        nearest = one.found.nearest(one.k)
        sizes = None if one.copies is None else scores.multiplicity(one.found, one.copies)
        for row in range(len(self.ids)):
            there = nearest.indices[row] >= 0
            rows = nearest.indices[row][there].tolist()
            cell: dict[str, Any] = {
                "neighbors": rows if one.plan.reference is not None else [self.ids[other] for other in rows],
                "distances": _shortest(nearest.distances[row][there]),
            }
            if one.copies is not None and sizes is not None:
                cell |= {"duplicate_group": self.ids[one.copies[row]], "duplicate_size": int(sizes[row])}
            yield cell


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
    datasets.suffix(plan.input_path)
    if keep is not None:
        files.check_folder(keep, overwrite)
        if neighbors is not None:
            raise UsageError("a run is kept with its embeddings; give --embeddings in place of --neighbors")
    if neighbors is not None and not Path(neighbors).is_dir():
        raise UsageError(f"{neighbors}: expected a folder written by `vicinal neighbors`, found no folder there")
    graph = None if neighbors is None else Neighbors.load(neighbors)
    arrays = {path: as_vectors(files.load_npy(path), str(path), at_least=2) for path in _embedding_paths(plan)}
    ids, notes, columns = datasets.read_columns(plan.input_path, id_field, _fields(plan))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    sizes = [(neighbors, len(graph))] if graph is not None else [(path, len(array)) for path, array in arrays.items()]
    for source, size in sizes:
        if size != len(ids):
            raise DataError(
                f"{plan.input_path} has {len(ids)} rows, but {source} has {size}; each row of the data set needs one "
                "row of the embeddings, in the same order"
            )
    for path in arrays:
        embedding.verify(path, plan.input_path, ids)
    if output is not None:
        datasets.check_table(output, ids)
    if graph is not None:
        wrong = {int(row): "no neighbours" for row in np.flatnonzero((graph.indices < 0).all(axis=1))}
        if on_invalid == "error":
            refuse_invalid(wrong, ids, str(neighbors))
        passes: dict[Question, Neighbors] = {}
        scored = tuple(_scored_from_graph(one, graph, Path(str(neighbors)), wrong) for one in plan.scorers)
    else:
        passes, scored = _scored_from_passes(plan, arrays, ids, columns, on_invalid, progress, checkpoint, {})
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
        files.check_folder(keep, overwrite)
    earlier = [Path(part.data.path) for part in before.parts]
    whole = replace(before.plan(), output_path=plan.output_path)
    output = _check_output(whole, overwrite, [*earlier, plan.input_path])
    (added,) = _embedding_paths(plan)
    if len(before.parts[0].embeddings) > 1:
        raise UsageError(f"{previous}: has several files of embeddings; rows can be added to a run that has one")
    new = as_vectors(files.load_npy(added), str(added))
    before.verify()
    ids: list[datasets.Id] = []
    columns: dict[str, list[Any]] = {}
    for data in (*earlier, plan.input_path):
        datasets.suffix(data)
        found, notes, more = datasets.read_columns(data, before.id_field, _fields(whole), first_row=len(ids))
        for note in notes:
            warnings.warn(note, stacklevel=2)
        if data == plan.input_path:
            if len(new) != len(found):
                raise DataError(f"{data} has {len(found)} rows, but {added} has {len(new)}; each row needs one")
            embedding.verify(added, data, found)
            for part in before.parts:
                embedding.verify_alike(added, part.embeddings[0].path)
        known = set(ids)
        again = [one for one in found if one in known]
        if again:
            warnings.warn(
                f"{data}: {len(again)} of its ids are those of earlier rows too ({some(again)})", stacklevel=2
            )
        ids += found
        for name, values in more.items():
            columns.setdefault(name, []).extend(values)
    old = [as_vectors(files.load_npy(part.embeddings[0].path), part.embeddings[0].path) for part in before.parts]
    if (new.dtype, new.shape[1]) != (old[0].dtype, old[0].shape[1]):
        raise DataError(
            f"{added}: found {new.dtype} of dim {new.shape[1]}, the kept run's embeddings are {old[0].dtype} of dim "
            f"{old[0].shape[1]}; make them with the same model and type"
        )
    if output is not None:
        datasets.check_table(output, ids)
    (key,) = _embedding_paths(whole)
    arrays = {key: np.concatenate([*old, new])}
    graphs = {_question(whole.scorers[one.scorers[0]]): one.neighbors for one in before.passes}
    passes, scored = _scored_from_passes(whole, arrays, ids, columns, before.on_invalid, progress, None, graphs)
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
        datasets.suffix(output)
        if output.exists() and any(path.exists() and output.samefile(path) for path in inputs):
            raise UsageError(f"{output}: is the data set itself, which is never overwritten; name another output")
        files.check_file(output, overwrite, parents=plan.nested)
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
        tabular = datasets.suffix(run.output) in (".csv", ".parquet")
        with datasets.table_writer(run.output, overwrite, run.types()) as table:
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
    questions = [_question(one) for one in plan.scorers]
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
        references=tuple(runs.Source.of(path, len(files.load_npy(path))) for path in references),
    )


def _embedding_paths(plan: Plan) -> list[Path]:
    return list(dict.fromkeys(one.embedding_path.resolve() for one in plan.scorers if one.embedding_path is not None))


def _fields(plan: Plan) -> dict[str, str]:
    return {one.group: "label" for one in plan.scorers if one.group is not None}


def _question(one: ScorerPlan) -> Question:
    """What a pass is asked; scorers with the same question share it."""
    assert one.embedding_path is not None
    return one.embedding_path.resolve(), one.metric, one.group, one.reference and one.reference.resolve()


def _scored_from_passes(
    plan: Plan,
    arrays: dict[Path, np.ndarray],
    ids: list[datasets.Id],
    columns: dict[str, list[Any]],
    on_invalid: str,
    progress: Callable[[str], Progress] | None,
    checkpoint: str | Path | None,
    before: dict[Question, Neighbors],
) -> tuple[dict[Question, Neighbors], tuple[Scored, ...]]:
    """Checks everything, then makes the passes; those whose first rows' neighbours are at hand go on from them."""
    passes: dict[Question, list[ScorerPlan]] = {}
    for one in plan.scorers:
        passes.setdefault(_question(one), []).append(one)
    references = {path: _reference(path, arrays, passes) for path in {asked[3] for asked in passes} if path is not None}
    for path, metric, _, _ in passes:
        refuse_dtype(arrays[path], find(metric), str(path))
    keys = dict.fromkeys((path, metric) for path, metric, _, _ in passes)
    wrong = {key: invalid_rows(arrays[key[0]], find(key[1])) for key in keys}
    if on_invalid == "error":
        for (path, _), rows in wrong.items():
            refuse_invalid(rows, ids, str(path))
    for (path, _), rows in wrong.items():
        left = len(arrays[path]) - len(rows)
        if left < 2:
            reasons = ", ".join(sorted(set(rows.values())))
            raise DataError(f"{path}: {left} of {len(arrays[path])} rows can be used ({reasons}), expected at least 2")
    groups = {name: _numbered(column) for name, column in columns.items()}
    lonely = {asked: _lonely(plan, passes[asked], groups[asked[2]], wrong[asked[:2]], ids) for asked in passes
              if asked[2] is not None and asked[3] is None}  # fmt: skip
    if on_invalid == "error":
        for rows in lonely.values():
            refuse_invalid(rows, ids, str(plan.input_path))
    done: dict[str, Scored] = {}
    graphs: dict[Question, Neighbors] = {}
    if checkpoint is not None:
        Path(checkpoint).mkdir(exist_ok=True)
    for number, (asked, members) in enumerate(passes.items(), start=1):
        path, metric, group, reference = asked
        start = time.perf_counter()
        threads = min(max(one.threads or cores() for one in members), cores())
        k = max(one.k for one in members)
        labels = None if group is None else groups[group]
        tell = None if progress is None else progress(
            f"{metric} neighbours of {path.name}" + (f" in {reference.name}" if reference else "")
        )  # fmt: skip
        invalid = wrong[path, metric]
        if reference is not None:
            index = Exact(metric, threads).fit(references[reference])
            most = at_most(k, len(references[reference]))
            found = _against(index, arrays[path], most, invalid, before.get(asked), tell)
        else:
            index = Exact(metric, threads).fit(arrays[path], on_invalid, invalid)
            known = before.get(asked)
            if known is not None and known.k >= k:
                found = index.grow(known, labels, tell)
            else:  # nothing is known, or there were too few rows for so many neighbours
                kept = None if checkpoint is None else Path(checkpoint) / f"pass{number}-{metric}"
                found = index.neighbors(k, groups=labels, progress=tell, checkpoint=kept)
        copies = None if reference is not None else _copies(found, arrays[path], labels, invalid)
        view = None
        if copies is not None and any(one.score.distinct for one in members):
            most = max(one.k for one in members if one.score.distinct)
            view = _distinct(found, min(most, found.k), copies, arrays[path], labels, metric, threads)
        seconds = time.perf_counter() - start
        graphs[asked] = found
        errors = dict(sorted((invalid | lonely.get(asked, {})).items()))
        for one in members:
            done[one.label] = _scored(one, found, view, copies, arrays[path].shape[1], index.engine, seconds, errors)
    if checkpoint is not None:
        with contextlib.suppress(OSError):  # it holds something else too
            Path(checkpoint).rmdir()
    return graphs, tuple(done[one.label] for one in plan.scorers)


def _reference(path: Path, arrays: dict[Path, np.ndarray], passes: dict[Question, list[ScorerPlan]]) -> np.ndarray:
    """The vectors of another set, once they are known to fit."""
    vectors = as_vectors(files.load_npy(path), str(path))
    for embeddings, metric, _, reference in passes:
        if reference == path:
            if vectors.shape[1] != arrays[embeddings].shape[1]:
                raise DataError(
                    f"{path}: found dim {vectors.shape[1]}, but {embeddings} has dim {arrays[embeddings].shape[1]}; "
                    "a reference must be embedded with the same model"
                )
            embedding.verify_alike(path, embeddings)
            refuse_dtype(vectors, find(metric), str(path))
            refuse_invalid(invalid_rows(vectors, find(metric)), range(len(vectors)), str(path))
    return vectors


def _against(
    index: Exact, vectors: np.ndarray, k: int, invalid: dict[int, str], before: Neighbors | None, tell: Progress | None
) -> Neighbors:
    """Each row's k nearest rows of the reference; invalid rows have none, and known rows are not asked again."""
    old = 0 if before is None or before.k != k else len(before)
    rows = np.setdiff1d(np.arange(old, len(vectors)), list(invalid))
    found = index.search(vectors[rows] if invalid or old else vectors, k, progress=tell)
    if not invalid and not old:
        return found
    indices = np.full((len(vectors), k), -1, dtype=np.int64)
    distances = np.full((len(vectors), k), np.inf, dtype=np.float32)
    if before is not None and old:
        indices[:old], distances[:old] = before.indices, before.distances
    indices[rows], distances[rows] = found.indices, found.distances
    return Neighbors(indices, distances, found.metric, found.dim)


def _numbered(column: list[Any]) -> np.ndarray:
    """A whole number for each value, the same for equal ones."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in column], dtype=np.int64)


def _lonely(
    plan: Plan, members: list[ScorerPlan], groups: np.ndarray, invalid: dict[int, str], ids: list[datasets.Id]
) -> dict[int, str]:
    """The rows that have fewer than k others outside their own group."""
    k = at_most(max(one.k for one in members), len(ids) - len(invalid) - 1)
    valid = np.ones(len(ids), dtype=bool)
    valid[list(invalid)] = False
    others = valid.sum() - np.bincount(groups[valid], minlength=groups.max(initial=0) + 1)[groups]
    reason = f"fewer than {k} neighbours outside its own {members[0].group!r}"
    return {int(row): reason for row in np.flatnonzero(valid & (others < k))}


def _copies(
    found: Neighbors, vectors: np.ndarray | None, groups: np.ndarray | None, invalid: dict[int, str]
) -> np.ndarray | None:
    """The lowest row of each row's group of exact copies, in its own `groups` too; None for inner products."""
    if find(found.metric or "euclidean").product:
        return None
    copies = scores.copy_groups(found)
    if groups is None or vectors is None:
        return copies
    # Rows of one group are no neighbours of each other, so there the values tell.
    n, rows = len(found), np.delete(np.arange(len(found)), list(invalid))
    same = find_copies(vectors[rows] if invalid else vectors)
    return components(n, np.append(np.arange(n), rows), np.append(copies, rows[same.first[same.group]]))


def _distinct(
    found: Neighbors,
    k: int,
    copies: np.ndarray,
    vectors: np.ndarray,
    groups: np.ndarray | None,
    metric: str,
    threads: int,
) -> Neighbors:
    """Each row's k nearest distinct vectors; where copies fill a list, the distinct vectors alone are searched."""
    view = scores.distinct(found, k, copies)
    valid = found.indices[:, 0] >= 0
    short = np.flatnonzero(valid & (view.indices[:, -1] < 0))
    if not len(short):
        return view
    key = copies if groups is None else copies * (groups.max() + 1) + groups
    rows = np.flatnonzero(valid)
    stored = rows[np.unique(key[rows], return_index=True)[1]]  # one row for each distinct vector in each group
    stored.sort()
    _, first, again = np.unique(key[short], return_index=True, return_inverse=True)
    asking = short[first]
    index = Exact(metric, threads).fit(vectors[stored])
    labels = (None, None) if groups is None else (groups[stored], groups[asking])
    width = k + 1
    while True:
        width = min(width, len(stored))
        near = index.search(vectors[asking], width, groups=labels[0], query_groups=labels[1])
        indices = np.where(near.indices < 0, -1, stored[near.indices])
        keys = np.where(indices < 0, -1, copies[indices])
        part = scores.first_of_each(indices, near.distances, keys, copies[asking], k)
        if width == len(stored) or (part[0][:, -1] >= 0).all():
            break
        width *= 4
    all_indices, all_distances = view.indices.copy(), view.distances.copy()
    all_indices[short], all_distances[short] = part[0][again], part[1][again]
    return Neighbors(all_indices, all_distances, found.metric, found.dim)


def _scored_from_graph(one: ScorerPlan, graph: Neighbors, folder: Path, wrong: dict[int, str]) -> Scored:
    if one.metric_given and graph.metric is not None and one.metric != graph.metric:
        raise UsageError(f"{folder}: its neighbours are {graph.metric}, but {one.metric} was asked for")
    if one.reference is not None or one.group is not None:
        raise UsageError(f"{folder}: saved neighbours know no reference and no groups; give --embeddings")
    k = one.k
    if k > graph.k:
        if graph.k < len(graph) - len(wrong) - 1:
            raise UsageError(
                f"{folder}: holds {graph.k} neighbours a row, but k = {k} was asked for; make it again with -k {k}"
            )
        k = at_most(k, graph.k)
    few = np.flatnonzero((graph.indices[:, :k] < 0).any(axis=1))
    errors = wrong | {int(row): f"fewer than {k} neighbours" for row in few if row not in wrong}
    one = replace(one, metric=graph.metric or one.metric, embedding_path=None)
    copies = _copies(graph, None, None, {})
    view = scores.distinct(graph, k, copies) if one.score.distinct else None
    return _scored(one, graph, view, copies, None, f"saved neighbours ({folder})", 0.0, errors)


def _scored(
    one: ScorerPlan,
    found: Neighbors,
    view: Neighbors | None,
    copies: np.ndarray | None,
    dim: int | None,
    engine: str,
    seconds: float,
    invalid: dict[int, str],
) -> Scored:
    """One scorer's values; what has none is invalid (known before, or beyond float32), or undefined for this score."""
    score, k = one.score, min(one.k, found.k)
    source = view if score.distinct and view is not None else found
    values = score.compute(source, k).astype(np.float64)
    errors, undefined = dict(invalid), {}
    overflow = np.isinf(found.distances[:, k - 1])
    for row in np.flatnonzero(~np.isfinite(values) | overflow):
        if row not in errors and (overflow[row] or not score.undefined):
            errors[int(row)] = TOO_LARGE
        elif row not in errors:
            undefined[int(row)] = score.undefined
    values[[*errors, *undefined]] = np.nan
    if one.form:
        values = scores.FORMS[one.form](values)
        for row in np.flatnonzero(~np.isfinite(values)):
            if row not in errors and row not in undefined:
                undefined[int(row)] = "the median of all rows is 0, so there is no ratio to it"
        values[[*errors, *undefined]] = np.nan
    also = {name: compute(found, copies) for name, compute in score.also.items()}
    return Scored(one, k, dim, engine, seconds, values.astype(np.float32), source, copies, errors, undefined, also)


def _shortest(values: np.ndarray) -> list[float | None]:
    """Each float32 as the shortest decimal that reads back as the same float32."""
    return [float(str(value)) if np.isfinite(value) else None for value in values]


def summary(run: Run, nested: bool, seconds: float) -> str:
    """The run as one line of JSON: n, dim, k, metric, engine, seconds and quantiles of the score; a list if several."""
    output = None if run.output is None else str(run.output)
    whole = {"output": output, "total_seconds": round(seconds, 3)}
    parts = [one.summary() for one in run.scored]
    several = nested or len(parts) > 1
    return json.dumps({**whole, "n": len(run.ids), "scorers": parts} if several else {**parts[0], **whole})
