"""The finished work of a long pass, kept in a folder so that the same command can go on from it.

A checkpoint belongs to one question: these vectors, this metric, this k. It says of what it was made, and an answer to
another question is never built on it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.knn.blocks import blocks
from vicinal.storage import atomic, manifests, npy

FORMAT, FORMAT_VERSION = "vicinal.knn.checkpoint", 1
ARRAYS = ("indices", "distances")
VALUES = ("vectors", "groups", "labels")  # of a question: kept as a checksum
BLOCK_BYTES = 1 << 24


def question(vectors: np.ndarray, metric: str, k: int, groups: np.ndarray | None) -> dict[str, Any]:
    """What a pass is asked, in a form that can be written down and compared."""
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
    """The state of one long work in a folder, written whole or not at all.

    folder : where it lies; its parent exists
    asked  : the question that the work answers: `question` of a pass
    arrays : which parts of the state are arrays; the others are kept as JSON
    Raises   UsageError where the folder holds the state of another question, and which part of it differs.
    """

    def __init__(self, folder: str | Path, asked: dict[str, Any], arrays: tuple[str, ...] = ARRAYS) -> None:
        self._folder, self._asked, self._arrays = Path(folder), asked, arrays
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
        state = dict(manifest["state"])
        for name in self._arrays:
            file = self._folder / f"{name}.npy"
            if not file.is_file() or manifests.sha256(file) != manifest["parts"][file.name]["sha256"]:
                raise UsageError(f"{file}: damaged; remove the folder {self._folder} to start again")
            state[name] = np.ascontiguousarray(npy.load_npy(file))
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replaces what was saved before."""
        with atomic.whole_folder(self._folder, overwrite=True) as part:
            parts = manifests.save_arrays(part, {name: np.asarray(state[name]) for name in self._arrays})
            manifest = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "question": self._asked,
                "state": {name: value for name, value in state.items() if name not in self._arrays},
                "parts": parts,
            }
            (part / manifests.MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

    def remove(self) -> None:
        """Ends it, once the answer is given."""
        atomic.remove_kept(self._folder)

    def _check_folder(self) -> None:
        atomic.check_folder(self._folder, overwrite=True)
        if self._folder.exists():
            before = self._manifest()["question"]
            changed = [key for key in self._asked if before.get(key) != self._asked[key]]
            if changed:
                told = [
                    f"the {key}' values" if key in VALUES else f"{key} was {before.get(key)}, is {self._asked[key]}"
                    for key in changed
                ]
                raise UsageError(
                    f"{self._folder}: holds the work of another run; changed since: {'; '.join(told)}. Ask the same "
                    "again, or name another folder"
                )

    def _manifest(self) -> dict[str, Any]:
        file = self._folder / manifests.MANIFEST
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT or manifest["format_version"] != FORMAT_VERSION:
                raise ValueError
            manifest["question"], manifest["state"], manifest["parts"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(f"{file}: not a checkpoint that this vicinal can read; name another folder") from None
        return manifest


def sha256_of(array: np.ndarray) -> str:
    """The SHA-256 of the values, row by row, whatever their layout in memory."""
    digest = hashlib.sha256()
    for block in blocks(len(array), BLOCK_BYTES // max(1, array[:1].size * array.dtype.itemsize)):
        digest.update(array[block].tobytes())
    return digest.hexdigest()
