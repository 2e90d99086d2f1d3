"""The passes that scorers need, each made once, and the values that come of them.

Scorers that share embeddings, metric, groups and reference share one pass, at the largest k. All that can be wrong with
the vectors is looked at before the first.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis import scores
from vicinal.analysis.components import components
from vicinal.data import provenance, tables
from vicinal.errors import DataError, UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.arguments import at_most, cores
from vicinal.knn.copies import find_copies
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid
from vicinal.storage import npy
from vicinal.tasks.score.config import Plan, ScorerPlan
from vicinal.tasks.score.results import Scored

TOO_LARGE = "a distance too large for float32; scale the embeddings down"

Progress = Callable[[int, int], None]
Question = tuple[Path, str, str | None, Path | None]


def question_of(one: ScorerPlan) -> Question:
    """What a pass is asked; scorers with the same question share it."""
    assert one.embedding_path is not None
    return one.embedding_path.resolve(), one.metric, one.group, one.reference and one.reference.resolve()


def scored_from_passes(
    plan: Plan,
    arrays: dict[Path, np.ndarray],
    ids: list[tables.Id],
    columns: dict[str, list[Any]],
    on_invalid: str,
    progress: Callable[[str], Progress] | None,
    checkpoint: str | Path | None,
    before: dict[Question, Neighbors],
) -> tuple[dict[Question, Neighbors], tuple[Scored, ...]]:
    """Checks everything, then makes the passes; those whose first rows' neighbours are at hand go on from them."""
    passes: dict[Question, list[ScorerPlan]] = {}
    for one in plan.scorers:
        passes.setdefault(question_of(one), []).append(one)
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
    groups = {name: tables.numbered(column) for name, column in columns.items()}
    lonely = {asked: _lonely(passes[asked], groups[asked[2]], wrong[asked[:2]], ids) for asked in passes
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
    vectors = as_vectors(npy.load_npy(path), str(path))
    for embeddings, metric, _, reference in passes:
        if reference == path:
            if vectors.shape[1] != arrays[embeddings].shape[1]:
                raise DataError(
                    f"{path}: found dim {vectors.shape[1]}, but {embeddings} has dim {arrays[embeddings].shape[1]}; "
                    "a reference must be embedded with the same model"
                )
            provenance.verify_alike(path, embeddings)
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


def _lonely(
    members: list[ScorerPlan], groups: np.ndarray, invalid: dict[int, str], ids: list[tables.Id]
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


def scored_from_graph(one: ScorerPlan, graph: Neighbors, folder: Path, wrong: dict[int, str]) -> Scored:
    """A scorer's values from neighbours that were saved.

    Raises    UsageError where they are not the neighbours that it asks for
    """
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
