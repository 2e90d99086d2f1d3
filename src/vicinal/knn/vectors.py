"""The checks that vectors pass before anything is computed from them: shape, dtype, invalid rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vicinal.errors import DataError, some
from vicinal.knn import arrays
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import Metric

BLOCK_BYTES = 1 << 24
ON_INVALID = ("error", "null")
LEAVE_OUT = ", or leave them out with --on-invalid null (in Python: on_invalid='null')"
LARGEST = 1e37  # distances of larger values would not fit float32
SMALLEST = 1e-140  # the squares of smaller values underflow in float64, so that such rows have no direction


def as_vectors(vectors: object, name: str = "vectors", at_least: int = 1, bits: bool = False) -> np.ndarray:
    """Return the array itself where a kernel can read it, else converted as little as is needed.

    vectors : anything that is an array (n, dim) of real numbers, or rows of equal length (see `arrays.read`)
    name    : what an error calls it, e.g. the file's name
    bits    : whether the metric compares bits, so that truth values are packed
    Returns   float16, float32, float64, or (u)int of at most 64 bits, in native byte order; never copied if not needed
    Raises    DataError, naming the shape or dtype found and the one expected.
    """
    array, missing = arrays.read(vectors, name)
    if missing:
        refuse_invalid(missing, range(len(array)), name, remedy="")
    return checked(array, name, at_least, bits)


def checked(array: np.ndarray, name: str = "vectors", at_least: int = 1, bits: bool = False) -> np.ndarray:
    """Return the array of `arrays.read` once its dtype and shape are known to be those of vectors, as `as_vectors`."""
    if np.ma.is_masked(array):
        raise DataError(f"{name}: found masked values, expected numbers; fill them or remove their rows")
    if bits and array.dtype.kind == "b" and array.ndim == 2:
        array = np.packbits(array, axis=1)
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise DataError(
            f"{name}: found dtype {array.dtype}, expected float16, float32, float64 or integers{_conversion(array)}"
        )
    if array.ndim != 2:
        hint = "; one vector is written [[...]]" if array.ndim == 1 else ""
        raise DataError(f"{name}: found shape {array.shape}, expected 2-D (rows, dim){hint}")
    if array.shape[1] == 0:
        raise DataError(f"{name}: found shape {array.shape}, expected at least 1 column (dim >= 1)")
    if array.shape[0] < at_least:
        plural = "row" if at_least == 1 else "rows"
        raise DataError(f"{name}: found shape {array.shape}, expected at least {at_least} {plural}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _conversion(array: np.ndarray) -> str:
    """How an array of another dtype becomes one of numbers, as the end of a message."""
    if array.dtype.kind == "c":
        return "; give its real part (.real), or both parts side by side"
    if array.dtype.kind == "b":
        return "; convert it with .astype('float32'), or compare bits with metric hamming or jaccard"
    if array.dtype.kind == "f":
        return "; convert it with .astype('float64')"
    if array.dtype.kind in "US":
        return "; texts are turned into embeddings by `vicinal embed` (in Python: vicinal.embed)"
    return ""


def refuse_dtype(vectors: np.ndarray, metric: Metric, name: str = "vectors") -> None:
    """Raises DataError where the metric needs packed bits and the array is something else."""
    if metric.kernel != "bits" or vectors.dtype == np.uint8:
        return
    if vectors.dtype == np.int8:
        remedy = "the form 'binary' of sentence-transformers becomes them by array.view('uint8') ^ 128"
    else:
        remedy = "pack the signs of numbers with numpy.packbits(array > 0, axis=1)"
    raise DataError(
        f"{name}: found dtype {vectors.dtype}, but {metric.name} needs packed bits: uint8, as numpy.packbits makes "
        f"them; {remedy}"
    )


def as_rows(vectors: object, metric: Metric, name: str = "vectors", at_least: int = 1) -> np.ndarray:
    """The array as `as_vectors` returns it, of a dtype that the metric takes, and whitened where the metric whitens.

    Raises
    ------
    DataError
        As `as_vectors`; or where the metric needs packed bits.
    """
    array = as_vectors(vectors, name, at_least, bits=metric.kernel == "bits")
    refuse_dtype(array, metric, name)
    return array if metric.whiten is None else metric.whiten(array.astype(np.float64))


def as_queries(queries: object, metric: Metric, dim: int) -> np.ndarray:
    """Queries as `as_rows` returns them, each of which has distances to stored vectors of this dim.

    Raises
    ------
    DataError
        As `as_rows`; or where the dims differ, or a query is NaN, infinite, or zero under cosine.
    """
    array = as_rows(queries, metric, "queries", at_least=0)
    if array.shape[1] != dim:
        raise DataError(f"queries: found dim {array.shape[1]}, the stored vectors have dim {dim}")
    refuse_invalid(invalid_rows(array, metric), range(len(array)), "queries", remedy="")
    return array


def invalid_rows(vectors: np.ndarray, metric: Metric, zeros: list[int] | None = None) -> dict[int, str]:
    """The rows that no distance can be computed for, and why, by row number.

    Not a number, infinite, too large for float32 distances, or all zero under a metric of directions. Where a list
    `zeros` is given, the rows of zeros that do have distances are added to it.
    """
    wrong: dict[int, str] = {}
    for part in blocks(len(vectors), BLOCK_BYTES // (vectors.shape[1] * 8)):
        start, block = part.start, vectors[part]
        if block.dtype.kind == "f":
            # One maximum a row finds every NaN and infinity, and leaves the common case one pass.
            with np.errstate(over="ignore", invalid="ignore"):
                high = np.abs(block).max(axis=1).astype(np.float64)
            for row in np.flatnonzero(~np.isfinite(high)):
                wrong[start + int(row)] = "NaN or infinite value"
            for row in np.flatnonzero(np.isfinite(high) & (high > LARGEST)):
                wrong[start + int(row)] = f"value beyond {LARGEST:g}"
        if zeros is not None and not metric.nonzero:
            empty = high == 0 if block.dtype.kind == "f" else ~np.asarray(block).any(axis=1)
            zeros += (np.flatnonzero(empty) + start).tolist()
        if metric.nonzero:
            small = np.abs(block) <= SMALLEST if block.dtype.kind == "f" else block == 0
            for row in np.flatnonzero(np.asarray(small).all(axis=1)):
                wrong[start + int(row)] = f"zero vector, which has no direction for {metric.name}"
    return dict(sorted(wrong.items()))


def refuse_invalid(wrong: dict[int, str], names: Sequence[Any], name: str = "vectors", remedy: str = LEAVE_OUT) -> None:
    """Raises DataError where rows are invalid: how many, why, the first ones by name, and what else can be done."""
    if not wrong:
        return
    reasons: dict[str, list[Any]] = {}
    for row, reason in wrong.items():
        reasons.setdefault(reason, []).append(names[row])
    parts = "; ".join(f"{len(rows)} with {reason}: {some(rows)}" for reason, rows in reasons.items())
    raise DataError(
        f"{name}: {len(wrong)} {'row' if len(wrong) == 1 else 'rows'} cannot be used ({parts}); correct or remove them"
        f"{remedy}"
    )
