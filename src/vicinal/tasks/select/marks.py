"""Marks of a person on rows: to keep, to drop, or a label; `vicinal explore` writes them, `select` honours them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vicinal.data import tables
from vicinal.data.opening import input_file
from vicinal.errors import DataError, UsageError, some
from vicinal.typing import Id

MARKS = ("keep", "drop")


@dataclass(frozen=True, eq=False)
class Marks:
    """The rows that are marked, by number, ascending.

    Attributes
    ----------
    keep, drop : list of int
    labels : dict of int to str, int or float
    """

    keep: list[int] = field(default_factory=list)
    drop: list[int] = field(default_factory=list)
    labels: dict[int, Any] = field(default_factory=dict)


def read_marks(marks: object, ids: list[Id], name: str) -> Marks:
    """Return the marks of the rows of a data set; of several marks of a row, and of several labels, the last counts.

    Parameters
    ----------
    marks : path, or iterable of mapping
        Records of `id`, and of `mark` ("keep", "drop", or None, which takes a mark back), `label`, or both. Where
        the id is that of several rows, `row` says which is meant.
    ids : list of int or str
        Of the data set.
    name : str
        What messages call the data set.

    Raises
    ------
    UsageError
        There is no such file, or no records.
    DataError
        A record names no row of the data set, or its mark is another.
    """
    rows: dict[str, int] = {}
    for row, identity in enumerate(ids):
        rows.setdefault(str(identity), row)
    several = {one for one, times in Counter(map(str, ids)).items() if times > 1}
    mark_of: dict[int, str | None] = {}
    labels: dict[int, Any] = {}
    for place, record in _records(marks):
        row = _row_of(record, place, rows, several, ids, name)
        mark, label = record.get("mark"), record.get("label")
        if "mark" in record:
            if mark not in (*MARKS, None, ""):
                raise DataError(f'{place}: mark: expected "keep", "drop" or null, found {mark!r}')
            mark_of[row] = mark or None
        elif "label" not in record:
            raise DataError(f"{place}: expected a mark or a label, found the fields {some(list(record))}")
        if "label" in record:
            labels[row] = label
    return Marks(
        sorted(row for row, mark in mark_of.items() if mark == "keep"),
        sorted(row for row, mark in mark_of.items() if mark == "drop"),
        {row: labels[row] for row in sorted(labels) if labels[row] not in (None, "")},
    )


def _records(marks: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The records, each with its place."""
    if isinstance(marks, str | os.PathLike):
        path = input_file(marks, "marks")
        yield from ((f"{path}:{line}", record) for line, record in tables.read_rows(path))
        return
    if not isinstance(marks, Iterable):
        raise UsageError(f"marks: expected a file or a list of records, got {type(marks).__name__}")
    for number, record in enumerate(marks):
        if not isinstance(record, Mapping):
            raise UsageError(f"marks: record {number}: expected a mapping such as {{'id': 5, 'mark': 'keep'}}")
        yield f"marks: record {number}", record


def _row_of(
    record: Mapping[str, Any], place: str, rows: dict[str, int], several: set[str], ids: list[Id], name: str
) -> int:
    """The row that a record names."""
    found = record.get("id")
    if found is None or str(found) not in rows:
        what = "expected an id" if found is None else f"there is no row of the id {found!r} in {name}"
        raise DataError(f"{place}: {what}; mark rows of the data set that is selected from")
    if str(found) not in several:
        return rows[str(found)]
    row = record.get("row")
    number = int(row) if isinstance(row, int | str) and not isinstance(row, bool) and str(row).isdigit() else -1
    if not 0 <= number < len(ids) or str(ids[number]) != str(found):
        raise DataError(f"{place}: several rows of {name} have the id {found!r}; give the number of the row as `row`")
    return number
