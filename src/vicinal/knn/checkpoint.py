"""The state of a long pass, kept in a folder, so that the same command can resume from it.

A checkpoint belongs to one question: these vectors, this metric, this k. It records the question, and work for another
question is never resumed from it.
"""

import contextlib
import hashlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.knn.blocks import blocks
from vicinal.storage import atomic, manifests
from vicinal.storage.manifests import FolderKind, Manifest
from vicinal.typing import PathLike

ARRAYS = ("indices", "distances")
HASHED = ("vectors", "groups", "labels")  # parts of a question that are recorded as checksums
BLOCK_BYTES = 1 << 24


def question(vectors: np.ndarray, metric: str, k: int, groups: np.ndarray | None) -> dict[str, Any]:
    """The question of a pass, in a form that can be written down and compared."""
    return {
        "n": len(vectors),
        "dim": vectors.shape[1],
        "dtype": vectors.dtype.name,
        "metric": metric,
        "k": k,
        "vectors": sha256_of(vectors),
        "groups": None if groups is None else sha256_of(groups),
    }


class Checkpoint:
    """The saved state of one long computation, in a folder that is written atomically.

    Parameters
    ----------
    folder : path
        Its parent exists.
    question : dict
        What is computed: of a pass, the result of `question`.
    arrays : tuple of str
        The parts of the state that are arrays; the others are kept as JSON.

    Raises
    ------
    UsageError
        Where the folder holds the state of another question, and which part of it differs.
    """

    def __init__(self, folder: PathLike, question: dict[str, Any], arrays: tuple[str, ...] = ARRAYS) -> None:
        self._folder, self._question, self._arrays = Path(folder), question, arrays
        remedy = f"remove the folder {self._folder} to start again"
        self._kind = FolderKind("vicinal.knn.checkpoint", 1, "a checkpoint", "--checkpoint", remedy, UsageError)
        self._check_folder()

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None where nothing was saved yet."""
        if not self._folder.exists():
            return None
        manifest = self._manifest()
        state = dict(manifest.field("state", dict))
        return state | {name: np.ascontiguousarray(manifest.array(name)) for name in self._arrays}

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved before."""
        arrays = {name: np.asarray(state[name]) for name in self._arrays}
        fields = {
            "question": self._question,
            "state": {name: value for name, value in state.items() if name not in self._arrays},
        }
        with atomic.whole_folder(self._folder, overwrite=True) as part:
            manifests.write(part, self._kind, fields, arrays)

    def remove(self) -> None:
        """Remove the folder, once the work is done."""
        atomic.remove_kept(self._folder)

    def _check_folder(self) -> None:
        atomic.check_folder(self._folder, overwrite=True)
        if not self._folder.exists():
            return
        before: dict[str, Any] = self._manifest().field("question", dict)
        changed = [key for key in self._question if before.get(key) != self._question[key]]
        if changed:
            differences = [
                f"the {key}' values" if key in HASHED else f"{key} was {before.get(key)}, is {self._question[key]}"
                for key in changed
            ]
            raise UsageError(
                f"{self._folder}: holds the work of another run; changed since: {'; '.join(differences)}. Run the same "
                "command as before, or name another folder"
            )

    def _manifest(self) -> Manifest:
        return manifests.read(self._folder, self._kind)


def sha256_of(array: np.ndarray) -> str:
    """The SHA-256 of the values, row by row, whatever their layout in memory."""
    digest = hashlib.sha256()
    for block in blocks(len(array), BLOCK_BYTES // max(1, array[:1].size * array.dtype.itemsize)):
        digest.update(array[block].tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def interrupts_held() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed, for work that stops at a safe place.

    The second Ctrl-C interrupts at once. Outside the main thread, and where another handler than Python's own is
    installed, nothing is held.
    """
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
