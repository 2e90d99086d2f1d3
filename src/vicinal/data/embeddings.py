"""The one way in for embeddings: every source is read and checked here, and nowhere else.

`load` reads a file, an array or a column of a table. It checks the dtype, the shape, the rows that no distance is
defined for, the number of rows, and the note beside a file that says what it was made from. Commands and functions take
the `Embeddings` that it returns and check nothing again.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal.data import encodings, hints, provenance
from vicinal.data.dataset import Dataset
from vicinal.data.opening import Opened, open_source
from vicinal.errors import DataError, UsageError, some, unknown
from vicinal.knn import metrics
from vicinal.knn.vectors import checked, invalid_rows, refuse_dtype, refuse_invalid
from vicinal.storage import guard

OnInvalid = Literal["error", "null", "skip"]
ON_INVALID = ("error", "null", "skip")
SHORT = 8
"""Rows of fewer numbers are no embeddings of a model, and zeros in them are numbers like others."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors that passed every check.

    Attributes
    ----------
    vectors : ndarray, shape (n, dim)
        float16, float32, float64 or integers; a memory map where they lie in a file.
    name : str
        What messages call them: the file, or the argument.
    path : Path or None
        The file that they come from.
    place : Path or None
        The text by which `load` reads them again: the file, or FILE:KEY.
    invalid : dict of int to str
        The reason of each row that no distance is defined for; empty where `on_invalid` was "error".
    """

    vectors: np.ndarray
    name: str
    path: Path | None = None
    place: Path | None = None
    invalid: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        return f"Embeddings({self.name!r}, n={len(self)}, dim={self.dim}, dtype={self.vectors.dtype})"

    @property
    def dim(self) -> int:
        """The number of coordinates."""
        return int(self.vectors.shape[1])

    @property
    def valid(self) -> np.ndarray:
        """The numbers of the rows that a distance is defined for, ascending, int64."""
        return np.delete(np.arange(len(self)), list(self.invalid))


def load(
    source: object,
    *,
    rows: Dataset | int | None = None,
    metric: metrics.Metric | str | None = None,
    on_invalid: OnInvalid | None = None,
    name: str = "embeddings",
    at_least: int = 1,
    like: Embeddings | None = None,
    encoding: object = None,
    in_place: bool = False,
) -> Embeddings:
    """Return the vectors of a source after every check.

    Parameters
    ----------
    source : array_like, path, Arrow column, or Embeddings
        Numbers of shape (n, dim) of NumPy or of another library, a column of lists of numbers, or a path: FILE or
        FILE:KEY of a format of `vicinal.data.sources.READERS`, or a folder of shards. None takes the data set's own
        embeddings, where one field alone can hold them.
    rows : Dataset or int, optional
        The rows that the vectors belong to, one vector a row in the same order. Of a data set in a file, the note
        beside the vectors' file must name the same data.
    metric : Metric or str, optional
        The metric that they are for: it decides the dtype and which rows are invalid. Without it, only NaN, infinite
        and too large values are invalid.
    on_invalid : {"error", "null", "skip"}, optional
        "null" and "skip" keep invalid rows and name them in `Embeddings.invalid`. "error" refuses them. None refuses
        them too, without offering "null" as a remedy.
    name : str
        What messages call a source that is not a file.
    at_least : int
        How many rows there must be.
    like : Embeddings, optional
        Vectors that these are compared with: dim and model must be the same.
    encoding : str or (str, array_like), optional
        How they are quantised (`vicinal.data.encodings`); by default that of `rows`.
    in_place : bool
        Whether `Embeddings.vectors` may be a `vicinal.knn.joined.Joined`, for a caller that needs no array: shards of a
        folder are then checked block by block, and never copied.

    Returns
    -------
    Embeddings

    Raises
    ------
    DataError
        The file cannot be read; another dtype or shape was expected; rows are invalid; the numbers of rows or the dims
        differ; the note beside the file names other data or another model.
    UsageError
        There is no source; a path or an option cannot be used.

    Examples
    --------
    >>> load([[0.0, 1.0], [2.0, 3.0]])
    Embeddings('embeddings', n=2, dim=2, dtype=float64)
    >>> load([[0.0], [float("nan")]], on_invalid="null").invalid
    {1: 'NaN or infinite value'}
    """
    if on_invalid is not None and on_invalid not in ON_INVALID:
        raise UsageError(f"on_invalid: {unknown('choice', on_invalid, ON_INVALID)}")
    measure = None if metric is None else metrics.find(metric)
    opened = _opened(source, name, rows)
    opened = opened.in_place() if in_place else opened.whole
    vectors = _decoded(opened, rows.encoding if encoding is None and isinstance(rows, Dataset) else encoding, measure)
    place, path = opened.name, opened.path
    vectors = checked(vectors, place, at_least, bits=measure is not None and measure.kernel == "bits")
    if measure is not None:
        refuse_dtype(vectors, measure, place)
    if like is not None:
        _refuse_unlike(vectors, place, path, like)
    names: Sequence[Any] = range(len(vectors))
    if isinstance(rows, Dataset):
        rows.refuse_other_count(place, len(vectors))
        names = rows.ids
        if path is not None:
            rows.verify(path)
    elif rows is not None and rows != len(vectors):
        raise DataError(f"{place}: found {len(vectors)} rows, expected {rows}")
    zeros: list[int] | None = [] if measure is not None and measure.kernel != "bits" else None
    invalid = invalid_rows(vectors, measure or metrics.find("euclidean"), zeros) | dict(opened.missing)
    guard.refuse_shrunk()
    if zeros and measure is not None:
        _warn_of_zeros([row for row in zeros if row not in invalid], vectors.shape, names, place, measure.name)
    if invalid and on_invalid not in ("null", "skip"):
        if on_invalid is None:
            refuse_invalid(invalid, names, place, remedy="")
        refuse_invalid(invalid, names, place)
    left = len(vectors) - len(invalid)
    if invalid and left < max(at_least, 1):
        reasons = ", ".join(sorted(set(invalid.values())))
        raise DataError(
            f"{place}: {left} of {len(vectors)} rows can be used ({reasons}), expected at least {max(at_least, 1)}"
        )
    return Embeddings(vectors, place, path, opened.place, dict(sorted(invalid.items())))


def _warn_of_zeros(zeros: list[int], shape: tuple[int, ...], names: Sequence[Any], place: str, metric: str) -> None:
    """Warn of rows of zeros, as a model's failures are, under a metric that gives them distances."""
    if len(zeros) > 1 and shape[1] >= SHORT:
        warnings.warn(
            f"{place}: {len(zeros)} of {shape[0]} rows hold only zeros, as failed embeddings do "
            f"({some([names[row] for row in zeros])}); under {metric} they are copies of each other: embed them again, "
            "or leave them out with metric cosine and --on-invalid null (in Python: on_invalid='null')",
            stacklevel=4,
        )


def _opened(source: object, name: str, rows: Dataset | int | None) -> Opened:
    """The values of a source, or of the data set's own field of embeddings."""
    if isinstance(source, Embeddings):
        return Opened(source.vectors, source.name, source.path, source.place)
    if source is None and isinstance(rows, Dataset):
        source = rows.own_embeddings()
    if source is None:
        hint = hints.of_plain_table(rows.table) if isinstance(rows, Dataset) else ""
        raise UsageError(
            f"{name}: missing; name a .npy file or a column of vectors, or give an array (rows, dim){hint}"
        )
    return open_source(source, name)


def _decoded(opened: Opened, encoding: object, metric: metrics.Metric | None) -> np.ndarray:
    """The values of a source with bits and codes as the metric takes them."""
    values = opened.values
    if values.ndim != 2 or len(values) == 0:
        return values
    return encodings.decode(values, encodings.parse(encoding), metric, opened.name, opened.encoding == "ubinary")


def warn_of_unlike(vectors: np.ndarray, stored: np.dtype, name: str, like: str) -> None:
    """Warn where bytes are compared with floats: they may be codes that were to be decoded."""
    if vectors.dtype.itemsize == 1 and stored.kind == "f":
        warnings.warn(
            f"{name}: found {vectors.dtype}, {like} holds {stored}; if they are codes, give their ranges by --encoding "
            f"{vectors.dtype}:RANGES.npy (in Python: encoding=('{vectors.dtype}', ranges))",
            stacklevel=4,
        )


def _refuse_unlike(vectors: np.ndarray, name: str, path: Path | None, like: Embeddings) -> None:
    if vectors.shape[1] != like.dim:
        raise DataError(
            f"{name}: found dim {vectors.shape[1]}, {like.name} has dim {like.dim}; embed both with the same model"
        )
    warn_of_unlike(vectors, like.vectors.dtype, name, like.name)
    if path is not None and like.path is not None:
        provenance.verify_alike(path, like.path)
