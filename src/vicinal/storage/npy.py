"""Read `.npy` files as memory maps, without ever unpickling, and with errors that name the file."""

import math
import mmap
import os
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from vicinal.errors import DataError
from vicinal.storage import guard
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
        if wanted == 0:
            return np.empty(shape, dtype=dtype, order="F" if fortran else "C")
        return mapped(path, dtype, offset, shape, "F" if fortran else "C")
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None


def mapped(
    path: Path, dtype: Any, offset: int = 0, shape: tuple[int, ...] | None = None, order: Literal["C", "F"] = "C"
) -> np.ndarray:
    """Return a read-only memory map of a part of a file; a file that shrinks later is noticed (`storage.guard`)."""
    whole: np.ndarray = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
    return guard.watch(whole, str(path))


def let_go(array: np.ndarray) -> None:
    """Take the pages of a memory map out of memory; they are read again where they are used again.

    A map in mode "c" stays, as its changes are in memory alone.
    """
    base: Any = array
    while base is not None and getattr(base, "_mmap", None) is None:
        base = getattr(base, "base", None)
    if base is not None and getattr(base, "mode", "r") != "c" and hasattr(base._mmap, "madvise"):
        base._mmap.madvise(mmap.MADV_DONTNEED)


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
