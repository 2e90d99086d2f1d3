"""Room on a disk: asked for before large arrays are written, and named where it runs out.

Arrays are written with plain `write` calls, never through a memory map: a map of a file that the disk has no room for
ends the process by SIGBUS, without a message.
"""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vicinal.errors import DiskFull
from vicinal.typing import PathLike

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LEAST = 1 << 20  # a disk with less room than this counts as full where a library gives no reason


def free_bytes(path: PathLike) -> int:
    """The bytes that this process may write to the disk of a file or folder, or of the folder that it will lie in."""
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize


def largest_file() -> int | None:
    """The size that the system's limits (`ulimit -f`) allow a file of this process; None for any."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit


def require(path: PathLike, n_bytes: int, largest: int = 0) -> None:
    """Raise DiskFull where so many bytes cannot be written to a file, or to a folder whose largest file has `largest`.

    The room may be taken by others afterwards; `naming` says so where that happens.
    """
    limit = largest_file()
    if n_bytes > free_bytes(path) or (limit is not None and (largest or n_bytes) > limit):
        raise full(path, n_bytes)


def full(path: PathLike, needed: int | None = None) -> DiskFull:
    """The error for a path that has no room."""
    limit, free = largest_file(), free_bytes(path)
    what = "more than there is" if needed is None else f"{needed:,} bytes"
    limited = "" if limit is None else f", and a file may have {limit:,} bytes (ulimit -f)"
    return DiskFull(
        f"{path}: not enough room: needs {what}; {free:,} bytes are free on its disk{limited}. Free some, or name "
        "another disk, and run it again"
    )


@contextmanager
def naming(path: PathLike, needed: int | None = None, part: Path | None = None) -> Iterator[None]:
    """Turn a write that fails for want of room into a DiskFull that names the path, what it needs and what is free.

    part : the temporary name under which the path is written; errors name the path in its place
    """
    try:
        yield
    except DiskFull as error:
        if part is None:
            raise
        raise DiskFull(str(error).replace(str(part), str(path))) from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise full(path, needed) from None
        if error.errno is None and (_says_so(error) or (error.filename is None and free_bytes(path) < LEAST)):
            raise full(path, needed) from None
        if error.errno is None and error.filename is None:
            raise OSError(errno.EIO, str(error), str(path)) from error
        error.filename = error.filename or str(path)
        raise
    except RuntimeError as error:  # faiss
        if _says_so(error):
            raise full(path, needed) from None
        raise


def _says_so(error: Exception) -> bool:
    """Whether the error of a library, which has no number, holds the system's text for a full disk."""
    return any(os.strerror(number) in str(error) for number in NO_ROOM)
