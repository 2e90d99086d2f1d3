"""The rows of a page, from a `Scores` object or from the folder of a kept run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import frames, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import load
from vicinal.data.text_keys import numbers_of_parts
from vicinal.errors import UsageError, unknown
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.page.content import Rows, score_column
from vicinal.tasks.page.fields import Column
from vicinal.tasks.score import Scores
from vicinal.tasks.score.plan import Scorer
from vicinal.tasks.score.runs import Kept
from vicinal.typing import Id

PLAIN_UNITS = {"lof": "without unit", "density": "natural logarithm", "hubness": "rows", "lid": "dimensions"}


def from_scores(scores: Scores, fields: Sequence[str] | None, title: str | None) -> Rows:
    """Return the rows of scores in memory.

    Raises
    ------
    UsageError
        They were computed from saved neighbours, without the embeddings that a map is made of; or a field is not there.
    """
    if scores.embeddings is None:
        raise UsageError(
            "scores: expected scores that were computed from embeddings, got scores of saved neighbours; score with "
            "embeddings in place of neighbors"
        )
    first = scores.rows[0]
    alone = first.path if len(scores.rows) == 1 else None
    scorers = [one.scorer for one in scores.scored]
    return Rows(
        title=title or (first.name if first.path is None else first.path.name),
        ids=scores.ids,
        id_name=first.id_field,
        cells=_cells([_columns_of(part, fields) for part in scores.rows], [len(part) for part in scores.rows]),
        vectors=_valid(np.asarray(scores.embeddings.vectors), scores.embeddings.valid),
        valid=scores.embeddings.valid,
        scores=_scores(scorers, np.stack([one.values for one in scores.scored])),
        metric=scorers[0].metric,
        neighbors=_own(scorers[0], scores.neighbors),
        graph=_whole(scorers[0], scores.neighbors),
        texts=numbers_of_parts(scores.rows),
        data=alone,
        scores_file=scores.output if alone is not None else None,
        is_csv=alone is not None and tables.suffix(alone) == ".csv",
    )


def from_run(folder: Path, fields: Sequence[str] | None, title: str | None) -> Rows:
    """Return the rows of a kept run.

    Raises
    ------
    DataError
        The folder is damaged or no kept run, or a file that the run was made from is gone or has changed.
    UsageError
        A field is not there.
    """
    run = Kept.load(folder)
    run.verify()
    ids: list[Id] = []
    datasets = []
    for part in run.parts:
        more, _, _ = tables.read_columns(part.data.path, run.id_field, first_row=len(ids))
        ids += more
        path = Path(part.data.path)
        datasets.append(Dataset(path.name, more, path=path, id_field=run.id_field))
    metric = run.scorers[0].metric
    parts = [load(part.embeddings[0].path, metric=metric, on_invalid="null", at_least=0) for part in run.parts]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    vectors = parts[0].vectors if len(parts) == 1 else np.concatenate([part.vectors for part in parts])
    valid = np.concatenate([start + part.valid for start, part in zip(starts, parts, strict=False)])
    data = Path(run.parts[0].data.path)
    neighbors = next(one for one in run.passes if 0 in one.scorers).neighbors
    return Rows(
        title=title or data.name,
        ids=ids,
        id_name=run.id_field,
        cells=_cells([columns_in(part.data.path, fields) for part in run.parts], [len(part) for part in parts]),
        vectors=_valid(vectors, valid),
        valid=valid,
        scores=_scores(run.scorers, run.values),
        metric=metric,
        neighbors=_own(run.scorers[0], neighbors),
        graph=_whole(run.scorers[0], neighbors),
        texts=numbers_of_parts(datasets),
        data=data if len(run.parts) == 1 else None,
        scores_file=folder if len(run.parts) == 1 else None,
        is_csv=all(tables.suffix(part.data.path) == ".csv" for part in run.parts),
    )


def _valid(vectors: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return vectors if len(valid) == len(vectors) else vectors[valid]


def _own(scorer: Scorer, neighbors: Neighbors) -> Neighbors | None:
    """The neighbours, unless they are rows of another set."""
    return neighbors if scorer.reference is None else None


def _whole(scorer: Scorer, neighbors: Neighbors) -> Neighbors | None:
    """The neighbours, where any other row can be one."""
    return neighbors if scorer.reference is None and scorer.groups is None else None


def _scores(scorers: Sequence[Scorer], values: np.ndarray) -> list[Column]:
    return [score_column(one.label, own, _unit(one), one.score.high) for one, own in zip(scorers, values, strict=True)]


def _unit(one: Scorer) -> str:
    """The unit of a score's values, in words."""
    if one.form:
        return "percent of rows below" if one.form == "percentile" else "times the median of all rows"
    return PLAIN_UNITS.get(one.score.by, one.metric.unit)


def _cells(parts: list[dict[str, list[Any]]], sizes: list[int]) -> dict[str, list[Any]]:
    """The columns of parts whose rows follow each other; None where a part has no such field."""
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: [value for part, size in zip(parts, sizes, strict=True) for value in part.get(name, [None] * size)]
        for name in names
    }


def _columns_of(rows: Dataset, fields: Sequence[str] | None) -> dict[str, list[Any]]:
    """The values of the fields of a data set; nothing of an array."""
    if rows.path is not None:
        return columns_in(rows.path, fields)
    if rows.table is None:
        if fields:
            raise UsageError(f"fields: expected a data set with fields, got {rows.name}; score a file or a table")
        return {}
    return columns_of_table(rows.table, fields)


def columns_of_table(table: Any, fields: Sequence[str] | None) -> dict[str, list[Any]]:
    """Return the values of the columns of a table, without its vectors."""
    columns = {name: frames.column(table, name, "fields") for name in fields or frames.column_names(table)}
    return {name: values.to_pylist() for name, values in columns.items() if not frames.is_vector_column(values)}


def columns_in(path: str | Path, fields: Sequence[str] | None) -> dict[str, list[Any]]:
    """Return the values of the fields of a data set file, one list a field.

    Raises
    ------
    UsageError
        No row has a field that was asked for.
    """
    found: dict[str, list[Any]] = {}
    n = 0
    for n, (_, row) in enumerate(tables.read_rows(path), 1):
        for name, value in row.items():
            if fields is None or name in fields:
                if name not in found:
                    found[name] = [None] * (n - 1)
                found[name].append(value)
        for column in found.values():
            if len(column) < n:
                column.append(None)
    missing = [name for name in fields or () if name not in found]
    if missing:
        names: Mapping[str, Any] = next((row for _, row in tables.read_rows(path)), {})
        raise UsageError(f"fields: {path}: {unknown('field', missing[0], list(names))}")
    return found
