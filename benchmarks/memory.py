"""Run as a process of its own: the peak of resident memory during a self-join, less what was there before it.

python -m benchmarks.memory VECTORS.npy METRIC K THREADS        prints one JSON object; Linux
"""

import json
import sys
from pathlib import Path

import numpy as np
from benchmarks.peers import native

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def kilobytes(name: str) -> int:
    """A size of this process as the system gives it."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


def main(path: str, metric: str, k: int, threads: int) -> dict[str, float | int]:
    """Bytes at the peak beyond the input; the same without the result; and that over n x dim."""
    vectors = np.load(path)
    native(vectors[:500].copy(), metric, threads).self_join(min(k, 5))  # what is loaded once is not the work's
    CLEAR.write_text("5")  # the peak starts again from here
    before = kilobytes("VmRSS")
    indices, distances = native(vectors, metric, threads).self_join(k)
    beyond = kilobytes("VmHWM") - before
    result = indices.nbytes + distances.nbytes
    return {
        "bytes_beyond_input": beyond,
        "bytes_of_result": result,
        "times_n_dim": (beyond - result) / vectors.size,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
