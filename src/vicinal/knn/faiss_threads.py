"""The number of threads of faiss, which works with OpenMP."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_forked: list[int] = []  # the processes that were forked after faiss was loaded, the last of them this one


def _note_fork() -> None:
    if "faiss" in sys.modules:
        _forked.append(os.getpid())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@contextmanager
def threads_of_faiss(threads: int) -> Iterator[None]:
    """Set the number of threads of faiss for the calling thread, while a block runs.

    In a child that was forked after faiss was loaded it is 1: OpenMP would wait for ever for the threads of the parent.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if _forked else threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
