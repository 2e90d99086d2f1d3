"""Calls of the kernel from many threads at once, under ThreadSanitizer; `make sanitize` runs it.

    LD_PRELOAD=libtsan.so python tests/races.py build/sanitize-thread/_native*.so

The extension is built with ThreadSanitizer and loaded in the place of the installed one. The sanitizer ends the process
with code 66 where it saw a race in it.
"""

import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from functools import partial

import numpy as np

NAME = "vicinal.knn.kernels._native"
N, DIM = 600, 24


def load(path: str) -> None:
    """Put the extension in this file in the place of the installed one."""
    spec = importlib.util.spec_from_file_location(NAME, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


def together(*works: Callable[[], object]) -> None:
    """Run each of these in a thread of its own, and raise what one of them raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def main() -> None:
    """Search, join and add in eight threads, for each kind of kernel and each instruction set."""
    load(sys.argv[1])
    from vicinal import Exact
    from vicinal.knn.kernels import native

    assert native.Native.covers.__module__ == native.__name__ and sys.modules[NAME].__file__ == sys.argv[1]
    random = np.random.default_rng(0)
    floats = random.normal(size=(N, DIM)).astype(np.float32)
    bits = random.integers(0, 256, (N, DIM), dtype=np.uint8)
    for isa in native.isas():
        os.environ["VICINAL_ISA"] = isa
        for metric, rows in (("euclidean", floats), ("manhattan", floats), ("hamming", bits)):
            index = Exact(metric, threads=2).fit(rows)  # type: ignore[arg-type]
            radius = float(np.median(index.search(rows[:50], 5).distances))
            works: list[Callable[[], object]] = [
                partial(index.neighbors, 4),
                partial(index.search, rows[:100], 5),
                partial(index.within, rows[:100], radius),
                partial(index.add, rows[:20]),
            ]
            together(*works, *works)
            assert len(index) == N + 40
            print(f"{isa} {metric}: no race", flush=True)


main()
