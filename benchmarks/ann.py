"""Indexes that are graphs: how long they take to build, and queries a second of one thread at a measured recall.

make bench ARGS="--works ann"                           on GloVe, and on what --more names
python -m benchmarks.ann emb.npy [--only faiss vicinal] [--most 300000]

The 10 nearest by cosine of 1,000 queries, rows that are not stored. Each contestant runs in a process of its own, with
the instruction set named where it can be chosen (VICINAL_ISA, FAISS_SIMD_LEVEL). A build is counted in processor
seconds of all threads, a search in those of one thread, the least of three. The width of the search grows until the
recall is 0.99; the figures at 0.95 and 0.99 are interpolated between two widths, or those of the first width that
exceeds it. All graphs have 32 links (64 at the base of HNSW) and are built with a width of 200. faiss builds once, and
its second row searches the same graph. Of a set that is given by path, the builds of faiss and of ours are measured at
LARGER rows, too (`mixes.py`).
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import mixes, peers, sets
from benchmarks.sets import DataSet

Row = dict[str, Any]
Search = Callable[[int], np.ndarray]  # the rows of all queries, by the width of the search
K, QUERIES, TARGETS = 10, 1_000, (0.95, 0.99)
WIDTHS = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
LINKS, BUILD_WIDTH = 32, 200
LARGER = 300_000
Built = Callable[[Path, np.ndarray, np.ndarray, int], tuple[float, Search, str]]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """The processor seconds of all threads, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def vicinal(place: Path, vectors: np.ndarray, queries: np.ndarray, threads: int) -> tuple[float, Search, str]:
    """Build seconds, search, and what it runs on; `place` is a folder of all contestants of this run."""
    from vicinal import Graph

    index = Graph("cosine", threads=threads)
    built, _ = timed(lambda: index.fit(vectors))
    with tempfile.TemporaryDirectory(dir=place) as folder:
        index.save(Path(folder) / "graph")
        alone = Graph.load(Path(folder) / "graph", threads=1)
    simd = f"int8, {os.environ.get('VICINAL_ISA') or alone.engine}"
    return built, lambda width: alone.set(ef_search=width).search(queries, K).indices, simd


def faiss(place: Path, vectors: np.ndarray, queries: np.ndarray, threads: int) -> tuple[float, Search, str]:
    """As `vicinal`."""
    import faiss as library

    kept, seconds = place / "faiss.index", place / "faiss.seconds"
    if not kept.exists():
        made = library.IndexHNSWFlat(vectors.shape[1], LINKS, library.METRIC_INNER_PRODUCT)
        made.hnsw.efConstruction = BUILD_WIDTH
        library.omp_set_num_threads(threads)
        seconds.write_text(repr(timed(lambda: made.add(vectors))[0]))
        library.write_index(made, str(kept))
        del made
    built, index = float(seconds.read_text()), library.read_index(str(kept))
    library.omp_set_num_threads(1)

    def search(width: int) -> np.ndarray:
        index.hnsw.efSearch = width
        return index.search(queries, K)[1]

    return built, search, os.environ.get("FAISS_SIMD_LEVEL") or library.get_compile_options().strip()


def hnswlib(place: Path, vectors: np.ndarray, queries: np.ndarray, threads: int) -> tuple[float, Search, str]:
    """As `vicinal`."""
    import hnswlib as library

    index = library.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), ef_construction=BUILD_WIDTH, M=LINKS)
    built, _ = timed(lambda: index.add_items(vectors, num_threads=threads))

    def search(width: int) -> np.ndarray:
        index.set_ef(width)
        return index.knn_query(queries, K, num_threads=1)[0].astype(np.int64)

    return built, search, "as the processor has"


def usearch(place: Path, vectors: np.ndarray, queries: np.ndarray, threads: int) -> tuple[float, Search, str]:
    """As `vicinal`."""
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="cos", dtype="i8", connectivity=LINKS, expansion_add=BUILD_WIDTH)
    built, _ = timed(lambda: index.add(np.arange(len(vectors)), vectors, threads=threads))

    def search(width: int) -> np.ndarray:
        index.expansion_search = width
        return np.asarray(index.search(queries, K, threads=1).keys).astype(np.int64)

    return built, search, f"i8, {index.hardware_acceleration}"


def voyager(place: Path, vectors: np.ndarray, queries: np.ndarray, threads: int) -> tuple[float, Search, str]:
    """As `vicinal`."""
    import voyager as library

    index = library.Index(library.Space.Cosine, vectors.shape[1], M=LINKS, ef_construction=BUILD_WIDTH)
    built, _ = timed(lambda: index.add_items(vectors, num_threads=threads))

    def search(width: int) -> np.ndarray:
        return index.query(queries, K, num_threads=1, query_ef=width)[0].astype(np.int64)

    return built, search, "float32"


def glass(place: Path, vectors: np.ndarray, queries: np.ndarray, threads: int) -> tuple[float, Search, str]:
    """As `vicinal`; its graph needs no vectors beside those of the searcher."""
    import glass as library

    library.set_num_threads(threads)
    index = library.Index("HNSW", "IP", "SQ8U", LINKS, BUILD_WIDTH)
    built, graph = timed(lambda: index.build(vectors))
    searcher = library.Searcher(graph, vectors, "IP", "SQ8U", "FP32")
    library.set_num_threads(1)

    def search(width: int) -> np.ndarray:
        searcher.set_ef(width)
        found = searcher.batch_search(queries, K, 1)
        return np.asarray(found[0] if isinstance(found, tuple) else found).reshape(len(queries), K).astype(np.int64)

    return built, search, "SQ8U and FP32"


def svs(place: Path, vectors: np.ndarray, queries: np.ndarray, threads: int) -> tuple[float, Search, str]:
    """As `vicinal`: Vamana over float32, searched over LVQ 4x8 where the processor's maker is Intel."""
    import svs as library

    settings = library.VamanaBuildParameters(
        alpha=0.95, graph_max_degree=2 * LINKS, window_size=BUILD_WIDTH, max_candidate_pool_size=750
    )
    built, index = timed(
        lambda: library.Vamana.build(settings, vectors.astype(np.float16), library.DistanceType.MIP, threads)
    )
    index.num_threads = 1

    def search(width: int) -> np.ndarray:
        index.search_window_size = width
        return index.search(queries, K)[0].astype(np.int64)

    return built, search, "float16"


# Who, the package that is measured, and the environments it runs in.
ISAS = ("avx512", "avx2")
CONTESTANTS: dict[str, tuple[Built, str, tuple[dict[str, str], ...]]] = {
    "vicinal": (vicinal, "vicinal", tuple({"VICINAL_ISA": isa} for isa in ISAS)),
    "faiss": (faiss, "faiss-cpu", tuple({"FAISS_SIMD_LEVEL": isa.upper()} for isa in ISAS)),
    "usearch": (usearch, "usearch", ({},)),
    "hnswlib": (hnswlib, "hnswlib", ({},)),
    "voyager": (voyager, "voyager", ({},)),
    "glass": (glass, "pyglass-portable", ({},)),
    "svs": (svs, "scalable-vs", ({},)),
}


def curve(search: Search, truth: np.ndarray) -> Iterator[Row]:
    """Width, recall and queries a second of one thread, until the highest target is reached."""
    for width in WIDTHS:
        runs = [timed(lambda: search(width)) for _ in range(3)]  # noqa: B023
        found = runs[0][1]
        hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True))
        recall = hits / truth.size
        yield {"width": width, "recall": recall, "queries_a_second": len(truth) / min(run[0] for run in runs)}
        if recall >= TARGETS[-1]:
            return


def at(points: list[Row], target: float) -> float | None:
    """Queries a second at a recall, between the two points around it; None where it is not reached."""
    for i, point in enumerate(points):
        if point["recall"] < target:
            continue
        if i == 0 or point["recall"] == points[i - 1]["recall"]:
            return float(point["queries_a_second"])
        low, share = points[i - 1], (target - points[i - 1]["recall"]) / (point["recall"] - points[i - 1]["recall"])
        ends = math.log(low["queries_a_second"]), math.log(point["queries_a_second"])
        return math.exp(ends[0] + share * (ends[1] - ends[0]))
    return None


def one(name: str, folder: Path, threads: int, build_alone: bool = False) -> Row:
    """The row of a contestant; runs in its own process."""
    make, package, _ = CONTESTANTS[name]
    vectors, queries, truth = (np.load(folder / f"{title}.npy") for title in ("vectors", "queries", "truth"))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    built, search, simd = make(folder, vectors, queries, threads)
    if build_alone:
        return {"seconds": built, "n": len(vectors)}
    points = list(curve(search, truth))
    found = {f"queries_a_second_at_{target}": at(points, target) for target in TARGETS}
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = "of this source"
    return {
        "n": len(vectors),
        "version": version,
        "simd": simd,
        "seconds": built,
        "recall": points[-1]["recall"],
        **found,
        "curve": points,
    }


def asked_alone(name: str, environment: dict[str, str], place: Path, threads: int, *options: str) -> Row:
    """What a process of its own says of a contestant, or why it says nothing."""
    command = [sys.executable, "-m", "benchmarks.ann", "--one", name, "--threads", str(threads), *options, str(place)]
    settings = os.environ | environment | {"OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"absent": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    answer: Row = json.loads(done.stdout.splitlines()[-1])
    return answer


def prepared(data: DataSet, threads: int, place: Path) -> None:
    """Write the rows, the queries and the truth."""
    from vicinal import Exact

    vectors = np.unique(np.array(data.vectors, dtype=np.float32), axis=0)
    vectors = vectors[np.abs(vectors).max(axis=1) > 0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.random.default_rng(sets.SEED).permutation(len(vectors))
    stored, queries = vectors[order[QUERIES:]], vectors[order[:QUERIES]]
    arrays = {"vectors": stored, "queries": queries}
    arrays["truth"] = Exact("cosine", threads=threads).fit(stored).search(queries, K).indices
    for title, array in arrays.items():
        np.save(place / f"{title}.npy", array)


def rows_of(data: DataSet, threads: int, only: list[str] | None = None) -> Iterator[Row]:
    """A row for each contestant and instruction set."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepared(data, threads, place)
        for name, (_, _, environments) in CONTESTANTS.items():
            for environment in environments if only is None or name in only else ():
                who = " ".join([name, *(value.lower() for value in environment.values())])
                yield {"who": who, **asked_alone(name, environment, place, threads)}


def larger(data: DataSet, threads: int, n: int) -> Row:
    """The build seconds of ours and of faiss at n rows, mixed of those of the data set."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        vectors = np.unique(mixes.unit(np.array(data.vectors, dtype=np.float32)), axis=0)
        np.save(place / "vectors.npy", mixes.unit(np.array(mixes.mixed(vectors, n, place / "mixed.npy"))))
        np.save(place / "queries.npy", vectors[:QUERIES])
        np.save(place / "truth.npy", np.zeros((QUERIES, K), dtype=np.int64))
        found = {name: asked_alone(name, {}, place, threads, "--build") for name in ("vicinal", "faiss")}
    return {"n": n, **{name: row.get("seconds", row.get("absent")) for name, row in found.items()}}


def record(data: DataSet, threads: int, quick: bool = False) -> Row:
    """The record of one data set."""
    shown = {"data": data.name, "dim": data.vectors.shape[1], "metric": "cosine", "k": K, "threads": threads}
    made: Row = {"work": "ann", **shown, "n": len(data.vectors), "rows": list(rows_of(data, threads))}
    if data.origin.startswith(sets.BY_PATH):
        made["larger"] = larger(data, threads, 2 * len(data.vectors) if quick else LARGER)
    return made


def main() -> None:
    """Prints the rows of one file as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings")
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS)
    parser.add_argument("--most", type=int, default=1 << 40, help="rows")
    parser.add_argument("--threads", type=int, default=peers.cores(), help="of building")
    parser.add_argument("--one", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--build", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one, Path(asked.embeddings), asked.threads, asked.build)))
        return
    for row in rows_of(sets.by_path(asked.embeddings).sample(asked.most), asked.threads, asked.only):
        print(json.dumps({key: value for key, value in row.items() if key != "curve"}), flush=True)


if __name__ == "__main__":
    main()
