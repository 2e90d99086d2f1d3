"""An approximate graph of k = 10 beside the exact pass and other libraries, in processor seconds at a measured recall.

make bench ARGS="--works graph"          on GloVe, and on what --data or --more name
python -m benchmarks.graph emb.npy       the same, of one file

Each of the others builds its index over at most BASE rows and searches all of them. Its width is the least whose recall
of 1,000 rows reaches the target; the search at that width is timed on a fifth of the rows, times five (PART). The
recall of all is measured on 1,000 rows against the exact kernel. Of a set given by path, ours is measured on up to 16
times as many rows, too (`mixes.py`), at which the others would take hours: they are compared in proportion to the rows,
which is less than they would take, and the exact pass with the square.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import environment, mixes, peers, sets
from benchmarks.sets import DataSet

Row = dict[str, Any]
Ask = Callable[[int, np.ndarray], np.ndarray]  # the rows found of some, by the width of the search
Peer = tuple[str, float, Ask]  # its setting, processor seconds of the build, and the search
K, SAMPLE, TARGETS = 10, 1_000, (0.95, 0.99)
WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # of a search
BASE, PART = 125_000, 5  # rows at most, and the share of them whose search is timed
TIMES, LARGE = (4, 8, 16), 8  # so many times as many rows for growth, and for the comparison


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


def faiss_hnsw(vectors: np.ndarray, threads: int) -> Peer:
    """Its build and search."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 40
    built, _ = processor_seconds(lambda: index.add(vectors))

    def search(width: int, rows: np.ndarray) -> np.ndarray:
        index.hnsw.efSearch = width
        return np.asarray(index.search(rows, K + 1)[1])

    return "faiss HNSW, M 16, ef", built, search


def faiss_ivf(vectors: np.ndarray, threads: int) -> Peer:
    """Its build and search."""
    import faiss

    faiss.omp_set_num_threads(threads)
    lists = int(2 * len(vectors) ** 0.5)
    index = faiss.index_factory(vectors.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)

    def build() -> None:
        index.train(vectors[: 40 * lists])
        index.add(vectors)

    def search(width: int, rows: np.ndarray) -> np.ndarray:
        index.nprobe = width
        return np.asarray(index.search(rows, K + 1)[1])

    return f"faiss IVF {lists}, nprobe", processor_seconds(build)[0], search


def hnswlib(vectors: np.ndarray, threads: int) -> Peer:
    """Its build and search."""
    import hnswlib as library

    index = library.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), ef_construction=60, M=16)
    index.set_num_threads(threads)
    built, _ = processor_seconds(lambda: index.add_items(vectors))

    def search(width: int, rows: np.ndarray) -> np.ndarray:
        index.set_ef(width)
        return np.asarray(index.knn_query(rows, K + 1)[0]).astype(np.int64)

    return "hnswlib, M 16, ef", built, search


def usearch(vectors: np.ndarray, threads: int) -> Peer:
    """Its build and search."""
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="cos", dtype="i8", connectivity=16, expansion_add=60)
    built, _ = processor_seconds(lambda: index.add(np.arange(len(vectors)), vectors, threads=threads))

    def search(width: int, rows: np.ndarray) -> np.ndarray:
        index.expansion_search = width
        return np.asarray(index.search(rows, K + 1, threads=threads).keys).astype(np.int64)

    return "usearch, i8, M 16, ef", built, search


SEARCHED = (faiss_ivf, faiss_hnsw, hnswlib, usearch)


def searched(peer: Peer, vectors: np.ndarray, sample: np.ndarray, truth: np.ndarray) -> Iterator[Row]:
    """A row for each target that one of the widths reaches."""
    setting, built, search = peer
    part = vectors[::PART]
    widths = iter(WIDTHS)
    width, recall = 0, 0.0
    for target in TARGETS:
        while recall < target and (width := next(widths, 0)):
            found = np.full((len(vectors), K + 1), -1)
            found[sample] = search(width, vectors[sample])
            recall = share(found, sample, truth)
        if not width:
            yield {"who": f"{setting} {WIDTHS[-1]}", "target": target, "missed": recall, "n": len(vectors)}
            continue
        seconds, _ = processor_seconds(partial(search, width, part))
        seconds = built + seconds * len(vectors) / len(part)
        yield {"who": f"{setting} {width}", "seconds": seconds, "recall": recall, "target": target, "n": len(vectors)}


def pynndescent(vectors: np.ndarray, threads: int, sample: np.ndarray, truth: np.ndarray) -> Iterator[Row]:
    """As `searched`; its graph is its build. A small run before it compiles the code."""
    from pynndescent import NNDescent

    NNDescent(vectors[:3000], metric="cosine", n_neighbors=K + 1, n_jobs=threads)
    wanted = list(TARGETS)
    for width in (15, 30):
        settings = {"metric": "cosine", "n_neighbors": width, "n_jobs": threads, "random_state": sets.SEED}
        seconds, made = processor_seconds(partial(NNDescent, vectors, **settings))
        recall, who = share(made.neighbor_graph[0][:, : K + 1], sample, truth), f"pynndescent, {width} neighbours"
        while wanted and recall >= wanted[0]:
            target, n = wanted.pop(0), len(vectors)
            yield {"who": who, "seconds": seconds, "recall": recall, "target": target, "n": n}
    for target in wanted:
        yield {"who": who, "target": target, "missed": recall, "n": len(vectors)}


def ours(vectors: np.ndarray, threads: int) -> Iterator[Row]:
    """A row for each target, with the recall that the result says."""
    from vicinal.knn.exact import ExactSearch

    for target in TARGETS:
        search = ExactSearch.of(vectors, "cosine", threads)
        seconds, found = processor_seconds(partial(search.neighbors, K, recall=target))
        told = {"seconds": seconds, "recall": found.recall.estimate, "target": target, "n": len(vectors)}
        yield {"who": f"vicinal, recall {target}", **told}


def rows_of(data: DataSet, threads: int) -> Iterator[Row]:
    """A row for each contestant and target: who, processor seconds, recall, rows."""
    from vicinal.knn.exact import ExactSearch

    vectors = np.array(data.sample(BASE).vectors, dtype=np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    seconds, exact = processor_seconds(lambda: ExactSearch.of(vectors, "cosine", threads).neighbors(K))
    yield {"who": "vicinal, exact", "seconds": seconds, "recall": 1.0, "n": len(vectors)}
    sample = np.sort(np.random.default_rng(sets.SEED).choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
    truth = exact.indices[sample]
    yield from ours(vectors, threads)
    try:
        yield from pynndescent(vectors, threads, sample, truth)
    except ImportError as error:
        yield {"who": "pynndescent", "absent": str(error)}
    for other in SEARCHED:
        try:
            yield from searched(other(vectors, threads), vectors, sample, truth)
        except ImportError as error:
            yield {"who": other.__name__, "absent": str(error)}


def larger(data: DataSet, threads: int, times: tuple[int, ...]) -> Iterator[Row]:
    """Our rows on so many times as many rows, mixed of those of the data set."""
    vectors = mixes.unit(np.array(data.vectors, dtype=np.float32))
    base = min(BASE, len(vectors))
    with tempfile.TemporaryDirectory() as place:
        rows = mixes.mixed(vectors, base * max(times), Path(place) / "rows.npy")
        del vectors
        for one in times:
            yield from ours(rows[: base * one], threads)


def record(data: DataSet, threads: int, quick: bool = False) -> Row:
    """The record of one data set."""
    shown = {"data": data.name, "dim": data.vectors.shape[1], "metric": "cosine", "k": K, "threads": threads}
    rows = list(rows_of(data, threads))
    if data.origin.startswith(sets.BY_PATH):
        rows += larger(data, threads, (2,) if quick else TIMES)
    return {"work": "graph", **shown, "n": len(data.vectors), "rows": rows}


if __name__ == "__main__":
    environment.clear()
    given = sets.by_path(sys.argv[1])
    for rows in (rows_of(given, peers.cores()), larger(given, peers.cores(), TIMES)):
        for row in rows:
            print(row, flush=True)
