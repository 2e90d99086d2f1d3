"""The texts of rows, as numbers: rows of one number have the same text in every field that is compared.

A model sees a part of a text, so that rows with the same vector may have different texts. Only rows with the same
vector and the same text are copies of each other.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from vicinal.data import frames, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings
from vicinal.data.provenance import read_note
from vicinal.errors import UsageError, unknown
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import Metric
from vicinal.tasks.duplicates.grouping import Rules, group_rows
from vicinal.typing import Progress

MATCHES = ("copy", "same vector", "near")
"""A row and the one that stays for it: the same vector and the same text; only the same vector; neither."""
BLOCK_ROWS = 1 << 14


def check_text(text: object) -> tuple[object, tuple[str, ...] | None]:
    """Return what `dataset.read` reads as the field "text", and the fields to compare without it.

    Returns
    -------
    value : object
        A field, FILE:FIELD, or one text a row; None where `fields` says what is compared.
    fields : tuple of str or None
        () for all fields of text, None for none of them.

    Raises
    ------
    UsageError
        A tuple holds something else than names.

    Examples
    --------
    >>> check_text(None), check_text(False), check_text("title"), check_text(("title", "body"))
    ((None, ()), (None, None), ('title', None), (None, ('title', 'body')))
    """
    if text is None or text is False:
        return None, () if text is None else None
    if not isinstance(text, tuple):
        return text, None
    if not text or not all(isinstance(one, str) and one for one in text):
        raise UsageError(f"text: expected the names of fields in a tuple, or False to compare vectors, got {text!r}")
    return (text[0], None) if len(text) == 1 else (None, text)


def text_numbers(rows: Dataset, fields: tuple[str, ...] | None) -> np.ndarray | None:
    """Return the number of each row's text, int64 (n,); None where there are no texts or none are compared.

    Texts are equal where their words are: runs of white space count as one blank.

    Raises
    ------
    UsageError
        The data set has no such field.
    """
    if "text" in rows.values:
        return _numbered([None if one is None else " ".join(str(one).split()) for one in rows.values["text"]])
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
    return _numbered(texts)


def _numbered(texts: list[object]) -> np.ndarray | None:
    """The number of each text; None where all are None."""
    known: dict[object, int] = {}
    numbers = np.array([known.setdefault(one, len(known)) for one in texts], dtype=np.int64)
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


def together(labels: np.ndarray | None, texts: np.ndarray | None) -> np.ndarray | None:
    """Number the pairs of labels and texts: rows of one number have both in common.

    >>> together(np.array([0, 0, 1]), np.array([5, 5, 5])).tolist()
    [0, 0, 1]
    """
    if labels is None or texts is None:
        return texts if labels is None else labels
    return np.unique(np.stack([labels, texts]), axis=1, return_inverse=True)[1].astype(np.int64).ravel()


def group_with_texts(
    vectors: np.ndarray,
    rules: Rules,
    priority: np.ndarray | None,
    labels: np.ndarray | None,
    numbers: np.ndarray | None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Group rows as `group_rows`; with radius 0, only rows of one text.

    Returns
    -------
    group, representative : ndarray of int64, shape (n,)
    other_text : int
        How many rows stay for their text alone: a row that stays has the same vector.
    """
    if numbers is None or rules.radius != 0 or rules.metric.product:
        return *group_rows(vectors, rules, priority, labels, progress), 0
    group, representative = group_rows(vectors, rules, priority, together(labels, numbers), progress)
    own = np.arange(len(vectors))
    of_vectors = group_rows(vectors, rules, priority, labels)[1]
    return group, representative, int((of_vectors != own).sum() - (representative != own).sum())


def matches(
    vectors: np.ndarray, representative: np.ndarray, distance: np.ndarray, texts: np.ndarray | None, metric: Metric
) -> list[str | None]:
    """Return one of MATCHES for each row that does not stay, and None for the others.

    Vectors are the same where their distance is 0: under cosine, those of one direction.
    """
    gone = np.flatnonzero(representative != np.arange(len(vectors)))
    stays = representative[gone]
    if metric.product:
        same = np.zeros(len(gone), dtype=bool)
        for block in blocks(len(gone), BLOCK_ROWS):
            same[block] = (np.asarray(vectors[gone[block]]) == np.asarray(vectors[stays[block]])).all(axis=1)
    else:
        same = distance[gone] == 0
    alike = same & (np.zeros(len(gone), dtype=bool) if texts is None else texts[gone] == texts[stays])
    found: list[str | None] = [None] * len(vectors)
    for row, is_same, is_copy in zip(gone.tolist(), same.tolist(), alike.tolist(), strict=True):
        found[row] = MATCHES[0] if is_copy else MATCHES[1] if is_same else MATCHES[2]
    return found


def warn_of_cut_rows(vectors: Embeddings) -> None:
    """Warn where the note beside the embeddings says that the model saw only a part of some texts."""
    note = None if vectors.path is None else read_note(vectors.path)
    cut = (note or {}).get("cut_rows") or ()
    if cut:
        longest = (note or {}).get("longest")
        warnings.warn(
            f"{vectors.name}: the model saw only the first {longest} tokens of {len(cut):,} of {len(vectors):,} texts, "
            "so rows with the same vector may have different texts; the texts are compared",
            stacklevel=3,
        )
