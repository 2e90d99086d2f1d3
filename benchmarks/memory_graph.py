"""Run as a process of its own: the peak of anonymous memory during an approximate self-join of a memory map.

python -m benchmarks.memory_graph VECTORS.npy METRIC K RECALL [MEMORY]       prints one JSON object; Linux

Anonymous memory is what cannot be read from a file again. MEMORY, such as 600M, is the limit of --memory.
"""

import json
import os
import sys
import threading
import time

import numpy as np
from benchmarks.memory import kilobytes

from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import find

EVERY = 0.02  # seconds between two looks


def main(path: str, metric: str, k: int, recall: float, memory: str | None = None) -> dict[str, object]:
    """Bytes at the peak beyond those before, those of the result, and the rest over n x dim."""
    vectors = np.load(path, mmap_mode="r")
    ExactSearch.of(np.array(vectors[:500]), find(metric)).neighbors(k)  # what is loaded once is not the work's
    if memory is not None:
        os.environ["VICINAL_MEMORY"] = memory
    before, peaks, end = kilobytes("RssAnon"), [0], threading.Event()

    def look() -> None:
        while not end.wait(EVERY):
            peaks[0] = max(peaks[0], kilobytes("RssAnon"))

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    begin = time.process_time()
    found = ExactSearch.of(vectors, find(metric), invalid={}).neighbors(k, recall=recall)
    seconds = time.process_time() - begin
    end.set()
    watch.join()
    beyond, result = peaks[0] - before, found.indices.nbytes + found.distances.nbytes
    return {
        "bytes_beyond_input": beyond,
        "bytes_of_result": result,
        "times_n_dim": (beyond - result) / vectors.size,
        "processor_seconds": round(seconds, 1),
        "recall": str(found.recall),
        "first": int(np.asarray(found.indices, dtype=np.uint64).sum()),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), *sys.argv[5:])))
