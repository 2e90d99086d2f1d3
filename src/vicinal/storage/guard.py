"""Files that shrink while they are mapped: an error in place of a SIGBUS, which would end the process without a word.

A watched map that loses its file reads as zeros from there on, and is marked (`cpp/guard`). What was computed from it
is wrong, so `refuse_shrunk` is called after each pass over vectors, and before an output gets its name. Where the
library was not built, maps are not watched.
"""

import ctypes
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError

LIBRARY = Path(__file__).with_name("_guard.so.1")
_watched: dict[int, str] = {}
_library: Any = None
if LIBRARY.is_file():
    try:
        _library = ctypes.CDLL(str(LIBRARY))
        _library.vicinal_guard_watch.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        _library.vicinal_guard_hits.restype = ctypes.c_long
    except (OSError, AttributeError):
        _library = None


def watch(array: np.ndarray, place: str) -> np.ndarray:
    """Watch a memory map until it is closed, and return it."""
    mapped = getattr(array, "_mmap", None)
    if _library is None or mapped is None or not array.nbytes:
        return array
    number = int(_library.vicinal_guard_watch(array.ctypes.data, array.nbytes))
    if number >= 0:
        _watched[number] = place
        weakref.finalize(mapped, _release, number).atexit = False
    return array


def _release(number: int) -> None:
    _library.vicinal_guard_release(number)
    _watched.pop(number, None)


def refuse_shrunk() -> None:
    """Raise DataError where a file that is mapped has become shorter since, and was read beyond its end."""
    if _library is None or not _library.vicinal_guard_hits():
        return
    for number, place in list(_watched.items()):
        if _library.vicinal_guard_was_hit(number):
            raise DataError(
                f"{place}: became shorter while it was read, so that what was computed from it is wrong; write it "
                "whole, and run again"
            )
