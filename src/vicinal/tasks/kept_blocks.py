"""The finished blocks of embeddings: in memory, or in a folder that the same call continues from."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.knn import memory
from vicinal.storage import atomic, npy, space

ARRAY, STATE = "array.npy", "state.json"


@dataclass
class Work:
    """Finished blocks: in memory, or in a folder that the same call continues from."""

    folder: Path | None
    shape: tuple[int, str]
    question: dict[str, Any]
    done: int = 0
    cut: list[int] = field(default_factory=list)
    array: np.ndarray | None = None

    def rows(self, start: int, vectors: np.ndarray) -> np.ndarray:
        """Put a block in its place and return it as it is stored."""
        n, dtype = self.shape
        if self.array is None:
            whole = (n, vectors.shape[1])
            if self.folder is None:
                size = n * vectors.shape[1] * np.dtype(dtype).itemsize
                memory.require(size, f"{n} embeddings of dim {vectors.shape[1]}", "give output='FILE.npy'")
            self.array = np.empty(whole, dtype=dtype) if self.folder is None else _begun(self.folder, dtype, whole)
        with np.errstate(over="ignore"):
            block = vectors.astype(dtype)
        if self.folder is None:
            self.array[start : start + len(block)] = block
        else:
            _put(self.folder, self.array, start, block)
        return block

    def keep(self, done: int, cut: list[int]) -> None:
        """Record that the first `done` rows are finished."""
        self.done, self.cut = done, self.cut + cut
        if self.folder is not None:
            state = {"asked": self.question, "done": self.done, "cut": self.cut}
            with atomic.whole_file(self.folder / STATE, overwrite=True) as file:
                file.write(json.dumps(state).encode())


def open_work(folder: Path | None, n: int, dtype: str, question: dict[str, Any]) -> Work:
    """Return the finished work of this question, or none of it."""
    work = Work(folder, (n, dtype), question)
    state = None if folder is None else _read_state(folder, question)
    if folder is None or state is None:
        return work
    work.array = _kept_array(folder, *work.shape)
    if work.array is not None:
        work.done, work.cut = state["done"], state["cut"]
    return work


def _begun(folder: Path, dtype: str, shape: tuple[int, int]) -> np.ndarray:
    """A file for an array, to be written block by block; what is not written yet takes no room and reads as zeros."""
    path, size = folder / ARRAY, shape[0] * shape[1] * np.dtype(dtype).itemsize
    space.require(path, size)
    with space.naming(path, size), open(path, "wb") as file:
        npy.write_header(file, dtype, shape)
        file.truncate(file.tell() + size)
    return npy.load_npy(path)


def _put(folder: Path, array: np.ndarray, start: int, block: np.ndarray) -> None:
    """Write rows to their place in the file of an array, and see that they are on the disk."""
    path, row = folder / ARRAY, block[:1].nbytes
    with space.naming(path, (len(array) - start) * row), open(path, "r+b") as file:
        file.seek(path.stat().st_size - (len(array) - start) * row)
        file.write(block.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _kept_array(folder: Path, rows: int, dtype: str) -> np.ndarray | None:
    """The array that was begun, or None where it is not there or damaged, so that the work begins anew."""
    try:
        array = npy.load_npy(folder / ARRAY)
    except DataError:
        return None
    return array if array.ndim == 2 and (len(array), array.dtype) == (rows, np.dtype(dtype)) else None


def _read_state(folder: Path, question: dict[str, Any]) -> dict[str, Any] | None:
    """The saved state of this call; UsageError where the folder holds the state of another one."""
    if not folder.exists():
        return None
    atomic.remove_leftovers(folder / STATE)
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
        before, _, _ = state["asked"], state["done"], state["cut"]
    except FileNotFoundError:
        if {file.name for file in folder.iterdir()} <= {ARRAY}:
            return None
        raise UsageError(f"{folder}: holds files that vicinal did not write; move it away") from None
    except (OSError, ValueError, KeyError, TypeError, NotADirectoryError):
        raise UsageError(f"{folder}: not the kept work of `vicinal embed`; move it away") from None
    # A file may have moved: its checksum identifies it.
    moved = {"data"} | ({"model"} if question["model_sha256"] else set())
    changed = [key for key in question if key not in moved and before.get(key) != question[key]]
    if changed:
        raise UsageError(
            f"{folder}: holds the work of another run; changed since: {', '.join(changed)}. Repeat the same call, or "
            "remove it"
        )
    return state
