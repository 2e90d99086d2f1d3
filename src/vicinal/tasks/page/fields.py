"""The columns of a page: numbers, categories and texts, by what their values are.

A column of few distinct values is a category, so that it can be filtered by value and coloured. Everything else that is
no number is kept as JSON, so that the page shows each value as it was written.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

MOST_VALUES, LONGEST_VALUE = 5000, 200  # of a category of texts
MOST_NUMBERS = 20  # distinct whole numbers that are a category
VECTOR = 16  # a list of so many numbers is an embedding, which the page leaves out
EXACT = 2**53  # whole numbers beyond it are not exact in a browser
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
LOOSE_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")  # which codes such as 007 are too


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the page.

    Attributes
    ----------
    name : str
    kind : {"number", "category", "text"}
    role : {"score", "field", "derived"}
        "derived" was computed for the page: no condition of `vicinal filter` can name it.
    values : ndarray or list
        Numbers (NaN: none); codes of `labels`; or what JSON can hold (None: none).
    labels : list
        The values of a category, the most frequent first; None for no value.
    unit, high : str
        What the numbers are, and what a high one means.
    named : bool
        Whether a condition of `vicinal filter` reads the values as the page does.
    """

    name: str
    kind: str
    role: str
    values: Any
    labels: list[Any] = field(default_factory=list)
    unit: str = ""
    high: str = ""
    named: bool = True


def columns_of(cells: Mapping[str, list[Any]], is_csv: bool = False) -> tuple[list[Column], list[str]]:
    """Return the columns of a data set, and the names of those that hold vectors and are left out.

    Parameters
    ----------
    cells : mapping of str to list
        The values of each field, one a row; None where a row has none.
    is_csv : bool
        Whether all values are texts, of which the empty one is no value and those of a number are numbers.
    """
    found, vectors = [], []
    for name, values in cells.items():
        if _is_vector(next((value for value in values if value is not None), None)):
            vectors.append(name)
        else:
            column = _column(name, _from_csv(values) if is_csv else values)
            found.append(replace(column, named=not is_csv or column.kind == "number" or not _all_numbers(values)))
    return found, vectors


def category(name: str, values: Sequence[Any], role: str = "field") -> Column:
    """Return a column of few distinct values, numbered by how often they occur, of equal ones the first seen."""
    known: dict[Any, int] = {}
    # True and 1 are one key of a dict, but not one value.
    codes = np.array([known.setdefault((type(value), value), len(known)) for value in values], dtype=np.int64)
    order = np.argsort(-np.bincount(codes, minlength=len(known)), kind="stable")
    place = np.empty(len(known), dtype=np.int64)
    place[order] = np.arange(len(known))
    labels = [value for _, value in known]
    return Column(name, "category", role, smallest(place[codes]), [labels[one] for one in order])


def smallest(codes: np.ndarray) -> np.ndarray:
    """Return whole numbers from 0 on in the smallest type that holds them."""
    highest = int(codes.max()) if len(codes) else 0
    return codes.astype(np.uint8 if highest < 1 << 8 else np.uint16 if highest < 1 << 16 else np.uint32)


def numbers(name: str, values: Sequence[float | None]) -> Column:
    """Return a column of numbers."""
    array = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    if len(array) and np.isfinite(array).all() and (array == np.rint(array)).all() and np.abs(array).max() < 1 << 31:
        array = array.astype(np.int32)
    return Column(name, "number", "field", array)


def _column(name: str, values: list[Any]) -> Column:
    """A column of the kind of its values."""
    values = [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present) and present:
        return category(name, values)
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        distinct = set(present)
        if all(isinstance(value, int) for value in distinct):
            if max(map(abs, distinct)) > EXACT:
                return Column(name, "text", "field", values)
            if len(distinct) <= MOST_NUMBERS and 3 * len(distinct) <= len(values):
                return category(name, values)
        return numbers(name, values)
    if present and all(isinstance(value, str) for value in present):
        distinct = set(present)
        few = len(distinct) <= MOST_VALUES and 2 * len(distinct) <= len(present)
        if few and max(map(len, distinct)) <= LONGEST_VALUE:
            return category(name, values)
    return Column(name, "text", "field", values)


def _all_numbers(cells: list[Any]) -> bool:
    """Whether `vicinal filter` reads the cells of a CSV as numbers."""
    return all(cell in (None, "") or LOOSE_NUMBER.fullmatch(cell) for cell in cells)


def _from_csv(values: list[Any]) -> list[Any]:
    cells = [None if value == "" else value for value in values]
    if all(value is None or NUMBER.fullmatch(value) for value in cells):
        return [None if value is None else float(value) if set(value) & set(".eE") else int(value) for value in cells]
    return cells


def _is_vector(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    is_list = isinstance(value, list | tuple) and len(value) >= VECTOR
    return is_list and all(isinstance(one, int | float) for one in value)


def text_blocks(values: Sequence[Any], size: int) -> Iterator[bytes]:
    """Yield the values as JSON arrays of `size` values."""
    for start in range(0, len(values), size):
        part = list(values[start : start + size])
        try:
            text = json.dumps(part, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError):
            text = json.dumps([plain(value) for value in part], ensure_ascii=False, separators=(",", ":"))
        yield text.encode("utf-8", "replace")


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: no NaN, dates and the like as text, bytes as their number."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= EXACT else str(value)
    return value if value is None or isinstance(value, str | bool) else str(value)
