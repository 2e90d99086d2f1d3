"""Labels of rows as codes, and files of labels, values or ids: FILE or FILE:FIELD, such as `train.jsonl:label`."""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vicinal.data.tables import SUFFIXES, read_columns
from vicinal.errors import DataError, UsageError, some
from vicinal.typing import Id

DEFAULT_FIELDS = {"targets": "target", "ids": "id"}

Label = str | int | float


@dataclass(frozen=True, eq=False)
class Labels:
    """The class of each row, as a code.

    Attributes
    ----------
    place : str
        What messages call the labels: the file and field, or the argument.
    ids : list of int or str
        The id of each row.
    codes : ndarray of int64, shape (n,)
        0 to len(classes) - 1.
    classes : list of str, int or float
        The labels as they were given, ascending.
    """

    place: str
    ids: list[Id]
    codes: np.ndarray
    classes: list[Label]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def is_text(self) -> bool:
        """Whether the labels are texts, not numbers."""
        return isinstance(self.classes[0], str)

    @property
    def counts(self) -> np.ndarray:
        """The number of rows of each class, int64 (n_classes,)."""
        return np.bincount(self.codes, minlength=len(self.classes))


def parse(spec: str, argument: str, field: str = "label") -> tuple[Path, str]:
    """Return the file and the field of FILE:FIELD.

    Parameters
    ----------
    spec : str
        FILE or FILE:FIELD.
    argument : str
        The name of the argument, for the message.
    field : str
        The field where `spec` names none.

    Raises
    ------
    UsageError
        There is no such file.

    Examples
    --------
    >>> from vicinal.errors import UsageError
    >>> try:
    ...     parse("none.jsonl:kind", "labels")
    ... except UsageError as error:
    ...     print(error)
    labels: expected FILE or FILE:FIELD, got "none.jsonl:kind": there is no file none.jsonl
    """
    path, colon, name = spec.rpartition(":")
    if not colon or Path(spec).is_file() or name.lower().endswith(SUFFIXES):
        path, name = spec, field
    if not Path(path).is_file() or not name:
        raise UsageError(f'{argument}: expected FILE or FILE:FIELD, got "{spec}": there is no file {path}')
    return Path(path), name


def is_file(spec: str) -> bool:
    """Whether a text names a file that exists, as FILE or FILE:FIELD."""
    return Path(spec).is_file() or Path(spec.rpartition(":")[0] or ".").is_file()


def read_labels(spec: str, argument: str, n: int | None, source: str) -> Labels:
    """Return the labels in a file, in the order of its rows.

    Parameters
    ----------
    spec : str
        FILE or FILE:FIELD; the default field is "label".
    argument : str
        The name of the argument, for messages.
    n : int or None
        The number of rows that `source` has. None for labels that stand alone: of any number, and perhaps of one
        class only.
    source : str
        What has n rows, for messages.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        A row has no label, the number of rows is not n, or all labels are the same.
    """
    path, field = parse(spec, argument)
    ids, _, columns = read_columns(path, wanted={field: "label"})
    _check_count(path, len(ids), "labels", n, source)
    return from_values(columns[field], ids, f"{path}:{field}", several=n is not None)


def from_values(values: Sequence[Label], ids: Sequence[Id], place: str, several: bool = True) -> Labels:
    """Return the labels of rows, checked and numbered.

    Parameters
    ----------
    values : sequence of str, int, float or bool
        One a row.
    ids : sequence of int or str
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
            raise DataError(f"{place}: row {row}: expected a label, found {label}; correct or remove the row")
        if isinstance(label, str) and not label.strip():
            raise DataError(f"{place}: row {row}: expected a label, found blank text; correct or remove the row")
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
        raise DataError(f"{place}: {shown}; expected at least two classes: is it the right field?")
    code = {label: number for number, label in enumerate(classes)}
    return Labels(place, list(ids), np.array([code[label] for label in values], dtype=np.int64), classes)


def read_ids(spec: str | None, argument: str, n: int, source: str) -> list[Id]:
    """Return the id of each of n rows; row numbers where no file is named.

    Parameters
    ----------
    spec : str or None
        FILE or FILE:FIELD; the default field is "id".
    argument : str
        The name of the argument, for messages.
    n : int
        The number of rows that `source` has.
    source : str
        What has n rows, for messages.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        The file has another number of rows.
    """
    if spec is None:
        return list(range(n))
    path, field = parse(spec, argument, field="id")
    ids, notes, _ = read_columns(path, field)
    for note in notes:  # of ids that are missing or repeated
        warnings.warn(note, stacklevel=2)
    _check_count(path, len(ids), "ids", n, source)
    return ids


def _check_count(path: Path, n_found: int, what: str, n: int | None, source: str) -> None:
    if n_found == 0:
        raise DataError(f"{path}: found no rows, and so no {what}")
    if n is not None and n_found != n:
        raise DataError(f"{path}: found {n_found} {what}, but {source} has {n} rows; one a row, in the same order")
