"""What our indexes cost beside the same call of faiss: python -m benchmarks.indexes EMBEDDINGS.npy [--n 80000]

For HNSW and IVF, and batches of 1 to 10,000 queries: `index.search(queries, k)` of ours, with its checks, true
distances and order, against `search` of the faiss index that is inside it, on queries that are prepared already. By
turns, in one process, with the same threads; the best of several.
"""

import argparse
import json
import platform
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from benchmarks.measuring import alternating

from vicinal.indexes import BY_NAME
from vicinal.indexes.evaluation import evaluate, questions

RESULTS = Path(__file__).parent / "results" / "indexes.json"


def main() -> None:
    """Measures, prints, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings")
    parser.add_argument("--n", type=int, default=None, help="rows to store; the others are queries")
    parser.add_argument("--metric", default="cosine")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 100, 1_000, 10_000])
    asked = parser.parse_args()
    data = np.load(asked.embeddings, mmap_mode="r")
    n = asked.n or int(0.85 * len(data))
    order = np.random.default_rng(0).permutation(len(data))
    stored, queries = np.asarray(data[np.sort(order[:n])]), np.asarray(data[order[n:]], dtype=np.float32)
    rows = []
    for name in ("hnsw", "ivf"):
        index: Any = BY_NAME[name](metric=asked.metric).fit(stored)
        inner = index._faiss
        about = evaluate(index, questions(index, asked.k, queries[:1_000])).as_dict()
        print(f"{index!r}: recall@{asked.k} {about['recall']:.4f}, {about['engine_bytes']:.0f} bytes a vector")
        prepared = index._prepare(queries)
        faiss.omp_set_num_threads(index.threads)
        parameters = index._parameters(asked.k, None)
        for batch in asked.batches:
            some, raw = np.ascontiguousarray(prepared[:batch]), queries[:batch]
            repeats = max(5, min(60, 6_000 // batch))
            mine = partial(index.search, raw, asked.k)
            ours, _, theirs, _ = alternating(mine, partial(inner.search, some, asked.k, params=parameters), repeats)
            row = {"index": name, "batch": len(some), "ours": ours, "faiss": theirs, "ratio": ours / theirs}
            rows.append({**row, "recall": about["recall"], "n": n, "dim": stored.shape[1], "metric": asked.metric})
            print(f"  {len(some):>6} queries: {ours * 1e3:8.2f} ms, faiss {theirs * 1e3:8.2f} ms, {ours / theirs:.3f}")
    machine = {"processor": platform.processor() or platform.machine(), "threads": index.threads}
    RESULTS.write_text(json.dumps({"machine": machine, "faiss": faiss.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
