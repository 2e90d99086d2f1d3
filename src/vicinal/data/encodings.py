"""Quantised embeddings, as `quantize_embeddings` of sentence-transformers makes them.

    ubinary   the signs of numbers as packed bits, uint8, as numpy.packbits makes them: what hamming and jaccard compare
    binary    the same, less 128, int8
    uint8     each coordinate's range, cut into 256 steps: codes 0 to 255
    int8      the same, less 128

Codes are numbers on scales of their own, one a coordinate. With the ranges that they were made with, (2, dim) minima
and maxima, they are decoded to the middles of their steps; without, they are taken as numbers.
"""

import os
import warnings
from dataclasses import dataclass

import numpy as np

from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.arrays import read
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import Metric
from vicinal.storage.npy import load_npy

ENCODINGS = ("binary", "ubinary", "int8", "uint8")
BITS = ("binary", "ubinary")
BLOCK_ROWS = 4_096
SAMPLE = 2_000
ENOUGH = 512
"""So many bytes, at least, show whether they are bits."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """How embeddings are coded: one of `ENCODINGS`, and the ranges of codes, float32 (2, dim), or None."""

    name: str
    ranges: np.ndarray | None = None


def parse(encoding: object) -> Encoding | None:
    """Return the encoding that an argument names.

    Parameters
    ----------
    encoding : str, (str, array_like) or None
        One of `ENCODINGS`; for codes also NAME:FILE with a `.npy` file of their ranges, or the name and the ranges.

    Raises
    ------
    UsageError
        The name is unknown, or ranges are given for bits or are no (2, dim) finite numbers.

    Examples
    --------
    >>> parse(("int8", [[0.0], [255.0]])).ranges.tolist()
    [[0.0], [255.0]]
    """
    if encoding is None:
        return None
    if isinstance(encoding, tuple) and len(encoding) == 2:
        name, given = encoding
    else:
        name, colon, file = str(encoding).partition(":")
        given = file if colon else None
    if name not in ENCODINGS:
        raise UsageError(f"encoding: {unknown('encoding', name, ENCODINGS)}")
    if given is None:
        return Encoding(name)
    if name in BITS:
        raise UsageError(f"encoding: {name} holds bits, which have no ranges; leave the ranges out")
    place = str(given) if isinstance(given, str | os.PathLike) else "ranges"
    ranges = load_npy(place) if isinstance(given, str | os.PathLike) else read(given, "ranges")[0]
    if ranges.ndim != 2 or len(ranges) != 2 or ranges.dtype.kind not in "fiu" or not np.isfinite(ranges).all():
        raise UsageError(
            f"encoding: {place}: found {ranges.dtype} of shape {ranges.shape}, expected (2, dim) finite numbers: the "
            "minima and the maxima of the coordinates"
        )
    return Encoding(name, ranges.astype(np.float32))


def decode(
    vectors: np.ndarray, encoding: Encoding | None, metric: Metric | None, name: str, packed: bool = False
) -> np.ndarray:
    """Return vectors as the metric takes them: bits as `numpy.packbits` packs them, codes as numbers.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    encoding : Encoding or None
        None where it is not said: int8 under a metric of bits is then taken as "binary", with a warning.
    metric : Metric or None
    name : str
        What messages call the vectors.
    packed : bool
        Whether their file says that they are packed bits.

    Raises
    ------
    UsageError
        Bits are compared by a metric of numbers, or codes by one of bits.
    DataError
        The dtype is not that of the encoding, or the ranges have another dim.
    """
    bits = metric is not None and metric.kernel == "bits"
    if encoding is None:
        return _guessed(vectors, bits, metric, name, packed)
    if metric is not None and (encoding.name in BITS) != bits:
        fitting = "hamming or jaccard" if encoding.name in BITS else "euclidean or cosine"
        raise UsageError(f"metric: {name} are {encoding.name}, which {metric.name} does not compare; use {fitting}")
    wanted = np.dtype(np.int8 if encoding.name in ("binary", "int8") else np.uint8)
    vectors = _of_bytes(vectors, wanted, encoding.name, name)
    if encoding.name == "binary":
        return _from_binary(vectors)
    if encoding.ranges is not None:
        return _decoded(vectors, encoding.ranges, name)
    if encoding.name == "uint8":
        _warn_of_origin(metric, name)
    return vectors


def _of_bytes(vectors: np.ndarray, wanted: np.dtype, encoding: str, name: str) -> np.ndarray:
    """Whole numbers as the bytes of an encoding; a text of numbers is read as int64."""
    if vectors.dtype == wanted:
        return vectors
    vectors = np.asarray(vectors)
    limits = np.iinfo(wanted)
    whole = vectors.dtype.kind in "iu" and vectors.dtype.itemsize > 1
    if not whole or (vectors.size and not limits.min <= vectors.min() <= vectors.max() <= limits.max):
        other = {"binary": "ubinary", "ubinary": "binary", "int8": "uint8", "uint8": "int8"}[encoding]
        hint = f"; {other} is of that type" if vectors.dtype in (np.int8, np.uint8) else ""
        raise DataError(
            f"{name}: found {vectors.dtype}, but the encoding {encoding} is {wanted}, {limits.min} to {limits.max}"
            f"{hint}"
        )
    return vectors.astype(wanted)


def _guessed(vectors: np.ndarray, bits: bool, metric: Metric | None, name: str, packed: bool) -> np.ndarray:
    if vectors.dtype not in (np.int8, np.uint8) or vectors.ndim != 2 or metric is None:
        return vectors
    if bits:
        if vectors.dtype == np.uint8:
            return vectors
        if vectors.size >= ENOUGH and not looks_packed(vectors):
            raise DataError(
                f"{name}: found int8 values that lie as codes do, around one value a coordinate, but {metric.name} "
                "compares packed bits; use another metric, or say --encoding binary (in Python: encoding='binary')"
            )
        warnings.warn(
            f"{name}: found int8, taken as packed bits less 128, the form 'binary' of sentence-transformers; say so by "
            "--encoding binary (in Python: encoding='binary')",
            stacklevel=4,
        )
        return _from_binary(vectors)
    if packed or (vectors.size >= ENOUGH and looks_packed(vectors)):
        codes = vectors.dtype.name
        warnings.warn(
            f"{name}: its {codes} values lie as packed bits do, and {metric.name} of such bytes means nothing; use "
            f"metric hamming or jaccard, or say --encoding {codes} (in Python: encoding='{codes}') if they are codes",
            stacklevel=4,
        )
    elif vectors.dtype == np.uint8:
        _warn_of_origin(metric, name)
    return vectors


def _warn_of_origin(metric: Metric | None, name: str) -> None:
    """Warn where codes from 0 to 255 are compared by their directions, which then are nearly the same for all rows."""
    if metric is not None and (metric.nonzero or metric.product):
        warnings.warn(
            f"{name}: found uint8 values, none below 0, so that all directions are alike under {metric.name}; if they "
            "are codes, give their ranges by --encoding uint8:RANGES.npy (in Python: encoding=('uint8', ranges)); else "
            ".astype('float32') says that they are plain numbers",
            stacklevel=4,
        )


def looks_packed(vectors: np.ndarray) -> bool:
    """Whether bytes lie as packed bits do: each of the eight bits is set in about half of them, and the two highest
    bits differ in about half. Codes of numbers crowd around one value, where the two highest bits differ.
    """
    step = max(1, len(vectors) // SAMPLE)
    sample = np.ascontiguousarray(vectors[::step])
    if sample.dtype == np.int8:
        sample = _from_binary(sample)
    bits = np.unpackbits(sample.reshape(-1, 1), axis=1)
    shares = [*bits.mean(axis=0), (bits[:, 0] ^ bits[:, 1]).mean(), (bits[:, 1] ^ bits[:, 2]).mean()]
    return all(0.35 < share < 0.65 for share in shares)


def _from_binary(vectors: np.ndarray) -> np.ndarray:
    """Bytes less 128 as the bytes themselves."""
    return np.ascontiguousarray(vectors).view(np.uint8) ^ np.uint8(128)


def _decoded(codes: np.ndarray, ranges: np.ndarray, name: str) -> np.ndarray:
    """The middles of the steps that codes name, float32."""
    if ranges.shape[1] != codes.shape[1]:
        raise DataError(f"{name}: found dim {codes.shape[1]}, the ranges of its codes are of dim {ranges.shape[1]}")
    start, end = ranges
    steps = (end - start) / np.float32(255)
    lowest = np.float32(-128 if codes.dtype == np.int8 else 0)
    out = np.empty(codes.shape, dtype=np.float32)
    for part in blocks(len(codes), BLOCK_ROWS):
        np.minimum(start + (codes[part].astype(np.float32) - lowest + np.float32(0.5)) * steps, end, out=out[part])
    return out
