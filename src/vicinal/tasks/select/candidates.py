"""The second phase of a selection: the rows that can be chosen, read and checked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis.forms import percentile
from vicinal.data import dataset, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings, load
from vicinal.data.results import Columns
from vicinal.data.usable import kind_of
from vicinal.errors import DataError, UsageError
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.vectors import refuse_invalid
from vicinal.tasks.duplicates.texts import warn_of_cut_rows
from vicinal.tasks.score import kept
from vicinal.tasks.select.marks import Marks, read_marks
from vicinal.tasks.select.plan import Arguments, Plan, count_of
from vicinal.tasks.select.scores import file_of, numbers_of, read_scores, scores_of, scores_of_run


@dataclass(frozen=True, eq=False)
class Candidates:
    """The m of n rows that can be chosen.

    Attributes
    ----------
    data : Dataset
        All n rows.
    keep : int
        How many of them to choose.
    rows : ndarray of int64, shape (m,)
        The row number of each candidate, ascending.
    unusable : dict of int to str
        The reason of each other row.
    scores, quality : ndarray of float64, shape (m,), or None
    groups : ndarray of int64, shape (m,), or None
        The group of each candidate, from 0, of which each keeps its share.
    vectors : ndarray, shape (m, dim), or None
    target : ndarray, shape (n_target, dim), or None
        The rows that the choice is made towards.
    graph : Neighbors or None
        The nearest others of each of the n rows, where they were given.
    marked : ndarray of bool, shape (m,)
        Whether the candidate is marked to be kept.
    labels : dict of int to str, int or float
        The labels that rows are marked with, by row number.
    weight : ndarray of float64, shape (m,)
        The percentile of the quality, from 0 to 1; 1 without one.
    """

    data: Dataset
    keep: int
    rows: np.ndarray
    unusable: dict[int, str]
    scores: np.ndarray | None
    quality: np.ndarray | None
    groups: np.ndarray | None
    vectors: np.ndarray | None
    target: np.ndarray | None
    graph: Neighbors | None
    marked: np.ndarray
    labels: dict[int, Any]
    weight: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        weight = np.ones(len(self)) if self.quality is None else percentile(self.quality) / 100
        object.__setattr__(self, "weight", weight)

    def __len__(self) -> int:
        return len(self.rows)


def read(arguments: Arguments, plan: Plan) -> Candidates:
    """Return the rows that can be chosen.

    Raises
    ------
    UsageError
        A column is not there, or embeddings or neighbours are missing that the strategy needs.
    DataError
        Something cannot be read or does not belong to the data set, or fewer rows can be used than `keep`.
    """
    in_run = kept.is_run(arguments.scores)
    file = None if in_run else file_of(arguments.scores, arguments.data)
    in_data = None if in_run or file is not None or isinstance(arguments.scores, Columns) else arguments.scores
    if in_data is not None and arguments.by is not None:
        raise UsageError(f"by: chooses one of several scores, but scores holds one; leave {arguments.by!r} out")
    fields = {
        "quality": (arguments.quality, kind_of("number", plan.on_invalid)),
        "quota": (arguments.quota, kind_of("label", plan.on_invalid)),
        "scores": (in_data, "any"),
    }
    rows = dataset.read(
        arguments.data, arguments.embeddings, ids=arguments.ids, fields=fields, encoding=arguments.encoding
    )
    if not len(rows):
        raise DataError(f"{rows.name}: found no rows to choose from")
    keep = count_of(plan.keep, len(rows))
    scores = _scores(arguments, in_run, file, rows)
    embeddings = _embeddings(arguments, plan, rows)
    graph = _graph(arguments, plan, rows, embeddings)
    unusable = {} if embeddings is None else dict(embeddings.invalid)
    if scores is not None:
        unusable |= {int(row): "no score" for row in np.flatnonzero(~np.isfinite(scores))}
    for name in ("quality", "quota"):
        missing = [row for row, value in enumerate(rows.values.get(name, ())) if value is None]
        unusable |= {row: f"no {name}" for row in missing if row not in unusable}
    if unusable and plan.on_invalid == "error":
        refuse_invalid(unusable, rows.ids, rows.name)
    marks = Marks() if arguments.marks is None else read_marks(arguments.marks, rows.ids, rows.name)
    _check_marks(marks, unusable, keep, rows)
    unusable |= dict.fromkeys(marks.drop, "marked drop")
    unusable = dict(sorted(unusable.items()))
    usable = np.delete(np.arange(len(rows)), list(unusable))
    if len(usable) < keep:
        raise DataError(
            f"{rows.name}: {keep} rows were requested, but only {len(usable)} can be used "
            f"({', '.join(sorted(set(unusable.values())))}); keep fewer, or correct them"
        )
    quality = rows.values.get("quality")
    quota = rows.values.get("quota")
    return Candidates(
        data=rows,
        keep=keep,
        rows=usable,
        unusable=unusable,
        scores=None if scores is None else scores[usable],
        quality=None if quality is None else np.array([quality[row] for row in usable], dtype=np.float64),
        groups=None if quota is None else tables.numbered([quota[row] for row in usable]),
        vectors=None if embeddings is None else embeddings.vectors[usable] if unusable else embeddings.vectors,
        target=_target(arguments, plan, embeddings),
        graph=graph,
        marked=np.isin(usable, marks.keep),
        labels=marks.labels,
    )


def _scores(arguments: Arguments, in_run: bool, file: Path | None, rows: Dataset) -> np.ndarray | None:
    """The score of each row, NaN where it has none; None where no scores are given."""
    if in_run:
        return scores_of_run(str(arguments.scores), rows, arguments.by)
    if file is not None:
        return read_scores(file, rows.name, rows.ids, arguments.by)
    if isinstance(arguments.scores, Columns):
        return scores_of(arguments.scores, rows, arguments.by)
    return None if arguments.scores is None else numbers_of(rows.values["scores"], rows.places["scores"])


def _check_marks(marks: Marks, unusable: dict[int, str], keep: int, rows: Dataset) -> None:
    """Raise an error where the rows that are marked to be kept cannot all be chosen."""
    if len(marks.keep) > keep:
        raise UsageError(
            f"keep: {keep} rows were requested, but {len(marks.keep)} are marked keep; keep at least {len(marks.keep)}"
        )
    lost = [row for row in marks.keep if row in unusable]
    if lost:
        raise DataError(
            f"{rows.name}: {len(lost)} rows are marked keep, but cannot be chosen: row {lost[0]} has "
            f"{unusable[lost[0]]}; take their marks back, or correct them"
        )


def _graph(arguments: Arguments, plan: Plan, rows: Dataset, embeddings: Embeddings | None) -> Neighbors | None:
    """The neighbours that were given, once they are known to be those of the rows."""
    if embeddings is not None and plan.rules is not None:
        warn_of_cut_rows(embeddings)
    if plan.graph is not None:
        return plan.graph.of(rows, embeddings, whole=plan.rules is not None)
    if embeddings is None and arguments.metric is not None:
        raise UsageError(
            f"metric: strategy {plan.strategy.name!r} measures no distances here; leave it out, or give --dedup (in "
            "Python: dedup=)"
        )
    return None


def _embeddings(arguments: Arguments, plan: Plan, rows: Dataset) -> Embeddings | None:
    """The embeddings, if they are given or needed; rows whose embedding is invalid are not chosen."""
    of_strategy = plan.strategy.needs == "embeddings" or (
        plan.strategy.needs == "neighbors" and arguments.neighbors is None
    )
    needed = of_strategy or plan.rules is not None
    source = rows.own_embeddings() if needed and rows.embeddings is None else rows.embeddings
    if needed and source is None:
        what = f"strategy {plan.strategy.name!r}" if of_strategy else "dedup"
        other = ", or neighbors" if of_strategy and plan.strategy.needs == "neighbors" else ""
        raise UsageError(f"embeddings: missing, but {what} needs them; give a .npy file or a column of vectors{other}")
    in_table = rows.table is not None and arguments.embeddings is None
    if source is None or (in_table and not needed):
        return None
    return load(source, rows=rows, metric=plan.metric, on_invalid="null", at_least=0)


def _target(arguments: Arguments, plan: Plan, embeddings: Embeddings | None) -> np.ndarray | None:
    if arguments.target is None:
        return None
    return load(arguments.target, metric=plan.metric, name="target", like=embeddings).vectors
