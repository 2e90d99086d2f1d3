"""The scores of a data set, read back from a file of `vicinal score`."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import tables
from vicinal.errors import DataError, UsageError


def read_scores(path: str | Path, data: str | Path, ids: list[tables.Id], by: str | None = None) -> np.ndarray:
    """The score of every row of a data set, float64 (n,), NaN where it is null.

    by     : which, where the file has several
    Raises   DataError where the ids are not the data set's, in its order, or a score is no number; UsageError where
             there is no such score.
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
        if value is None or (text and value == ""):
            values.append(math.nan)
            continue
        try:
            values.append(math.nan if isinstance(value, bool) else float(value))
        except (TypeError, ValueError):
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise DataError(f"{place}: {by or 'score'}: expected a number or null, found {value!r}")
    if len(values) < len(ids):
        raise DataError(f"{path}: has {len(values)} scores, but {data} has {len(ids)} rows; score it again")
    return np.array(values)


def _score_of(row: dict[str, Any], by: str | None, place: str) -> Any:
    """The score of a record: its own, or one of several by name."""
    cells = row.get("scores")
    several = cells if isinstance(cells, dict) else {
        name: value for name, value in row.items()
        if name not in ("id", "error", "score") and " " not in name and not isinstance(value, list)
    }  # fmt: skip
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
        raise UsageError(f"{place}: {what}; choose one with --by: {', '.join(names)}")
    cell = several[by]
    return cell.get("score") if isinstance(cell, dict) else cell
