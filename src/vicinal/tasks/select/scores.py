"""The score of every row of a data set: from a file of `vicinal score`, a result in memory, a column, or values."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import frames, tables
from vicinal.data.dataset import Dataset
from vicinal.data.opening import input_file
from vicinal.data.results import Columns
from vicinal.errors import DataError, UsageError
from vicinal.tasks.score.runs import Kept
from vicinal.typing import Id


def file_of(scores: object, data: object) -> Path | None:
    """Return the file of scores that an argument names; None where it names a column, or holds the scores.

    Raises
    ------
    UsageError
        It is the name of a file, but there is none.
    """
    if not isinstance(scores, str | os.PathLike):
        return None
    name = os.fspath(scores)
    if frames.is_table(data) and name in frames.column_names(data):
        return None
    if Path(name).is_file() or name.lower().endswith(tables.SUFFIXES) or isinstance(scores, os.PathLike):
        return input_file(name, "scores")
    return None


def scores_of(scores: Columns, rows: Dataset, by: str | None = None) -> np.ndarray:
    """Return the scores of a result, float64 (n,), NaN where there is none.

    Raises
    ------
    UsageError
        It has several scores and `by` names none of them.
    DataError
        It was computed from other rows.
    """
    names = [name for name in scores if isinstance(scores[name], np.ndarray) and scores[name].dtype.kind == "f"]
    if by is None and len(names) == 1:
        by = names[0]
    if by not in names:
        what = "the result has several scores" if by is None else f"the result has no score {by!r}"
        raise UsageError(f"by: {what}; choose one of {', '.join(names)}")
    numbers = list(range(len(rows)))  # the ids of rows that have none
    same = scores.ids == rows.ids or numbers in (scores.ids, rows.ids)
    if len(scores) != len(rows) or not same:
        raise DataError(
            f"scores: expected the scores of the {len(rows)} rows of {rows.name}, found a result of {len(scores)} rows "
            "with other ids; score the data again"
        )
    return np.asarray(scores[by], dtype=np.float64)


def scores_of_run(folder: str, rows: Dataset, by: str | None = None) -> np.ndarray:
    """Return the scores of a kept run, float64 (n,), NaN where there is none.

    Raises
    ------
    UsageError
        It has several scores and `by` names none of them.
    DataError
        It is of another data set, or the folder or a file that it was made from has changed.
    """
    run = Kept.load(folder)
    run.verify()
    names = [one.label for one in run.scorers]
    if by is None and len(names) == 1:
        by = names[0]
    if by not in names:
        what = "holds several scores" if by is None else f"holds no score {by!r}"
        raise UsageError(f"by: {folder} {what}; choose one of {', '.join(names)}")
    rows.refuse_other_count(folder, run.values.shape[1])
    ids: list[Id] = []
    for part in run.parts:
        ids += tables.read_columns(part.data.path, run.id_field, first_row=len(ids))[0]
    if rows.ids not in (ids, list(range(len(ids)))):
        raise DataError(f"{folder}: its rows are not those of {rows.name}: their ids differ; score the data again")
    return np.asarray(run.values[names.index(by)], dtype=np.float64)


def numbers_of(values: list[Any], place: str) -> np.ndarray:
    """Return one score a row from plain values, float64 (n,), NaN where a value is None or NaN.

    Raises
    ------
    DataError
        A value is not a number, or infinite; or no row has a score.
    """
    out = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            continue
        out[row] = _number(value, f"{place}: row {row}")
    if np.isnan(out).all():
        raise DataError(f"{place}: found no score in any of the {len(values)} rows; is it the right field?")
    return out


def _number(value: object, place: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{place}: expected a number or null, found {value!r}")
    return number


def read_scores(path: str | Path, data: str | Path, ids: list[Id], by: str | None = None) -> np.ndarray:
    """Return the score of every row of a data set from a file of `vicinal score`, float64 (n,), NaN where it is null.

    Parameters
    ----------
    path : path
    data : path
        What messages call the data set.
    ids : list
        Of the data set's rows; the file must have the same in the same order.
    by : str, optional
        The name of the score, where the file has several.

    Raises
    ------
    DataError
        The ids differ, or a score is not a number.
    UsageError
        There is no such score.
    """
    values: list[float] = []
    text = tables.suffix(path) == ".csv"
    for line, row in tables.read_rows(path):
        place = f"{path}:{line}"
        number = len(values)
        if number >= len(ids):
            raise DataError(f"{place}: more scores than rows: {data} has {len(ids)}; score it again")
        found = row.get("id")
        if found != ids[number] and str(found) != str(ids[number]):
            raise DataError(
                f"{place}: id {found!r}, but row {number} of {data} has id {ids[number]!r}; scores must be of the same "
                "rows in the same order: score the data set again"
            )
        value = _score_of(row, by, place)
        missing = value is None or (text and value == "")
        values.append(math.nan if missing else _number(value, f"{place}: {by or 'score'}"))
    if len(values) < len(ids):
        raise DataError(f"{path}: has {len(values)} scores, but {data} has {len(ids)} rows; score it again")
    return np.array(values)


def score_names(path: str | Path) -> list[str]:
    """Return the names of the scores in a file of `vicinal score`, or of the columns in a file of another command."""
    row = next((row for _, row in tables.read_rows(path)), {})
    return [name for name in (*row, *_several(row)) if name not in ("id", "error", "scores")]


def _several(row: dict[str, Any]) -> dict[str, Any]:
    """The scores of a record with several of them, by name."""
    cells = row.get("scores")
    return cells if isinstance(cells, dict) else {
        name: value for name, value in row.items()
        if name not in ("id", "error", "score") and " " not in name and not isinstance(value, list)
    }  # fmt: skip


def _score_of(row: dict[str, Any], by: str | None, place: str) -> Any:
    """The score of a record: its only one, or one of several by name."""
    several = _several(row)
    if by is None and "score" in row:
        return row["score"]
    if by is None and len(several) == 1:
        by = next(iter(several))
    if by is None or by not in several:
        if by == "score" and "score" in row:
            return row["score"]
        names = ["score"] * ("score" in row) + list(several)
        if not names:
            raise DataError(f"{place}: no score; expected a file of `vicinal score`")
        what = "has several scores" if by is None else f"has no score {by!r}"
        raise UsageError(f"{place}: {what}; choose one with --by (in Python: by=): {', '.join(names)}")
    cell = several[by]
    return cell.get("score") if isinstance(cell, dict) else cell
