"""The passes of a run: one neighbour search for each question, at the largest k of the scorers that share it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from vicinal.analysis.components import components
from vicinal.analysis.distinct import copy_groups, first_of_each, nearest_distinct
from vicinal.data.embeddings import Embeddings
from vicinal.distributed.engines import HERE, ClusterExact, Engine
from vicinal.indexes.exact import Exact
from vicinal.knn.arguments import at_most, cores
from vicinal.knn.blocks import nothing
from vicinal.knn.checkpoint import Checkpoint
from vicinal.knn.checkpoint import question as asked_of
from vicinal.knn.copies import find_copies
from vicinal.knn.exact import ExactSearch
from vicinal.knn.joined import chosen
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors
from vicinal.storage import atomic
from vicinal.tasks.score.inputs import Inputs
from vicinal.tasks.score.plan import Plan, Question, Scorer
from vicinal.typing import Progress, StartProgress


@dataclass(frozen=True, eq=False)
class Answer:
    """The result of one neighbour search, with what its scorers read.

    Attributes
    ----------
    neighbors : Neighbors
    engine : str
        The kernel that computed them, with its version.
    seconds : float
        How long it took, for all scorers of the question together.
    dim : int or None
    errors : dict of int to str
        Rows that have no score by these neighbours, and why.
    copies : ndarray or None
        int64 (n,): the lowest row of each row's group of equal rows; None where there is no such thing.
    distinct : Neighbors or None
        Each row's nearest distinct vectors, where a scorer reads them.
    """

    neighbors: Neighbors
    engine: str
    seconds: float
    dim: int | None = None
    errors: dict[int, str] = field(default_factory=dict)
    copies: np.ndarray | None = None
    distinct: Neighbors | None = None


def answers(
    plan: Plan,
    inputs: Inputs,
    *,
    progress: StartProgress | None = None,
    checkpoint: str | Path | None = None,
    known: Mapping[Question, Neighbors] | None = None,
    engine: Engine = HERE,
) -> dict[Question, Answer]:
    """Return the answer to each question of a plan.

    Parameters
    ----------
    plan : Plan
    inputs : Inputs
        Checked.
    progress : callable, optional
        Called with the name of each pass; gives the function that is called with (rows done, rows in all).
    checkpoint : path, optional
        A folder that keeps the finished work of each pass, for the same run to resume from.
    known : mapping of Question to Neighbors, optional
        The neighbours among the first rows; only pairs with later rows are compared.
    engine : Engine
        Where the passes run; by default here.
    """
    known = known or {}
    out: dict[Question, Answer] = {}
    with _folder(checkpoint) as folder:
        for number, (question, members) in enumerate(plan.questions.items(), start=1):
            callback = None if progress is None else progress(_title(question, inputs))
            kept = None if folder is None else folder / f"pass{number}-{question.metric.name}"
            least = plan.shared_k(question)
            old = known.get(question)
            more = number < len(plan.questions)
            out[question] = _answer(question, members, inputs, old, callback, kept, least, engine, plan.recall, more)
        for number, question in enumerate(plan.questions, start=1):
            if folder is not None:
                atomic.remove_kept(_finished(folder / f"pass{number}-{question.metric.name}"))
    return out


def _finished(checkpoint: Path) -> Path:
    """The folder of a finished pass, which is kept until the last one is finished."""
    return checkpoint.with_name(f"{checkpoint.name}-finished")


@contextlib.contextmanager
def _folder(checkpoint: str | Path | None) -> Iterator[Path | None]:
    """The folder of the passes' checkpoints, removed at the end, or at an interrupt, where nothing is in it."""
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _title(question: Question, inputs: Inputs) -> str:
    """The name of a pass, for a progress bar."""
    title = f"{question.metric.name} neighbours of {_file_name(inputs.vectors[question])}"
    return title if question.reference is None else f"{title} in {_file_name(inputs.references[question])}"


def _file_name(vectors: Embeddings) -> str:
    return vectors.name if vectors.path is None else vectors.path.name


def _answer(
    question: Question,
    members: list[Scorer],
    inputs: Inputs,
    known: Neighbors | None,
    progress: Progress | None,
    checkpoint: Path | None,
    least_k: int = 0,
    engine: Engine = HERE,
    recall: float | None = None,
    more: bool = False,
) -> Answer:
    """Run one pass at the largest k of the scorers, or `least_k`, and find copies; it is kept where `more` follow."""
    start = time.perf_counter()
    embeddings = inputs.vectors[question]
    threads = min(max(one.threads or cores() for one in members), cores())
    k = max(*(one.k for one in members), least_k)
    asked = max((one.threads or 0 for one in members), default=0) or None
    index = engine.exact(question.metric, asked if engine.name == "ray" else threads)
    if question.reference is not None:
        reference = inputs.references[question]
        index.fit(reference.vectors)
        nearest = _in_reference(index, embeddings, at_most(k, len(reference)), known, progress)
        return Answer(nearest, index.engine, time.perf_counter() - start, embeddings.dim, embeddings.invalid)
    groups = None if question.groups is None else inputs.groups[question.groups]
    if known is not None and known.k >= k:  # here whatever the engine, since little is left to do
        grown = ExactSearch.of(embeddings.vectors, question.metric, threads, inputs.on_invalid, embeddings.invalid)
        nearest, used = grown.grow(known, groups, progress), grown.engine
    else:  # nothing is known, or there were too few rows for so many neighbours
        index.fit(embeddings.vectors, inputs.on_invalid, embeddings.invalid)
        kept = None if checkpoint is None or not more else _finished(checkpoint)
        search = partial(index.neighbors, k, groups=groups, progress=progress, checkpoint=checkpoint, recall=recall)
        nearest = search() if kept is None else _kept_pass(kept, search, index.metric, embeddings, k, groups)
        used = index.engine
    copies = copies_of(nearest, question.metric, embeddings, groups)
    view = None
    if copies is not None and any(one.score.distinct for one in members):
        most = min(max(one.k for one in members if one.score.distinct), nearest.k)
        index = engine.exact(question.metric, asked if engine.name == "ray" else threads)
        view = _distinct_view(nearest, most, copies, embeddings.vectors, groups, index)
    errors = dict(sorted((embeddings.invalid | inputs.lonely.get(question, {})).items()))
    return Answer(nearest, used, time.perf_counter() - start, embeddings.dim, errors, copies, view)


def _kept_pass(
    folder: Path,
    search: Callable[[], Neighbors],
    metric: Metric,
    embeddings: Embeddings,
    k: int,
    groups: np.ndarray | None,
) -> Neighbors:
    """The neighbours of a pass, from a folder if an interrupted run finished it; the folder holds them afterwards."""
    finished = Checkpoint(folder, asked_of(embeddings.vectors, metric.name, k, groups))
    state = finished.load()
    if state is not None:
        return Neighbors(state["indices"], state["distances"], metric.name, embeddings.dim)
    nearest = search()
    finished.save({"indices": nearest.indices, "distances": nearest.distances})
    return nearest


def _in_reference(
    index: Exact | ClusterExact, embeddings: Embeddings, k: int, known: Neighbors | None, progress: Progress | None
) -> Neighbors:
    """Each row's k nearest rows of the reference; invalid rows have none, and known rows are not searched again."""
    n, old = len(embeddings), 0 if known is None or known.k != k else len(known)
    rows = np.setdiff1d(np.arange(old, n), list(embeddings.invalid))
    asked = chosen(embeddings.vectors, rows) if len(rows) < n else embeddings.vectors
    nearest = index.search(asked, k, progress=progress)
    if len(rows) == n:
        return nearest
    indices, distances = nothing(n, k)
    if known is not None and old:
        indices[:old], distances[:old] = known.indices, known.distances
    indices[rows], distances[rows] = nearest.indices, nearest.distances
    return Neighbors(indices, distances, nearest.metric, nearest.dim)


def copies_of(
    nearest: Neighbors, metric: Metric, embeddings: Embeddings | None = None, groups: np.ndarray | None = None
) -> np.ndarray | None:
    """Return the lowest row of each row's group of equal rows, or None for inner products.

    Parameters
    ----------
    nearest : Neighbors
    metric : Metric
    embeddings : Embeddings, optional
        Needed where `groups` are: rows of one group are no neighbours of each other, so there the values decide.
    groups : ndarray, optional
    """
    if metric.product:
        return None
    copies = copy_groups(nearest)
    if groups is None or embeddings is None:
        return copies
    n, rows = len(nearest), embeddings.valid
    same = find_copies(embeddings.vectors if len(rows) == n else chosen(embeddings.vectors, rows))
    return components(n, np.append(np.arange(n), rows), np.append(copies, rows[same.first[same.group]]))


def _distinct_view(
    nearest: Neighbors,
    k: int,
    copies: np.ndarray,
    vectors: np.ndarray,
    groups: np.ndarray | None,
    index: Exact | ClusterExact,
) -> Neighbors:
    """Each row's k nearest distinct vectors; where copies fill a list, the distinct vectors alone are searched."""
    view = nearest_distinct(nearest, k, copies)
    valid = nearest.indices[:, 0] >= 0
    short = np.flatnonzero(valid & (view.indices[:, -1] < 0))
    if not len(short):
        return view
    key = copies if groups is None else copies * (groups.max() + 1) + groups
    rows = np.flatnonzero(valid)
    stored = rows[np.unique(key[rows], return_index=True)[1]]  # one row for each distinct vector in each group
    stored.sort()
    _, first, again = np.unique(key[short], return_index=True, return_inverse=True)
    order = np.argsort(first)
    queries, again = short[first[order]], np.argsort(order)[again]
    index.fit(chosen(vectors, stored))
    labels = (None, None) if groups is None else (groups[stored], groups[queries])
    width = k + 1
    while True:
        width = min(width, len(stored))
        near = index.search(chosen(vectors, queries), width, groups=labels[0], query_groups=labels[1])
        indices = np.where(near.indices < 0, -1, stored[near.indices])
        keys = np.where(indices < 0, -1, copies[indices])
        part = first_of_each(indices, near.distances, keys, copies[queries], k)
        if width == len(stored) or (part[0][:, -1] >= 0).all():
            break
        width *= 4
    all_indices, all_distances = view.indices.copy(), view.distances.copy()
    all_indices[short], all_distances[short] = part[0][again], part[1][again]
    return Neighbors(all_indices, all_distances, nearest.metric, nearest.dim, recall=nearest.recall)
