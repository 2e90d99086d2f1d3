"""Neighbours as a sparse matrix of distances."""

from typing import Any

import numpy as np

from vicinal.errors import UsageError


def csr(
    indptr: np.ndarray, indices: np.ndarray, distances: np.ndarray, n_columns: int | None, own: bool, symmetric: bool
) -> Any:
    """A scipy.sparse.csr_matrix of distances; arguments as for `Neighbors.to_csr`."""
    from scipy.sparse import csr_matrix

    n = len(indptr) - 1
    width = n if n_columns is None else n_columns
    largest = int(indices.max(initial=-1))
    if largest >= width:
        raise UsageError(
            f"n_columns: expected more than the largest row number {largest}, got {width}; for queries give the number "
            "of stored rows"
        )
    if not own and not symmetric:
        return csr_matrix((distances.copy(), indices.copy(), indptr.copy()), shape=(n, width))
    if n != width:
        raise UsageError(f"own, symmetric: expected a square matrix, found {n} rows and {width} columns")
    rows, columns = np.repeat(np.arange(n), np.diff(indptr)), indices
    if symmetric:
        rows, columns, distances = np.append(rows, columns), np.append(columns, rows), np.tile(distances, 2)
    if own:
        rows, columns = np.append(np.arange(n), rows), np.append(np.arange(n), columns)
        distances = np.append(np.zeros(n, np.float32), distances)
    order = np.lexsort((distances, columns, rows))  # of a pair that is there twice, the first and nearest counts
    rows, columns, distances = rows[order], columns[order], distances[order]
    once = np.append(True, (np.diff(rows) != 0) | (np.diff(columns) != 0))[: len(rows)]
    rows, columns, distances = rows[once], columns[once], distances[once]
    order = np.lexsort((columns, columns != rows, distances, rows))  # nearest first; among the nearest, the row itself
    counts = np.append(0, np.cumsum(np.bincount(rows, minlength=n)))
    return csr_matrix((distances[order], columns[order], counts), shape=(n, width))
