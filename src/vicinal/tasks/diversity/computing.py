"""The answers to several measures of one set of rows."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vicinal.analysis.diversity.similarities import BLOCK_BYTES
from vicinal.data.embeddings import Embeddings, OnInvalid
from vicinal.errors import DataError
from vicinal.knn.blocks import blocks
from vicinal.knn.vectors import refuse_invalid
from vicinal.tasks.diversity.measures import Answer, Measure, Request, Rows
from vicinal.typing import Id, StartProgress


def answered(
    requests: Mapping[str, tuple[Measure, Request]], rows: Rows, progress: StartProgress | None = None
) -> tuple[dict[str, Answer], dict[str, float]]:
    """Return the answer to each request and the seconds that it took, with `rows.threads` threads.

    Parameters
    ----------
    requests : mapping of str to (Measure, Request)
        Label -> what to compute.
    rows : Rows
    progress : callable, optional
        Called with the label of each measure; gives the function that is called with (rows done, rows in all).
    """
    from threadpoolctl import threadpool_limits

    answers, seconds = {}, {}
    with threadpool_limits(rows.threads, "blas"):
        for label, (measure, request) in requests.items():
            start = time.perf_counter()
            asked = request if progress is None else replace(request, progress=progress(label))
            answers[label] = measure.compute(rows, asked)
            seconds[label] = time.perf_counter() - start
    return answers, seconds


def needs_directions(requests: Mapping[str, tuple[Measure, Request]]) -> bool:
    """Return whether rows of zeros must be refused."""
    return any(measure.directions(request) for measure, request in requests.values())


def usable(
    embeddings: Embeddings,
    requests: Mapping[str, tuple[Measure, Request]],
    ids: list[Id],
    on_invalid: OnInvalid,
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Return the vectors that every measure is defined for, their row numbers, and the reasons of the other rows.

    Raises
    ------
    DataError
        Rows of equal values cannot be correlated, and `on_invalid` is "error"; or fewer than two rows are left.
    """
    invalid = dict(embeddings.invalid)
    pearson = {"ApsScorer", "VendiScorer"}
    if any(one.name in pearson and request.similarity.name == "pearson" for one, request in requests.values()):
        invalid |= {row: reason for row, reason in _constant(embeddings.vectors).items() if row not in invalid}
    if on_invalid == "error":
        refuse_invalid(invalid, ids, embeddings.name)
    if not invalid:
        return embeddings.vectors, np.arange(len(embeddings)), {}
    kept = np.delete(np.arange(len(embeddings)), list(invalid))
    if len(kept) < 2:
        raise DataError(f"{embeddings.name}: {len(kept)} of {len(embeddings)} rows can be used, expected at least 2")
    return embeddings.vectors[kept], kept, dict(sorted(invalid.items()))


def _constant(vectors: np.ndarray) -> dict[int, str]:
    """The rows whose values are all equal."""
    found: dict[int, str] = {}
    for part in blocks(len(vectors), BLOCK_BYTES // (8 * vectors.shape[1])):
        block = np.asarray(vectors[part])
        for row in np.flatnonzero((block == block[:, :1]).all(axis=1)):
            found[part.start + int(row)] = "equal values, which do not correlate with others"
    return found
