"""Atomic writes: files and folders appear complete or not at all.

A file or folder is written under a temporary name beside its final name (`.name.*.part`), and renamed once it is
complete and on disk. So a run that fails or is killed leaves nothing under the final name. The temporary file of a
killed run, whose lock ended with its process, is removed when the same output is written again.
"""

import ctypes
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vicinal.errors import UsageError
from vicinal.storage import guard, locks, space
from vicinal.storage.manifests import identity, is_ours
from vicinal.typing import PathLike

ALONE = fcntl.LOCK_EX | fcntl.LOCK_NB


def refuse_existing(path: PathLike, overwrite: bool) -> None:
    """Raises UsageError where an output exists and may not be replaced."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists already; name another output or add --overwrite (in Python: overwrite=True)")


def refuse_input(output: PathLike, inputs: Iterable[object]) -> None:
    """Raise UsageError where an output is a file that the work reads.

    Parameters
    ----------
    output : path
    inputs : iterable of object
        What names inputs, as FILE or FILE:FIELD; what names no file that exists, such as an array or the name of a
        column, is passed over.

    Raises
    ------
    UsageError
        The output and an input are the same file, by whatever names.
    """
    texts = [os.fspath(one) for one in inputs if isinstance(one, str | os.PathLike)]
    if any(_is_one_file(output, path) for text in texts for path in (text, text.rpartition(":")[0])):
        raise UsageError(f"{output}: is one of the inputs, and an input is never overwritten; name another output")


def _is_one_file(one: PathLike, other: str) -> bool:
    try:
        return Path(one).is_file() and Path(one).samefile(other)
    except (OSError, ValueError):  # not the name of a file, or of one that does not exist
        return False


def _beside(path: Path, ending: str) -> Path:
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.{ending}"


@contextmanager
def _part_of(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A new file or folder beside `path`, locked until the block ends, so that other runs do not remove it.

    The lock belongs to the opened file: it holds against other threads and processes, is shared with forked children,
    and ends when the last process that has the file open ends. On a system without locks nothing is removed. Where the
    locks of a network file system do not reach other machines, two machines must not write one output at once.
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


def remove_leftovers(path: PathLike, ending: str = "part") -> None:
    """Remove the temporary files that killed runs left beside an output; those of running processes are locked."""
    path = Path(path)
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.{ending}")
    with suppress(OSError):  # a folder that may be written but not listed
        for name in filter(ours.fullmatch, os.listdir(path.parent)):
            with suppress(OSError):
                _remove_unlocked(path.parent / name)


def remove_kept(folder: PathLike) -> None:
    """Remove a checkpoint folder that is no longer needed, and the temporary files that killed runs left of it."""
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
    """Exchange two names in one step, so that neither is ever missing; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0


def _replace_in_two_steps(part: Path, path: Path) -> None:
    """Replace a folder in two steps; a process killed between them leaves the old folder beside it, as `.old`."""
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


def _name_new(part: Path, path: Path) -> None:
    """Give a file its name unless another has taken it meanwhile: a link is never made over a file."""
    try:
        os.link(part, path)
    except FileExistsError:
        refuse_existing(path, overwrite=False)
        raise
    except OSError:  # a file system without links
        refuse_existing(path, overwrite=False)
        part.replace(path)


@contextmanager
def whole_file(path: PathLike, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that gets its final name only when the block ends without an error.

    Raises    UsageError where the file exists and `overwrite` is false, or its folder does not exist.
    """
    path = Path(path)
    check_file(path, overwrite)
    remove_leftovers(path)
    with _part_of(path, lambda part: part.touch(exist_ok=False)) as part:
        try:
            with space.naming(path, part=part):
                with open(part, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                guard.refuse_shrunk()
                if overwrite:
                    part.replace(path)
                else:
                    _name_new(part, path)
                _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: PathLike, overwrite: bool = False, loaded: str | None = None) -> Iterator[Path]:
    """A folder that gets its final name only when the block ends without an error.

    Only a folder that vicinal wrote is replaced, so that a mistyped name cannot remove a user's files. A folder that
    another process or thread is changing (`storage.locks.changing`) is replaced after it.

    Parameters
    ----------
    path : path
    overwrite : bool
    loaded : str, optional
        The identity (`storage.manifests.identity`) of the folder that is changed: another is not replaced.

    Raises
    ------
    UsageError
        It exists and may not be replaced, or is not what was loaded.
    """
    path = Path(path)
    check_folder(path, overwrite)
    refuse_other(path, loaded)
    remove_leftovers(path)
    with _part_of(path, Path.mkdir) as part:
        try:
            with space.naming(path, part=part):
                yield part
                for file in part.iterdir():
                    with open(file, "rb") as handle:
                        os.fsync(handle.fileno())
                _sync_folder(part)
                guard.refuse_shrunk()
                with locks.changing(path):
                    refuse_existing(path, overwrite)
                    refuse_other(path, loaded)
                    if not path.exists():
                        part.rename(path)
                    elif not _exchanged(part, path):
                        _replace_in_two_steps(part, path)
                _sync_folder(path.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    remove_leftovers(path, "old")


def refuse_other(path: Path, loaded: str | None) -> None:
    """Raises UsageError where a folder that exists is not the one that was loaded."""
    if loaded is not None and path.exists():
        locks.refuse_changed(path, loaded, identity(path))


def check_file(path: PathLike, overwrite: bool, parents: bool = False) -> None:
    """Raises UsageError at once where `whole_file` could not write there later; `parents` will be made by then."""
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path}: expected a file's name, found a folder")
    refuse_existing(path, overwrite)
    _check_parent(path, parents)


def check_folder(path: PathLike, overwrite: bool) -> None:
    """Raises UsageError at once where `whole_folder` could not write there later."""
    path = Path(path)
    refuse_existing(path, overwrite)
    if path.exists() and not is_ours(path):
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
