"""An approximate graph of k = 10 beside the exact pass and other libraries, in processor seconds at a measured recall.

make bench ARGS="--works graph"          on GloVe, and on what --more names
python -m benchmarks.graph emb.npy       the same, of one file

Each of the others builds its index and searches all rows; the row of a library is the cheapest of its settings whose
recall reaches the target. The recall of all is measured on 1,000 rows against the exact kernel.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from benchmarks import environment, peers, sets
from benchmarks.sets import DataSet

Row = dict[str, Any]
K, SAMPLE, TARGETS = 10, 1_000, (0.95, 0.99)
WIDTHS = (16, 32, 64, 128, 256)  # of a search


def processor_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds of all threads together, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def share(found: np.ndarray, sample: np.ndarray, truth: np.ndarray) -> float:
    """The recall of the sample, of lists that may hold the row itself."""
    hits = sum(
        len({other for other in found[row].tolist() if other != row} & set(right.tolist()))
        for row, right in zip(sample.tolist(), truth, strict=True)
    )
    return hits / truth.size


def faiss_hnsw(vectors: np.ndarray, threads: int) -> Iterator[tuple[str, float, np.ndarray]]:
    """(setting, processor seconds, found) of one build and several searches."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 40
    built, _ = processor_seconds(lambda: index.add(vectors))
    for width in WIDTHS:
        index.hnsw.efSearch = width
        seconds, found = processor_seconds(lambda: index.search(vectors, K + 1)[1])
        yield f"faiss HNSW, M 16, ef {width}", built + seconds, found


def faiss_ivf(vectors: np.ndarray, threads: int) -> Iterator[tuple[str, float, np.ndarray]]:
    """As `faiss_hnsw`."""
    import faiss

    faiss.omp_set_num_threads(threads)
    lists = int(2 * len(vectors) ** 0.5)
    index = faiss.index_factory(vectors.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)

    def build() -> None:
        index.train(vectors[: 40 * lists])
        index.add(vectors)

    built, _ = processor_seconds(build)
    for width in WIDTHS:
        index.nprobe = width
        seconds, found = processor_seconds(lambda: index.search(vectors, K + 1)[1])
        yield f"faiss IVF {lists}, nprobe {width}", built + seconds, found


def hnswlib(vectors: np.ndarray, threads: int) -> Iterator[tuple[str, float, np.ndarray]]:
    """As `faiss_hnsw`."""
    import hnswlib as library

    index = library.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), ef_construction=60, M=16)
    index.set_num_threads(threads)
    built, _ = processor_seconds(lambda: index.add_items(vectors))
    for width in WIDTHS:
        index.set_ef(width)
        seconds, found = processor_seconds(lambda: index.knn_query(vectors, K + 1)[0])
        yield f"hnswlib, M 16, ef {width}", built + seconds, found.astype(np.int64)


def usearch(vectors: np.ndarray, threads: int) -> Iterator[tuple[str, float, np.ndarray]]:
    """As `faiss_hnsw`."""
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="cos", dtype="i8", connectivity=16, expansion_add=60)
    built, _ = processor_seconds(lambda: index.add(np.arange(len(vectors)), vectors, threads=threads))
    for width in WIDTHS:
        index.expansion_search = width
        seconds, found = processor_seconds(lambda: index.search(vectors, K + 1, threads=threads).keys)
        yield f"usearch, i8, M 16, ef {width}", built + seconds, found.astype(np.int64)


def pynndescent(vectors: np.ndarray, threads: int) -> Iterator[tuple[str, float, np.ndarray]]:
    """As `faiss_hnsw`; a small run before it compiles the code."""
    from pynndescent import NNDescent

    NNDescent(vectors[:3000], metric="cosine", n_neighbors=K + 1, n_jobs=threads)
    for width in (K + 1, 15, 20, 30):
        settings = {"metric": "cosine", "n_neighbors": width, "n_jobs": threads, "random_state": sets.SEED}
        seconds, found = processor_seconds(partial(NNDescent, vectors, **settings))
        yield f"pynndescent, {width} neighbours", seconds, found.neighbor_graph[0][:, : K + 1]


OTHERS = (pynndescent, faiss_ivf, faiss_hnsw, hnswlib, usearch)


def rows_of(data: DataSet, threads: int) -> Iterator[Row]:
    """A row for each contestant and target: who, processor seconds, recall."""
    from vicinal.knn.exact import ExactSearch

    vectors = np.array(data.vectors, dtype=np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    seconds, exact = processor_seconds(lambda: ExactSearch.of(vectors, "cosine", threads).neighbors(K))
    yield {"who": "vicinal, exact", "seconds": seconds, "recall": 1.0}
    sample = np.sort(np.random.default_rng(sets.SEED).choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
    truth = exact.indices[sample]
    for target in TARGETS:
        search = ExactSearch.of(vectors, "cosine", threads)
        seconds, found = processor_seconds(partial(search.neighbors, K, recall=target))
        recall = share(found.indices, sample, truth)
        yield {"who": f"vicinal, recall {target}", "seconds": seconds, "recall": recall, "target": target}
    for other in OTHERS:
        wanted = list(TARGETS)
        try:
            for setting, seconds, found in other(vectors, threads):
                recall = share(found, sample, truth)
                while wanted and recall >= wanted[0]:
                    yield {"who": setting, "seconds": seconds, "recall": recall, "target": wanted.pop(0)}
                if not wanted:
                    break
        except ImportError as error:
            yield {"who": other.__name__, "absent": str(error)}


def record(data: DataSet, threads: int) -> Row:
    """The record of one data set."""
    shown = {"data": data.name, "dim": data.vectors.shape[1], "metric": "cosine", "k": K, "threads": threads}
    return {"work": "graph", **shown, "n": len(data.vectors), "rows": list(rows_of(data, threads))}


if __name__ == "__main__":
    environment.clear()
    for row in rows_of(sets.by_path(sys.argv[1]), peers.cores()):
        print(row, flush=True)
