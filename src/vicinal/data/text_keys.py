"""The texts of rows, as keys: rows of one key have the same text in every field that is compared.

Texts are equal where their words are: runs of white space count as one blank.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vicinal.data import frames, tables
from vicinal.data.dataset import Dataset
from vicinal.data.texts import shown, texts_of_rows
from vicinal.errors import UsageError, unknown


def text_numbers(rows: Dataset, fields: tuple[str, ...] | None) -> np.ndarray | None:
    """Return the number of each row's text, int64 (n,); None where there are no texts or none are compared.

    `fields` are those that are compared: () for all fields of text, None for none of them.

    Raises
    ------
    UsageError
        The data set has no such field.
    """
    keys = text_keys(rows, fields)
    return None if keys is None else numbered(keys)


def text_keys(rows: Dataset, fields: tuple[str, ...] | None) -> list[object] | None:
    """Return the key of each row's text; None where there are no texts or none are compared.

    Raises
    ------
    UsageError
        The data set has no such field.
    """
    if "text" in rows.values:
        return [None if one is None else " ".join(str(one).split()) for one in rows.values["text"]]
    if fields is None or (rows.table is None and rows.path is None):
        if fields:
            raise UsageError(f"text: {rows.name} holds embeddings alone; give a data set that has {fields[0]!r}")
        return None
    is_csv = rows.path is not None and tables.suffix(rows.path) == ".csv"
    texts: list[object] = []
    for at, row in enumerate(_rows(rows)):
        missing = [name for name in fields if name not in row]
        if missing:
            raise UsageError(f"text: row {at}: {unknown('field', missing[0], [str(name) for name in row])}")
        own = fields or sorted(name for name in row if name not in (rows.id_field, rows.key))
        folded = [(name, _folded(row[name], is_csv)) for name in own]
        said = [f"{name}\0{value}\0" for name, value in folded if value is not None]
        whole = "".join(said).encode("utf-8", errors="surrogatepass")
        texts.append(hashlib.blake2b(whole, digest_size=16).digest() if said else None)
    return texts


def numbers_of_parts(parts: Sequence[Dataset]) -> np.ndarray | None:
    """Return the number of each row's text over several data sets, as `text_numbers` of all fields of text.

    A data set of which rows were left out is matched by its ids.
    """
    keys: list[object] = []
    for part in parts:
        own = text_keys(replace(part, values={}), ())
        if own is not None and len(own) != len(part):
            ids = [] if part.path is None else tables.read_columns(part.path, part.id_field or "id")[0]
            known = dict(zip(ids, own, strict=len(ids) > 0))
            own = [known.get(one) for one in part.ids]
        keys += [None] * len(part) if own is None else own
    return numbered(keys)


def shown_rows(rows: Dataset, wanted: Collection[int]) -> dict[int, str]:
    """Return what is shown of some rows, by their numbers; nothing of a set without fields."""
    if rows.path is not None:
        return texts_of_rows(rows.path, wanted)
    if rows.table is None:
        return {}
    return {at: shown(row, rows.id_field or "id") for at, row in enumerate(_rows(rows)) if at in set(wanted)}


def fields_of_text(rows: Dataset) -> set[str]:
    """Return the fields in which a row holds a text; none where the data set has no fields."""
    if rows.table is None and rows.path is None:
        return set()
    is_csv = rows.path is not None and tables.suffix(rows.path) == ".csv"
    found: set[str] = set()
    for row in _rows(rows):
        found |= {name for name, value in row.items() if name not in found and _folded(value, is_csv) is not None}
    return found - {rows.id_field, rows.key}


def copy_matches(copies: np.ndarray, numbers: np.ndarray | None) -> list[str | None]:
    """Return how each row of a group of equal vectors is like the group's first row; None for first rows.

    "copy": the same text too; "same vector": another text, or none to compare.

    >>> copy_matches(np.array([0, 0, 0, 3]), np.array([7, 7, 8, 7]))
    [None, 'copy', 'same vector', None]
    """
    gone = copies != np.arange(len(copies))
    same = np.zeros(len(copies), dtype=bool) if numbers is None else numbers == numbers[copies]
    return [None if not go else "copy" if is_same else "same vector" for go, is_same in zip(gone, same, strict=True)]


def numbered(keys: Sequence[object]) -> np.ndarray | None:
    """Return the number of each key, int64 (n,), the same for equal keys; None where all are None."""
    known: dict[object, int] = {}
    numbers = np.array([known.setdefault(one, len(known)) for one in keys], dtype=np.int64)
    return numbers if set(known) - {None} else None


def _rows(rows: Dataset) -> Iterator[Mapping[str, Any]]:
    """Each row as a mapping, without columns of vectors in memory."""
    if rows.path is not None:
        yield from (row for _, row in tables.read_rows(rows.path))
        return
    columns = {name: frames.column(rows.table, name) for name in frames.column_names(rows.table)}
    texts = {name: values for name, values in columns.items() if not frames.is_vector_column(values)}
    lists: Iterable[Any] = zip(*(values.to_pylist() for values in texts.values()), strict=True)
    for values in lists:
        yield dict(zip(texts, values, strict=True))


def _folded(value: Any, skip_numbers: bool) -> str | None:
    """A value as text with single blanks; None where it holds no text."""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str) if _has_text(value) else None
    if not isinstance(value, str):
        return None
    if skip_numbers:
        try:
            float(value)
        except ValueError:
            pass
        else:
            return None
    return " ".join(value.split())


def _has_text(value: Any) -> bool:
    """Whether a string lies somewhere in a list or a mapping of JSON."""
    if isinstance(value, dict):
        return any(_has_text(one) for one in value.values())
    return isinstance(value, str) or (isinstance(value, list) and any(_has_text(one) for one in value))
