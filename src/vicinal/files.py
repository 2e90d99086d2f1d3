"""Arrays in, whole files out.

Reading: `.npy` is opened as a memory map and never unpickled; what is wrong with it is said with the file's name.
Writing: a file or folder is made beside its final name and renamed into place once it is complete and on disk, so that
a run which fails or is killed leaves nothing under the final name.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from vicinal.errors import DataError, UsageError

MANIFEST = "manifest.json"


def load_npy(path: str | Path) -> np.ndarray:
    """The array of a `.npy` file as a read-only memory map.

    Raises    DataError where the file is not a plain `.npy` array: missing, truncated, pickled objects, another format.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            magic = file.read(6)
        if magic != b"\x93NUMPY":
            raise DataError(
                f"{path}: expected a .npy array, found a file that starts with {magic!r}; write one with numpy.save"
            )
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DataError:
        raise
    except (ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{path}: {_npy_fault(path, error)}") from None


def _npy_fault(path: Path, error: Exception) -> str:
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            start = file.tell()
    except Exception:
        return f"the .npy header cannot be read ({error}); the file is damaged or truncated: write it again"
    if dtype.hasobject:
        return f"found dtype object (pickled), expected numbers; save it again with .astype('float32'), shape {shape}"
    wanted = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if wanted == 0:
        return f"found shape {shape}: the array is empty, expected at least 2 rows and 1 column"
    found = path.stat().st_size - start
    if found < wanted:
        return (
            f"truncated: shape {shape} of {dtype} needs {wanted} bytes of data, found {found}; copy or write it again"
        )
    return str(error)


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raises UsageError where an output exists and may not be replaced."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists already; name another output or add --overwrite (in Python: overwrite=True)")


def _beside(path: Path) -> Path:
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.part"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: str | Path, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that gets its final name only when the block ends without an error.

    Raises    UsageError where the file exists and `overwrite` is false, or its folder does not exist.
    """
    path = Path(path)
    check_output(path, overwrite)
    part = _beside(path)
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        refuse_existing(path, overwrite)
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder that gets its final name only when the block ends without an error.

    Only a folder that holds a manifest of ours is ever replaced, so that no slip of the hand removes a user's files.

    Raises    UsageError where it exists and may not be replaced.
    """
    path = Path(path)
    check_output(path, overwrite)
    if path.exists() and not (path / MANIFEST).is_file():
        raise UsageError(f"{path}: exists and holds no {MANIFEST}, so it is not overwritten; name another folder")
    part, old = _beside(path), _beside(path)
    part.mkdir()
    try:
        yield part
        for file in part.iterdir():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
        _sync_folder(part)
        refuse_existing(path, overwrite)
        if path.exists():
            path.rename(old)
        try:
            part.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def check_output(path: str | Path, overwrite: bool) -> None:
    """Raises UsageError at once where `whole_file` or `whole_folder` could not write there later."""
    path = Path(path)
    refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: the folder {path.parent} cannot be written to")


def save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Writes each array as `<name>.npy` and gives the manifest's entry of each: sha256, shape, dtype."""
    parts = {}
    for name, array in arrays.items():
        file = folder / f"{name}.npy"
        np.save(file, array, allow_pickle=False)
        parts[file.name] = {"sha256": sha256(file), "shape": list(array.shape), "dtype": str(array.dtype)}
    return parts
