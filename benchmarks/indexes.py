"""What our indexes cost beside the same call of faiss: python -m benchmarks.indexes EMBEDDINGS.npy [--n 80000]

For HNSW and IVF, and batches of 1 to 10,000 queries: `index.search(queries, k)` of ours, with its checks, true
distances and order, against the `search` of the faiss index that is inside it. Both are timed in the same call, in
seconds of the processor by all threads, so that other work on the machine weighs on both alike; the median of several.
Threads that wait must not spin, or they would count: the setting OMP_WAIT_POLICY=passive is made here.

With --copies: what a graph finds where 30 % of 8,000 rows are copies of one row, by faiss alone and by ours.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "passive"

import faiss
import numpy as np
from benchmarks import environment

from vicinal.indexes import BY_NAME, Exact
from vicinal.indexes.evaluation import evaluate, questions
from vicinal.knn.metrics import find

RESULTS = Path(__file__).parent / "results" / "indexes.json"


class Timed:
    """A faiss index that adds up the processor seconds of its searches."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.seconds = inner, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def search(self, *arguments: Any, **others: Any) -> Any:
        """The search of faiss."""
        start = time.process_time()
        found = self._inner.search(*arguments, **others)
        self.seconds += time.process_time() - start
        return found


def copies(data: np.ndarray, k: int) -> None:
    """Recall of a graph over rows of which many are copies of one, with and without them collapsed."""
    queries = np.asarray(data[8_000:8_200], dtype=np.float32)
    for seed in range(3):
        stored = np.array(data[:8_000], dtype=np.float32)
        stored[np.random.default_rng(seed).random(len(stored)) < 0.3] = stored[5]
        near = Exact("cosine").fit(stored).search(queries, k).distances[:, -1:] + 1e-6
        ours = BY_NAME["hnsw"](metric="cosine").fit(stored)
        rows, asked = (find("cosine").prepare(one).astype(np.float32) for one in (stored, queries))
        graph = faiss.IndexHNSWFlat(rows.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 200, 64
        graph.add(rows)
        theirs = float((1 - graph.search(asked, k)[0] <= near).mean())
        mine = float((ours.search(queries, k).distances <= near).mean())
        print(f"recall@{k} with 30 % copies, draw {seed}: faiss {theirs:.3f}, ours {mine:.3f}", flush=True)


def main() -> None:
    """Measures, prints, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings")
    parser.add_argument("--n", type=int, default=None, help="rows to store; the others are queries")
    parser.add_argument("--metric", default="cosine")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 100, 1_000, 10_000])
    parser.add_argument("--copies", action="store_true")
    asked = parser.parse_args()
    data = np.load(asked.embeddings, mmap_mode="r")
    if asked.copies:
        copies(data, asked.k)
        return
    n = asked.n or int(0.85 * len(data))
    order = np.random.default_rng(0).permutation(len(data))
    stored, queries = np.asarray(data[np.sort(order[:n])]), np.asarray(data[order[n:]], dtype=np.float32)
    rows = []
    for name in ("hnsw", "ivf"):
        index: Any = BY_NAME[name](metric=asked.metric).fit(stored)
        about = evaluate(index, questions(index, asked.k, queries[:1_000])).as_dict()
        print(f"{index!r}: recall@{asked.k} {about['recall']:.4f}, {about['engine_bytes']:.0f} bytes a vector")
        index._backend.engine.index = Timed(index._backend.engine.index)
        for batch in asked.batches:
            some = queries[:batch]
            ours, theirs = [], []
            for _ in range(max(7, min(200, 10_000 // batch))):
                index._backend.engine.index.seconds, start = 0.0, time.process_time()
                index.search(some, asked.k)
                ours.append(time.process_time() - start)
                theirs.append(index._backend.engine.index.seconds)
            ratio = float(np.median(np.array(ours) / theirs))
            row: dict[str, Any] = {
                "index": name,
                "batch": len(some),
                "ours": float(np.median(ours)),
                "faiss": float(np.median(theirs)),
            }
            rows.append({**row, "ratio": ratio, "recall": about["recall"], "n": n, "dim": stored.shape[1]})
            mine, inside = row["ours"] * 1e3, row["faiss"] * 1e3
            print(f"  {len(some):>6} queries: {mine:8.2f} ms, {inside:8.2f} of them in faiss, ratio {ratio:.3f}")
    machine = {"processor": platform.processor() or platform.machine(), "threads": index.threads}
    about = {"machine": machine, "faiss": faiss.__version__, "metric": asked.metric, "rows": rows}
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    environment.clear()
    main()
