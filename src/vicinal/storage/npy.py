"""Read `.npy` files as memory maps, without ever unpickling, and with errors that name the file."""

import math
import os
from pathlib import Path
from typing import IO

import numpy as np

from vicinal.errors import DataError
from vicinal.typing import PathLike


def load_npy(path: PathLike) -> np.ndarray:
    """The array of a `.npy` file as a read-only memory map.

    Raises    DataError where the file is not a plain `.npy` array: missing, truncated, pickled objects, another format.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            magic = file.read(6)
            if magic != b"\x93NUMPY":
                raise DataError(f"{path}: {_other_format(magic)}")
            file.seek(0)
            shape, dtype = _npy_header(path, file)
            wanted, found = math.prod(shape) * dtype.itemsize, os.fstat(file.fileno()).st_size - file.tell()
        if dtype.hasobject:
            raise DataError(
                f"{path}: found dtype object (pickled Python objects) of shape {shape}, expected numbers; pickles are "
                "never opened: save it again with .astype('float32')"
            )
        if found < wanted:
            raise DataError(
                f"{path}: truncated: shape {shape} of {dtype} needs {wanted} bytes of data, found {found}; "
                "copy or write it again"
            )
        result: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return result
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


class Plain:
    """A binary file as an object that only writes, so that NumPy writes with it and not past it.

    NumPy writes to a real file by its own calls, whose errors name no reason where the disk is full.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        """Write bytes."""
        return self._file.write(data)


def write_npy(file: IO[bytes], array: np.ndarray) -> None:
    """Write an array as `numpy.save` does, byte for byte.

    Raises    OSError, with its number, where the disk has no room
    """
    np.lib.format.write_array(Plain(file), np.asanyarray(array), allow_pickle=False)


def write_header(file: IO[bytes], dtype: np.dtype | str, shape: tuple[int, ...]) -> None:
    """Write the head of a `.npy` file whose rows follow, in C order."""
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _other_format(magic: bytes) -> str:
    if not magic:
        return "empty (0 bytes), expected a .npy array; write one with numpy.save"
    if magic.startswith(b"PK"):
        return "expected a .npy array, found a zip archive (.npz?); save its one array with numpy.save"
    return f"expected a .npy array, found a file that starts with {magic!r}; write one with numpy.save"


def _npy_header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"format version {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize >= 1 << 63:
            raise ValueError(f"shape {shape}")
    except Exception as error:  # numpy evaluates the header: damaged bytes raise errors of many kinds
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path}: the .npy header cannot be read ({reason}); the file is damaged or truncated: write it again"
        ) from None
    return shape, dtype
