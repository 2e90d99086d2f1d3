"""Applying a head to an array or a file of embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from vicinal.data import dataset
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.usable import counted, usable
from vicinal.errors import DataError, UsageError, unknown
from vicinal.learn.heads import Head, Heads
from vicinal.storage import atomic, npy, space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vicinal.learn.training import TrainingResult

Dtype = Literal["float32", "float16"]
DTYPES: tuple[str, ...] = get_args(Dtype)


def apply(
    head: Head | Heads | TrainingResult | str | Path,
    data: object,
    output: str | Path | None = None,
    *,
    embeddings: object = None,
    encoding: object = None,
    tower: str | None = None,
    dtype: Dtype = "float32",
    on_invalid: OnInvalid = "error",
    overwrite: bool = False,
) -> NDArray[Any]:
    """Return the learned embedding of each row; torch is not needed.

    Parameters
    ----------
    head : Head, Heads, TrainingResult, str or Path
        A head, the result of `train`, or a folder that `train` or `vicinal learn` wrote.
    data : array_like, path, or table
        Embeddings of shape (n, dim_in): an array, a `.npy` file, or a data set with `embeddings`.
    output : str or Path, optional
        A `.npy` file to write, block by block. It appears complete or not at all.
    embeddings : str, path, or array_like, optional
        Where the embeddings of a data set are: a column of a table, a `.npy` file, or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    tower : str, optional
        Which of the two heads of a joint space to apply.
    dtype : {"float32", "float16"}
        The dtype of the result.
    on_invalid : {"error", "null", "skip"}
        Rows that hold NaN or infinity: "error" refuses them, "null" gives NaN for them, "skip" leaves them out of the
        result; with a warning that counts them.
    overwrite : bool
        Whether an output that exists is replaced.

    Returns
    -------
    ndarray of `dtype`, shape (n, dim_out)
        With an output, a read-only memory map of that file.

    Raises
    ------
    DataError
        Where the dimension differs, a row holds NaN or infinity, a result is too large for the dtype, or the folder is
        damaged.
    UsageError
        Where a tower must be chosen, or the output cannot be written or is an input.

    Examples
    --------
    >>> head = Head({"A": np.float32([[0, 2]]), "b": np.float32([1])}, normalize=False)
    >>> apply(head, [[5.0, 3.0], [0.0, 1.0]], dtype="float16").tolist()
    [[7.0], [3.0]]
    """
    if dtype not in DTYPES:
        raise UsageError(unknown("dtype", dtype, DTYPES))
    if output is not None:
        if Path(output).suffix != ".npy":
            raise UsageError(f"{output}: expected a name that ends in .npy")
        atomic.refuse_input(output, (data, embeddings))
        atomic.check_file(output, overwrite)
    chosen = _head(head, tower)
    source = dataset.read(data, embeddings, encoding=encoding)
    loaded = load(source.embeddings, rows=source, metric="euclidean", on_invalid=on_invalid, name="data", at_least=0)
    use = usable(source, loaded, on_invalid, at_least=0)
    if use.reasons:
        what = "left out" if use.skip else "NaN in the result"
        warnings.warn(f"{loaded.name}: {len(use.reasons)} rows are {what} ({counted(use.reasons)})", stacklevel=2)
    name, rows = loaded.name, use.vectors.vectors
    chosen.check_dim(rows, name)
    if output is None or len(use.ids) > len(rows):
        out = np.empty((len(rows), chosen.dim_out), dtype=dtype)
        for start, block in _cast_blocks(chosen, rows, dtype, name):
            out[start : start + len(block)] = block
        whole: NDArray[Any] = use.column(out, np.nan)
        if output is None:
            return whole
    with atomic.whole_file(output, overwrite) as file:
        space.require(output, len(use.ids) * chosen.dim_out * np.dtype(dtype).itemsize)
        npy.write_header(file, dtype, (len(use.ids), chosen.dim_out))
        blocks = [(0, whole)] if len(use.ids) > len(rows) else _cast_blocks(chosen, rows, dtype, name)
        for _, block in blocks:
            file.write(block.tobytes())
    return npy.load_npy(output)


def _head(head: Head | Heads | TrainingResult | str | Path, tower: str | None) -> Head:
    """The head to apply."""
    if isinstance(head, str | Path):
        return Heads.load(head).tower(tower, head)
    if isinstance(head, Head):
        return Heads((head,)).tower(tower)
    return (head if isinstance(head, Heads) else head.heads).tower(tower)


def _cast_blocks(head: Head, rows: NDArray[Any], dtype: str, name: str) -> Iterator[tuple[int, NDArray[Any]]]:
    """The blocks of `Head.blocks` in a dtype, or DataError where a value does not fit it."""
    for start, values in head.blocks(rows):
        with np.errstate(over="ignore", invalid="ignore"):
            block = values.astype(dtype)
        wrong = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(wrong):
            remedy = "its values are far beyond those learned from"
            if dtype == "float16":
                remedy = "use --dtype float32 (in Python: dtype='float32')"
            raise DataError(f"{name}: row {start + wrong[0]}: the result is too large for {dtype}; {remedy}")
        yield start, block
