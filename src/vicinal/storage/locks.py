"""Locks between processes: a folder is loaded, changed and replaced by one process at a time.

The lock is the system's own (`flock`) on the folder itself, so that nothing is left behind, and it ends with its
process. It is advisory: it holds among programs that use vicinal. Readers need no lock, since a folder is replaced in
one step.
"""

import fcntl
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vicinal.errors import UsageError
from vicinal.typing import PathLike

_held: dict[tuple[int, int], int] = {}  # the thread that holds each file of this process, by device and inode


@contextmanager
def changing(path: PathLike) -> Iterator[None]:
    """Hold a folder or file, from before it is loaded until it is replaced; others wait, with a warning that says so.

    It may be nested in one thread; other threads wait as other processes do. A path that does not exist yet is not
    locked: of two that make it at once, `storage.atomic` lets one win and the other fail. On a system or a network file
    system without locks there is none.

    Parameters
    ----------
    path : path

    Warns
    -----
    UserWarning
        Another process or thread holds it, so that this one waits.
    """
    path = Path(path)
    descriptor, own = None, False
    try:
        while descriptor is None:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            except OSError:  # not there, or not to be opened: whoever reads it says why
                break
            key = _key(os.fstat(descriptor))
            if _held.get(key) == threading.get_ident():
                break
            _wait(path, descriptor)
            if not _is_at(path, key):  # it was replaced while this one waited
                os.close(descriptor)
                descriptor = None
                continue
            _held[key], own = threading.get_ident(), True
        yield
    finally:
        if own:
            _held.pop(key, None)
        if descriptor is not None:
            os.close(descriptor)


def _key(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _is_at(path: Path, key: tuple[int, int]) -> bool:
    try:
        return _key(path.stat()) == key
    except OSError:
        return False


def _wait(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        warnings.warn(f"{path}: another process or thread is changing it; waiting until that one is done", stacklevel=4)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:  # a system without locks
        return


def refuse_changed(path: PathLike, loaded: str | None, found: str | None) -> None:
    """Raise UsageError where what is about to be replaced is not what was loaded.

    Parameters
    ----------
    path : path
    loaded, found : str or None
        The identity of what was loaded, and of what lies there now: `storage.manifests.identity`.
    """
    if loaded != found:
        raise UsageError(
            f"{path}: was changed by another process or object since it was loaded; load it again and repeat the "
            "change, or save under another name"
        )
