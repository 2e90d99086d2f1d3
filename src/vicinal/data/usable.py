"""The rows of a data set that a task can use: those with a valid embedding and a value of every field that it reads.

What happens to the others is `on_invalid`: "error" refuses them where they are read, "null" gives them no result, and
"skip" leaves them out of the result.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import ON_INVALID, Embeddings
from vicinal.data.readers import OR_NULL
from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.joined import chosen
from vicinal.typing import Id

WORDS = {"labels": "label", "targets": "target", "groups": "group", "classes": "class"}


def check_on_invalid(on_invalid: str) -> str:
    """Return the choice, or raise UsageError where there is no such choice."""
    if on_invalid not in ON_INVALID:
        raise UsageError(f"on_invalid: {unknown('choice', on_invalid, ON_INVALID)}")
    return on_invalid


def kind_of(kind: str, on_invalid: str) -> str:
    """Return the kind of a field whose rows may lack a value unless `on_invalid` is "error".

    >>> kind_of("label", "error"), kind_of("label", "null")
    ('label', 'label or null')
    """
    return kind if check_on_invalid(on_invalid) == "error" else kind + OR_NULL


@dataclass(frozen=True, eq=False)
class Usable:
    """The usable rows of a data set, and what is known of the others.

    Attributes
    ----------
    rows : Dataset
        The usable rows only.
    vectors : Embeddings
        Theirs.
    left : ndarray of int64, shape (n_usable,)
        Their row numbers in the whole data set, ascending.
    ids : list of int or str
        The ids of the result's rows: all of them, or the usable ones where the others are skipped.
    reasons : dict of int to str
        For every other row, why it cannot be used.
    skip : bool
        Whether the other rows are left out of the result.
    """

    rows: Dataset
    vectors: Embeddings
    left: np.ndarray
    ids: list[Id]
    reasons: dict[int, str] = field(default_factory=dict)
    skip: bool = False

    @property
    def of_result(self) -> np.ndarray:
        """The row number, in the whole data set, of each row of the result."""
        return self.left if self.skip else np.arange(len(self.ids))

    def column(self, values: Any, none: Any) -> Any:
        """The values of the usable rows as a column of the result; `none` for the rows that have no result.

        An array stays an array of its dtype, a list a list.
        """
        if self.skip or not self.reasons:
            return values
        if isinstance(values, np.ndarray):
            whole = np.full((len(self.ids), *values.shape[1:]), none, dtype=values.dtype)
            whole[self.left] = values
            return whole
        out = [none] * len(self.ids)
        for row, value in zip(self.left.tolist(), values, strict=True):
            out[row] = value
        return out

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Numbers of usable rows as numbers of the result's rows; -1 stays."""
        if self.skip or not self.reasons:
            return rows
        return np.where(rows < 0, -1, self.left[rows])


def usable(rows: Dataset, vectors: Embeddings, on_invalid: str, at_least: int = 1) -> Usable:
    """Return the rows that have a valid embedding and a value of every field that was read.

    Parameters
    ----------
    rows : Dataset
        With values None where a field of a kind of `kind_of` has none.
    vectors : Embeddings
        Of the same rows; `invalid` names those without a distance.
    on_invalid : {"error", "null", "skip"}
    at_least : int
        How many usable rows there must be.

    Raises
    ------
    DataError
        There are fewer usable rows.
    """
    reasons = dict(vectors.invalid)
    for name, values in rows.values.items():
        for row, value in enumerate(values):
            if value is None:
                reasons.setdefault(row, f"no {WORDS.get(name, name)}")
    skip = check_on_invalid(on_invalid) == "skip"
    left = np.delete(np.arange(len(rows)), list(reasons))
    if reasons and len(left) < at_least:
        raise DataError(
            f"{rows.name}: {len(left)} of {len(rows)} rows can be used ({counted(reasons)}), expected at least "
            f"{at_least}"
        )
    if not reasons:
        return Usable(rows, vectors, left, rows.ids, {}, skip)
    ids = [rows.ids[row] for row in left]
    columns = {name: [column[row] for row in left] for name, column in rows.values.items()}
    part = replace(rows, ids=ids, values=columns)
    valid = replace(vectors, vectors=chosen(vectors.vectors, left), invalid={})
    return Usable(part, valid, left, ids if skip else rows.ids, dict(sorted(reasons.items())), skip)


def counted(reasons: Mapping[int, str]) -> str:
    """Return how many rows have each reason, as words.

    >>> counted({3: "no label", 7: "no label", 9: "NaN or infinite value"})
    'no label: 2, NaN or infinite value: 1'
    """
    return ", ".join(f"{reason}: {count:,}" for reason, count in Counter(reasons.values()).most_common())


def note(reasons: Mapping[int, str], skip: bool = False, of: str = "") -> str:
    """Return the end of a command's closing line: how many rows had no usable value; empty where all had one.

    of : which rows they are, where a command reads several sets

    >>> note({3: "no label", 7: "no label"})
    '; 2 rows without a usable value have no result (no label: 2)'
    """
    if not reasons:
        return ""
    rows = "1 row" if len(reasons) == 1 else f"{len(reasons):,} rows"
    verb = "was" if len(reasons) == 1 else "were"
    have = "has" if len(reasons) == 1 else "have"
    what = f"{verb} left out" if skip else f"{have} no result"
    return f"; {rows}{of and f' of {of}'} without a usable value {what} ({counted(reasons)})"
