"""Arrays in, whole files out.

Reading: `.npy` is opened as a memory map and never unpickled; what is wrong with it is said with the file's name.
Writing: a file or folder is made beside its final name and renamed into place once it is complete and on disk, so that
a run which fails or is killed leaves nothing under the final name. What a killed run leaves beside it
(`.name.*.part`) goes when the same output is written again: its maker's lock on it has ended with the process.
"""

import ctypes
import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from vicinal.errors import DataError, UsageError

MANIFEST = "manifest.json"
MANIFEST_AT_MOST = 1 << 24  # bytes
ALONE = fcntl.LOCK_EX | fcntl.LOCK_NB


def load_npy(path: str | Path) -> np.ndarray:
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
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


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


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raises UsageError where an output exists and may not be replaced."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists already; name another output or add --overwrite (in Python: overwrite=True)")


def _beside(path: Path, ending: str) -> Path:
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.{ending}"


@contextmanager
def _part_of(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A new file or folder beside `path`, locked until the block ends, so that others see that its maker lives.

    The lock is of the opened file: other threads and processes meet it, forked children share it, and it ends with the
    last of its holders, however that one ends. Where a system cannot lock, nobody else can either, and all stays. Where
    locks of a network's files do not reach other machines, two of them must not write one output at once.
    """
    while True:
        part = _beside(path, "part")
        make(part)
        try:
            descriptor = os.open(part, os.O_RDONLY)
        except FileNotFoundError:
            continue  # taken for a leftover before it was locked
        try:
            if _locked(descriptor) and _lies_at(part, descriptor):
                yield part
                return
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, ALONE)
    except BlockingIOError:
        return False
    except OSError:  # a system without locks
        return True
    return True


def _lies_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def remove_leftovers(path: str | Path, ending: str = "part") -> None:
    """Removes what killed runs left of an output beside it; what a living run is making is locked, and stays."""
    path = Path(path)
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.{ending}")
    with suppress(OSError):  # a folder that may be written but not listed
        for name in filter(ours.fullmatch, os.listdir(path.parent)):
            with suppress(OSError):
                _remove_unlocked(path.parent / name)


def remove_kept(folder: str | Path) -> None:
    """Removes a folder of kept work once it has served, and what killed runs left of it."""
    shutil.rmtree(folder, ignore_errors=True)
    remove_leftovers(folder)


def _remove_unlocked(leftover: Path) -> None:
    descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, ALONE)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchanged(first: Path, second: Path) -> bool:
    """Lets two names change places in one step, so that neither is ever missing; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0


def _replace_in_two_steps(part: Path, path: Path) -> None:
    """Puts a folder in another's place; a kill between the steps leaves the old one whole beside it, as `.old`."""
    old = _beside(path, "old")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _locked(descriptor)
        path.rename(old)
        try:
            part.rename(path)
        except OSError:
            old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: str | Path, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that gets its final name only when the block ends without an error.

    Raises    UsageError where the file exists and `overwrite` is false, or its folder does not exist.
    """
    path = Path(path)
    check_file(path, overwrite)
    remove_leftovers(path)
    with _part_of(path, lambda part: part.touch(exist_ok=False)) as part:
        try:
            with open(part, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            refuse_existing(path, overwrite)
            part.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            error.filename = error.filename or str(path)  # a full disk names no file
            raise
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder that gets its final name only when the block ends without an error.

    Only a folder of ours is ever replaced, so that no slip of the hand removes a user's files.

    Raises    UsageError where it exists and may not be replaced.
    """
    path = Path(path)
    check_folder(path, overwrite)
    remove_leftovers(path)
    with _part_of(path, Path.mkdir) as part:
        try:
            yield part
            for file in part.iterdir():
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())
            _sync_folder(part)
            refuse_existing(path, overwrite)
            if not path.exists():
                part.rename(path)
            elif not _exchanged(part, path):
                _replace_in_two_steps(part, path)
            _sync_folder(path.parent)
        except OSError as error:
            error.filename = error.filename or str(path)  # a full disk names no file
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    remove_leftovers(path, "old")


def check_file(path: str | Path, overwrite: bool, parents: bool = False) -> None:
    """Raises UsageError at once where `whole_file` could not write there later; `parents` will be made by then."""
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path}: expected a file's name, found a folder")
    refuse_existing(path, overwrite)
    _check_parent(path, parents)


def check_folder(path: str | Path, overwrite: bool) -> None:
    """Raises UsageError at once where `whole_folder` could not write there later."""
    path = Path(path)
    refuse_existing(path, overwrite)
    if path.exists() and not _is_ours(path):
        raise UsageError(f"{path}: holds files that vicinal did not write, so it is not replaced; name another folder")
    _check_parent(path, parents=False)


def _check_parent(path: Path, parents: bool) -> None:
    folder = path.parent
    while parents and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.exists():
        raise UsageError(f"{path}: the folder {folder} does not exist; make it first")
    if not folder.is_dir():
        raise UsageError(f"{path}: {folder} is a file, expected a folder")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{path}: the folder {folder} cannot be written to")


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds a manifest of ours, and besides it only parts that the manifest names."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        known = {MANIFEST, *manifest["parts"]}
        return manifest["format"].startswith("vicinal.") and {file.name for file in folder.iterdir()} <= known
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def read_manifest(folder: str | Path, form: str, version: int, what: str, command: str) -> dict[str, Any]:
    """The manifest of a folder of ours, of that format and version; what else it must hold, its reader knows.

    what, command : what such a folder holds, and which command writes it
    Raises          DataError, naming the file, where it cannot be read, or is none of ours, or of another version
    """
    file = Path(folder) / MANIFEST
    try:
        if file.stat().st_size > MANIFEST_AT_MOST:
            raise DataError(f"{file}: {file.stat().st_size} bytes, expected at most {MANIFEST_AT_MOST}")
        manifest = json.loads(file.read_text(encoding="utf-8"))
        ours, found = manifest["format"] == form, manifest["format_version"]
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror}); expected a folder written by `{command}`"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        ours, found = False, None
    if not ours:
        raise other_manifest(file, what, command)
    if found != version:
        raise DataError(f"{file}: format version {found!r}, this vicinal reads {version}: update vicinal")
    return manifest


def other_manifest(file: Path, what: str, command: str) -> DataError:
    """What to say of a manifest that is not what it should be."""
    return DataError(f"{file}: not a manifest of {what}; expected a folder of `{command}`")


def save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Writes each array as `<name>.npy` and gives the manifest's entry of each: sha256, shape, dtype."""
    parts = {}
    for name, array in arrays.items():
        file = folder / f"{name}.npy"
        np.save(file, array, allow_pickle=False)
        parts[file.name] = {"sha256": sha256(file), "shape": list(array.shape), "dtype": str(array.dtype)}
    return parts
