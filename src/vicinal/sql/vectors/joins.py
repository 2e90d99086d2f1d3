"""The k nearest rows of one column of vectors for each row of another: one call of the exact kernel.

The kernel ranks by float64 distances. Where it cannot (vectors of whole numbers or bits, of several lengths, with NaN,
or zero under cosine), the functions of Knn themselves rank, which is slower and takes the same memory.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.knn.blocks import blocks
from vicinal.knn.exact import ExactSearch
from vicinal.sql.vectors import binary
from vicinal.sql.vectors.best import Best
from vicinal.typing import MetricLike

if TYPE_CHECKING:
    import pyarrow

METRICS: dict[str, MetricLike] = {
    "CosineDistance": "cosine",
    "CosineSimilarity": "cosine",
    "EuclideanDistance": "euclidean",
    "ManhattanDistance": "manhattan",
    "InnerProductSimilarity": "inner_product",
}
FLOATS = ("Float", "Float16", "BFloat16")


def nearest(
    function: str, left: "pyarrow.Array", right: "pyarrow.Array", k: int, notices: list[str]
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Pairs of row numbers, and their distances by Knn::<function>, float32.

    A row of another length or format has no distance and is no neighbour; a distance of NaN comes last.

    right     : its rows in the order in which ties are kept
    notices   : gets a line where two vectors have no distance
    Returns   the left rows, ascending, the right rows, the nearest first, and the distances
    """
    rows = [binary.Strings(left), binary.Strings(right)]
    arrays = [_floats(one, function) for one in rows]
    if arrays[0] is not None and arrays[1] is not None and arrays[0].shape[1] == arrays[1].shape[1]:
        found = ExactSearch.of(arrays[1], METRICS[function]).search(arrays[0], min(k, len(arrays[1]))).indices
    else:
        best = Best(function, rows[0], min(k, rows[1].n), function.endswith("Similarity"), neighbours=True)
        for block in blocks(rows[1].n, 2048):
            part = right.slice(block.start, block.stop - block.start)
            best.add(np.arange(block.start, block.start + len(part)), binary.Strings(part))
        found = best.rows
        notices += best.notices
    places = np.repeat(np.arange(len(found)), found.shape[1])[found.ravel() >= 0]
    others = found.ravel()[found.ravel() >= 0]
    return places, others, _measured(function, left, right, places, others)


def _floats(strings: binary.Strings, function: str) -> np.ndarray | None:
    """The vectors as float32 (n, dim); None where the kernel cannot take them all."""
    sizes = np.diff(strings.offsets)
    if not strings.n or not strings.valid.all() or sizes[0] < 2 or (sizes != sizes[0]).any():
        return None
    whole = strings.bytes[strings.offsets[0] : strings.offsets[-1]].reshape(strings.n, int(sizes[0]))
    form = binary.BY_BYTE.get(int(whole[0, -1]))
    if form is None or form.name not in FLOATS or (whole[:, -1] != form.byte).any():
        return None
    if (whole.shape[1] - 1) % np.dtype(form.dtype).itemsize:
        return None
    vectors = binary.elements(np.ascontiguousarray(whole[:, :-1]), form)
    usable = np.isfinite(vectors).all()
    if METRICS[function] == "cosine":
        usable = usable and bool(vectors.any(axis=1).all())
    return vectors if usable else None


def _measured(
    function: str, left: "pyarrow.Array", right: "pyarrow.Array", places: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """The distances of pairs of rows."""
    import pyarrow

    out = np.empty(len(places), np.float32)
    for block in blocks(len(places), 16_384):
        a, b = left.take(pyarrow.array(places[block])), right.take(pyarrow.array(others[block]))
        out[block] = binary.distance_column(function, a, b).to_numpy(zero_copy_only=False)
    return out
