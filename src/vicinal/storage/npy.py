"""Read `.npy` files as memory maps, without ever unpickling, and with errors that name the file."""

import math
import os
from pathlib import Path
from typing import IO

import numpy as np

from vicinal.errors import DataError
from vicinal.typing import PathLike


def load_npy(path: PathLike, start: int = 0, place: str = "") -> np.ndarray:
    """The array of a `.npy` file as a read-only memory map.

    Parameters
    ----------
    path : path
    start : int
        Where the array begins, of one that lies inside another file.
    place : str
        What errors call it; the path by default.

    Raises
    ------
    DataError
        The file is not a plain `.npy` array: missing, truncated, pickled objects, another format.
    """
    path, place = Path(path), place or str(path)
    try:
        with open(path, "rb") as file:
            file.seek(start)
            magic = file.read(6)
            if magic != b"\x93NUMPY":
                raise DataError(f"{place}: {_other_format(magic)}")
            file.seek(start)
            shape, fortran, dtype = read_header(place, file)
            offset = file.tell()
            wanted, found = math.prod(shape) * dtype.itemsize, os.fstat(file.fileno()).st_size - offset
        if dtype.hasobject:
            raise DataError(
                f"{place}: found dtype object (pickled Python objects) of shape {shape}, expected numbers; pickles are "
                "never opened: where you trust the file, save it again as "
                "numpy.stack(numpy.load(file, allow_pickle=True))"
            )
        if found < wanted:
            raise DataError(
                f"{place}: truncated: shape {shape} of {dtype} needs {wanted} bytes of data, found {found}; "
                "copy or write it again"
            )
        order = "F" if fortran else "C"
        if wanted == 0:
            return np.empty(shape, dtype=dtype, order="F" if fortran else "C")
        return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if order == "F" else "C")
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None


def _other_format(magic: bytes) -> str:
    if not magic:
        return "empty (0 bytes), expected a .npy array; write one with numpy.save"
    if magic.startswith(b"PK"):
        return "expected a .npy array, found a zip archive; an archive of arrays is named .npz"
    return f"expected a .npy array, found a file that starts with {magic!r}; write one with numpy.save"


def read_header(place: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape, the order (whether Fortran's) and the dtype of the `.npy` array at a file's position.

    Raises
    ------
    DataError
        The header is damaged, or its dtype is none that NumPy reads.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"format version {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if any(type(size) is not int or size < 0 for size in shape):
            raise ValueError(f"shape {shape}")
        if math.prod(shape) * dtype.itemsize >= 1 << 63:
            raise ValueError(f"shape {shape}")
    except Exception as error:  # numpy evaluates the header: damaged bytes raise errors of many kinds
        reason = str(error).partition("\n")[0]
        if "not a valid dtype descriptor: '<f1'" in reason:
            raise DataError(
                f"{place}: holds 8-bit floats ('<f1', as NumPy writes float8_e5m2 of ml_dtypes), which no reader of "
                ".npy files takes, although the file is intact; save it as float32: array.astype('float32')"
            ) from None
        raise DataError(
            f"{place}: the .npy header cannot be read ({reason}); the file is damaged or truncated: write it again"
        ) from None
    return shape, fortran, dtype
