"""Labels and target values of rows, out of a data set's field: `train.jsonl:label`."""

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vicinal.data.tables import SUFFIXES, Id, read_columns
from vicinal.errors import DataError, UsageError, some

DEFAULT_FIELDS = {"targets": "target", "ids": "id"}


@dataclass(frozen=True, eq=False)
class Labels:
    """The class of each row, as a code.

    place   : the file and field, for messages
    ids     : each row's id
    codes   : int64 (n,), 0 to len(classes) - 1
    classes : the labels as they were written, ascending: numbers before texts
    """

    place: str
    ids: list[Id]
    codes: np.ndarray
    classes: list[str | int | float]

    @property
    def is_text(self) -> bool:
        """Whether the labels are texts, not numbers."""
        return isinstance(self.classes[0], str)

    @property
    def counts(self) -> np.ndarray:
        """How many rows each class has, int64 (n_classes,)."""
        return np.bincount(self.codes, minlength=len(self.classes))


def parse(spec: str, option: str, field: str = "label") -> tuple[Path, str]:
    """The file and the field of FILE:FIELD; the field may be left out.

    Raises    UsageError, naming the option, where there is no such file.
    >>> from vicinal.errors import UsageError
    >>> try:
    ...     parse("none.jsonl:kind", "--labels")
    ... except UsageError as error:
    ...     print(error)
    --labels: expected FILE or FILE:FIELD, got "none.jsonl:kind": there is no file none.jsonl
    """
    path, colon, name = spec.rpartition(":")
    if not colon or Path(spec).is_file() or name.lower().endswith(SUFFIXES):
        path, name = spec, field
    if not Path(path).is_file() or not name:
        raise UsageError(f'{option}: expected FILE or FILE:FIELD, got "{spec}": there is no file {path}')
    return Path(path), name


def is_file(spec: str) -> bool:
    """Whether a text names a file, as FILE or FILE:FIELD."""
    return Path(spec).is_file() or Path(spec.rpartition(":")[0] or ".").is_file()


def read_labels(spec: str, option: str, n: int | None, source: str) -> Labels:
    """Return the label of each of n rows, in the order of the file.

    n       : None for a column that stands alone, of any length, which may also hold one class only
    source  : what has n rows, for messages
    Raises    DataError where a row has no label, there are not n, or they are all the same.
    """
    path, field = parse(spec, option)
    ids, values = _column(path, field, "label", "labels", n, source)
    return from_values(values, ids, f"{path}:{field}", several=n is not None)


def from_values(values: list, ids: list[Id], place: str, several: bool = True) -> Labels:
    """Return the labels of rows, checked and numbered.

    Parameters
    ----------
    values : list of str, int, float or bool
        One a row.
    ids : list
        The id of each row.
    place : str
        What messages call them.
    several : bool
        Whether there must be at least two classes.

    Raises
    ------
    DataError
        A label is blank or not finite, texts and numbers are mixed, or all labels are the same.

    Examples
    --------
    >>> from_values(["b", "a", "b"], [0, 1, 2], "labels").codes.tolist()
    [1, 0, 1]
    """
    for row, label in enumerate(values):
        if isinstance(label, float) and not math.isfinite(label):
            raise DataError(f"{place}: row {row}: expected a label, found {label}; mend or remove the row")
        if isinstance(label, str) and not label.strip():
            raise DataError(f"{place}: row {row}: expected a label, found blank text; mend or remove the row")
    kinds = Counter("text" if isinstance(label, str) else "number" for label in values)
    if len(kinds) > 1:
        rare = min(kinds, key=lambda kind: kinds[kind])
        odd = [row for row, label in enumerate(values) if isinstance(label, str) == (rare == "text")]
        raise DataError(
            f"{place}: {kinds[rare]} of {len(values)} labels are {rare}s and the others are not "
            f"(rows {some(odd)}); write them all alike"
        )
    classes = sorted(set(values))
    if len(classes) < 2 and several:
        shown = f"all {len(values)} rows have the label {classes[0]!r}" if classes else "there are no labels"
        raise DataError(f"{place}: {shown}; a vote needs at least two classes: is it the right field?")
    code = {label: number for number, label in enumerate(classes)}
    return Labels(place, ids, np.array([code[label] for label in values], dtype=np.int64), classes)


def read_targets(spec: str, option: str, n: int, source: str) -> tuple[list[Id], np.ndarray]:
    """The id and the target value of each of n rows, float64 (n,).

    Raises    DataError where a row's value is missing or not a finite number, or there are not n.
    """
    path, field = parse(spec, option, field="target")
    ids, found = _column(path, field, "number", "values", n, source)
    return ids, np.array(found, dtype=np.float64)


def read_ids(spec: str | None, option: str, n: int, source: str) -> list[Id]:
    """The id of each of n rows; their numbers where no file is named.

    Raises    DataError where there are not n.
    """
    if spec is None:
        return list(range(n))
    path, field = parse(spec, option, field="id")
    ids, notes, _ = read_columns(path, field)
    for note in notes:  # of ids that are missing, or there twice
        warnings.warn(note, stacklevel=2)
    _count(path, len(ids), "ids", n, source)
    return ids


def _column(path: Path, field: str, kind: str, what: str, n: int | None, source: str) -> tuple[list[Id], list]:
    ids, _, columns = read_columns(path, wanted={field: kind})
    _count(path, len(ids), what, n, source)
    return ids, columns[field]


def _count(path: Path, found: int, what: str, n: int | None, source: str) -> None:
    if found == 0:
        raise DataError(f"{path}: found no rows, and so no {what}")
    if n is not None and found != n:
        raise DataError(f"{path}: found {found} {what}, but {source} has {n} rows; one a row, in the same order")
