"""`vicinal.filter`: the rows of a data set whose scores and fields meet a condition."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import dataset, frames, tables
from vicinal.data.dataset import Dataset
from vicinal.data.results import Columns, Kept
from vicinal.data.usable import check_on_invalid, counted
from vicinal.errors import DataError, UsageError, unknown
from vicinal.indexes.filters import matches, names_of
from vicinal.storage import atomic
from vicinal.tasks import arguments
from vicinal.tasks.score.runs import scores_in
from vicinal.tasks.select.scores import file_of, numbers_of, read_scores, score_names
from vicinal.typing import Id


class Filtered(Kept):
    """Which rows of a data set meet a condition: one row a sample, in the input's order.

    The column `kept` (bool) says whether the sample meets it.

    Attributes
    ----------
    ids : list of int or str
    where : str
        The condition.
    unusable : dict of int to str
        The rows that lack a value that the condition names, by number, and which.
    seconds : float
        The time that `filter` took.
    """

    def __init__(self, ids: list[Id], kept: np.ndarray, where: str, unusable: dict[int, str]) -> None:
        super().__init__(ids, {"kept": kept})
        self.where, self.unusable, self.seconds = where, unusable, 0.0

    def __repr__(self) -> str:
        return f"Filtered(n={len(self)}, kept={len(self.rows)}, where={self.where!r})"

    def summary(self) -> dict[str, Any]:
        """Return the counts that `vicinal filter --json` prints: n, kept, unusable, seconds."""
        unusable, seconds = len(self.unusable), round(self.seconds, 3)
        return {"n": len(self), "kept": len(self.rows), "unusable": unusable, "seconds": seconds}


def filter(
    data: object,
    where: str,
    scores: object = None,
    *,
    ids: object = None,
    on_invalid: str = "null",
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Filtered:
    """Return the rows of a data set whose scores and fields meet a condition.

    Parameters
    ----------
    data : path or table
        A data set file (`.jsonl`, `.jsonl.gz`, `.csv`, `.parquet`), or a table in memory (pandas, polars, pyarrow,
        Hugging Face datasets, mapping of columns).
    where : str
        A condition as in SQL's WHERE, such as `score > 0.8 and label in ("a", "b")`: = != < <= > >=, and, or, not, in,
        like, ilike, is null, parentheses. A name is a score or a field of the data set; one that is no plain word
        stands in backticks, such as `lof:percentile`. A comparison with a missing value is not met.
    scores : path or Columns, optional
        A file that `vicinal score` or another command wrote for these rows, the folder of a kept run, or such a result.
        A single score is called "score".
    ids : str or sequence, optional
        The column of ids (default "id"; row numbers where there is none), or the ids.
    on_invalid : {"null", "skip", "error"}
        Rows that lack a value that the condition names: "null" lets the condition decide (`is null` finds them, no
        comparison does), "skip" never keeps them, "error" refuses them.
    output : path, optional
        Where the lines of a data set file that meet the condition are copied, byte for byte.
    overwrite : bool
        Whether `output` may exist; it is replaced.

    Returns
    -------
    Filtered
        One row a sample in the input's order: kept.

    Raises
    ------
    UsageError
        The condition cannot be read, names what is not there, or compares a text with a number.
    DataError
        The data or the scores cannot be read or do not fit together.

    Examples
    --------
    >>> table = {"text": ["a", "b", "c"], "stars": [3, 5, None]}
    >>> filter(table, "stars >= 4").take_from(table)
    {'text': ['b'], 'stars': [5]}
    >>> filter(table, "not stars >= 4").rows.tolist()
    [0]
    """
    start = time.perf_counter()
    check_on_invalid(on_invalid)
    if output is not None:
        arguments.check_copy(data, output, "Filtered.take_from")
        arguments.check_outputs({"output": output}, [data, scores, ids], overwrite)
    names = names_of(where)
    scores = scores_in(scores, data)
    file = file_of(scores, data)
    if file is None and scores is not None and not isinstance(scores, Columns):
        raise UsageError(f"scores: expected a file of `vicinal score` or a result, got {frames.described(scores)}")
    of_scores = _names_of_scores(scores, file)
    fields = {name: (name, "any") for name in names if name not in of_scores}
    rows = _read(data, ids, fields, of_scores)
    columns = {name: _score(scores, file, name, rows) for name in names if name in of_scores}
    columns |= {name: rows.values[name] for name in fields}
    arrow = {name: _column(values, name, _is_csv(rows)) for name, values in columns.items()}
    unusable = _unusable(arrow)
    if unusable and on_invalid == "error":
        raise DataError(
            f"{rows.name}: {len(unusable)} rows lack a value ({counted(unusable)}); correct or remove them, or give "
            "--on-invalid null (in Python: on_invalid='null')"
        )
    kept = matches(where, arrow)
    if on_invalid == "skip":
        kept[list(unusable)] = False
    result = Filtered(rows.ids, kept, where, unusable)
    if output is not None and rows.path is not None:
        with atomic.whole_file(output, overwrite) as target:
            tables.copy_rows(rows.path, target, output, kept)
    result.seconds = time.perf_counter() - start
    return result


def _names_of_scores(scores: object, file: Path | None) -> list[str]:
    if isinstance(scores, Columns):
        names = scores.names
        floats = [name for name in names if _is_score(scores[name])]
        return [*names, *(["score"] if len(floats) == 1 and "score" not in names else [])]
    return [] if file is None else score_names(file)


def _is_score(values: object) -> bool:
    """Whether a column of a result holds numbers with fractions, as scores are."""
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"


def _read(data: object, ids: object, fields: dict[str, tuple[str, str]], of_scores: list[str]) -> Dataset:
    """The data set with the fields that the condition names."""
    if frames.is_table(data):
        missing = [name for name in fields if name not in frames.column_names(data)]
        if missing:
            raise UsageError(f"where: {unknown('name', missing[0], [*of_scores, *frames.column_names(data)])}")
    rows = dataset.read(data, ids=ids, fields=fields)
    for name in fields:
        if all(value is None for value in rows.values[name]):
            there = [*of_scores, *next((list(row) for _, row in tables.read_rows(rows.path)), [])] if rows.path else []
            if name not in there:
                raise UsageError(f"where: {unknown('name', name, there)}")
    return rows


def _score(scores: object, file: Path | None, name: str, rows: Dataset) -> Any:
    """The values of a score, or of another column of a result."""
    if isinstance(scores, Columns):
        if len(scores) != len(rows):
            raise DataError(f"scores: found {len(scores)} rows, but {rows.name} has {len(rows)}; score the data again")
        if name not in scores:
            name = next(one for one in scores if _is_score(scores[one]))
        values = scores[name]
        return numbers_of(values.tolist(), name) if _is_score(values) else values
    assert file is not None
    return read_scores(file, rows.name, rows.ids, name)


def _is_csv(rows: Dataset) -> bool:
    return rows.path is not None and tables.suffix(rows.path) == ".csv"


def _column(values: Any, name: str, is_csv: bool) -> Any:
    """An Arrow column; no value is null. A field of a CSV whose cells are all numbers is one of numbers."""
    import pyarrow

    if isinstance(values, np.ndarray):
        return pyarrow.array(values, mask=np.isnan(values) if values.dtype.kind == "f" else None)
    plain = [None if isinstance(value, float) and np.isnan(value) else value for value in values]
    if is_csv:
        plain = [None if value == "" else value for value in plain]
        number = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
        if all(value is None or number.fullmatch(value) for value in plain):
            plain = [None if value is None else float(value) for value in plain]
    try:
        return pyarrow.array(plain)
    except (pyarrow.ArrowException, OverflowError) as error:
        kinds = sorted({type(value).__name__ for value in plain if value is not None})
        raise DataError(
            f"where: {name}: its values are of several kinds ({', '.join(kinds)}); write them all alike"
        ) from error


def _unusable(columns: dict[str, Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, values in columns.items():
        for row in np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)).tolist():
            found.setdefault(row, f"no {name}")
    return dict(sorted(found.items()))
