"""Files of plain rows: `.npy`, the `.fvecs` family of TEXMEX and the `.fbin` family of big-ann-benchmarks.

    .fvecs .bvecs .ivecs          each row: its dim as int32, then the numbers (float32, uint8, int32)
    .fbin .u8bin .i8bin .ibin     the number of rows and the dim as uint32, then all numbers (float32, uint8, int8,
                                  int32)

All are little endian, and are mapped into memory.
"""

from pathlib import Path

import numpy as np

from vicinal.data.sources.found import Found, copied, refuse_key
from vicinal.errors import DataError
from vicinal.knn import arrays
from vicinal.storage.npy import load_npy, mapped

VECS = {".fvecs": "<f4", ".bvecs": "u1", ".ivecs": "<i4"}
BINS = {".fbin": "<f4", ".u8bin": "u1", ".i8bin": "i1", ".ibin": "<i4"}


def read_npy(path: Path, key: str) -> Found:
    """The array of a `.npy` file; bfloat16 becomes float32."""
    refuse_key(path, key)
    return Found(as_numbers(load_npy(path), str(path)))


def as_numbers(array: np.ndarray, place: str) -> np.ndarray:
    """An array of a file as numbers that NumPy computes with."""
    if array.dtype.kind == "V":
        copied(place, f"its {array.dtype} become float32", array.size * 4)
    return arrays.numbers(array, place)


def read_vecs(path: Path, key: str) -> Found:
    """The rows of a `.fvecs`, `.bvecs` or `.ivecs` file."""
    refuse_key(path, key)
    number = np.dtype(VECS[path.suffix.lower()])
    size = path.stat().st_size
    if size == 0:
        return Found(np.empty((0, 1), dtype=number))
    dim = int(np.fromfile(path, "<i4", 1)[0]) if size >= 4 else 0
    row = 4 + dim * number.itemsize
    if dim < 1 or size % row:
        raise DataError(
            f"{path}: its first row names {dim} numbers, which does not divide its {size} bytes into rows of {row}; "
            "the file is damaged or of another format"
        )
    rows = mapped(path, np.dtype([("dim", "<i4"), ("row", number, (dim,))]))
    odd = np.flatnonzero(rows["dim"] != dim)
    if len(odd):
        raise DataError(f"{path}: row {odd[0]} names {rows['dim'][odd[0]]} numbers, row 0 names {dim}; it is damaged")
    return Found(rows["row"])  # a view whose rows lie 4 bytes apart


def read_bin(path: Path, key: str) -> Found:
    """The rows of a `.fbin`, `.u8bin`, `.i8bin` or `.ibin` file."""
    refuse_key(path, key)
    number = np.dtype(BINS[path.suffix.lower()])
    size = path.stat().st_size
    n, dim = (int(one) for one in np.fromfile(path, "<u4", 2)) if size >= 8 else (0, 0)
    if size != 8 + n * dim * number.itemsize or dim < 1:
        raise DataError(
            f"{path}: its first 8 bytes name {n} rows of {dim} numbers, which take {8 + n * dim * number.itemsize} "
            f"bytes, found {size}; the file is truncated, or of another format"
        )
    if n == 0:
        return Found(np.empty((0, dim), dtype=number))
    return Found(mapped(path, number, 8, (n, dim)))
