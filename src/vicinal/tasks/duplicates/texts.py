"""Groups of rows by their vectors and their texts.

A model sees a part of a text, so that rows with the same vector may have different texts. Only rows with the same
vector and the same text are copies of each other.
"""

import warnings

import numpy as np

from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings
from vicinal.data.provenance import read_note
from vicinal.errors import DataError, UsageError
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


def refuse_no_texts(rows: Dataset, text: object) -> None:
    """Raise DataError where no row has a text in the field that is named."""
    found = rows.values.get("text")
    if found and all(one is None for one in found):
        raise DataError(f"text: no row of {rows.name} has a text in {text!r}; name a field of text, or compare vectors")


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
