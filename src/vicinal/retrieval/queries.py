"""Texts and vectors as the rows that an index is asked with; a model may take long, so that nothing is locked here."""

from typing import Any

import numpy as np

from vicinal.errors import UsageError, some
from vicinal.retrieval.documents import readable


def embedded(embed: Any, texts: list[str]) -> np.ndarray:
    """The vectors of texts; UsageError where there is no model, or it gives another number of them."""
    if embed is None:
        raise UsageError("this collection has no model for texts; give vectors, or make it with embed=")
    array = np.asarray(embed(texts))
    if array.ndim != 2 or len(array) != len(texts):
        raise UsageError(f"embed: expected {len(texts)} vectors, one a text, got an array of shape {array.shape}")
    return array


def as_query(embed: Any, query: object) -> np.ndarray:
    """A text or a vector as one row; UsageError where it is several."""
    rows = _rows(embed, query)
    if len(rows) != 1 or rows.ndim != 2:
        raise UsageError(f"query: expected a text or one vector, found an array of shape {rows.shape}")
    return rows


def as_examples(embed: Any, text: object, ids: object, vectors: object) -> np.ndarray | None:
    """Examples as rows; None where they are ids. UsageError where not exactly one of the three is given."""
    given = {"text": text, "ids": ids, "vectors": vectors}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise UsageError(f"rank: expected a text, ids= or vectors=, one of them, found {some(named) or 'none'}")
    if text is not None and not isinstance(text, str):
        raise UsageError(f"rank: expected a text, found {type(text).__name__}; name what it is: ids= or vectors=")
    return None if ids is not None else _rows(embed, text if text is not None else vectors)


def _rows(embed: Any, query: object) -> np.ndarray:
    return embedded(embed, [readable(query)]) if isinstance(query, str) else np.atleast_2d(np.asarray(query))
