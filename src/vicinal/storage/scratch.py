"""Memory on disk: bytes in a file without a name, which the system removes when the process ends, however it ends."""

import mmap
import os
import tempfile

import numpy as np

from vicinal.storage import space


def scratch(n_bytes: int) -> np.ndarray:
    """Return zeros, uint8 (n_bytes,), that lie in a file of the folder for temporary files (TMPDIR).

    The system writes them to disk and drops them from memory where memory is short. Their room is taken at once, since
    a map without room would end the process.

    Raises
    ------
    DiskFull
        The disk has no room.
    """
    folder = tempfile.gettempdir()
    space.require(folder, n_bytes)
    with space.naming(folder, n_bytes), tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, max(1, n_bytes))
        return np.frombuffer(mmap.mmap(file.fileno(), max(1, n_bytes)), dtype=np.uint8)[:n_bytes]
