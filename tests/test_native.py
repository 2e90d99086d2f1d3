"""The native kernel against an oracle of its own: every metric, dtype, instruction set and awkward dimension.

The brute force here shares no line with the table of metrics, so that a mistake there cannot hide in both.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import HARD, fit_for, hard_data
from vicinal import Exact
from vicinal.knn.kernels.native import DTYPES as DTYPE_NAMES
from vicinal.knn.kernels.native import _native as native
from vicinal.knn.kernels.native import isas

ISAS = isas()

DOT = ("euclidean", "sqeuclidean", "cosine", "inner_product")
BITS = ("hamming", "jaccard")
DTYPES = (np.float16, np.float32, np.float64, np.int8, np.uint8)


def lanes(terms: np.ndarray) -> np.ndarray:
    """Sums over the last axis in the kernel's order: eight lanes, then the lanes in pairs."""
    width = -(-terms.shape[-1] // 8) * 8
    padded = np.zeros((*terms.shape[:-1], width))
    padded[..., : terms.shape[-1]] = terms
    lane = np.zeros((*terms.shape[:-1], 8))
    for first in range(0, width, 8):
        lane = lane + padded[..., first : first + 8]
    a, b, c, d, e, f, g, h = np.moveaxis(lane, -1, 0)
    return ((a + e) + (c + g)) + ((b + f) + (d + h))


def brute(queries: np.ndarray, vectors: np.ndarray, metric: str) -> np.ndarray:
    """All distances, (n_queries, n_vectors), in float64."""
    if metric in BITS:
        a, b = (np.unpackbits(v, axis=1).astype(np.int64) for v in (queries, vectors))
        both = a @ b.T
        total = a.sum(1)[:, None] + b.sum(1)[None, :]
        if metric == "hamming":
            return (total - 2 * both).astype(float)
        either = total - both
        return np.where(either > 0, 1.0 - both / np.maximum(either, 1), 0.0)
    x, y = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "cosine":
        x, y = (v * (1 / np.sqrt(lanes(v * v)))[:, None] for v in (x, y))
    rows = []
    for row in x:
        if metric == "inner_product":
            rows.append(-lanes(row * y))
        elif metric == "manhattan":
            rows.append(lanes(np.abs(row - y)))
        else:
            squared = lanes((row - y) ** 2)
            rows.append({"euclidean": np.sqrt(squared), "sqeuclidean": squared, "cosine": squared / 2}[metric])
    return np.array(rows)


def nearest(distances: np.ndarray, k: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest of each row among those allowed, in the order (distance, row number)."""
    n = len(distances)
    indices, found = np.full((n, k), -1), np.full((n, k), np.inf, np.float32)
    for i, row in enumerate(distances):
        order = np.lexsort((np.arange(len(row)), row))
        order = order[allowed[i][order]][:k]
        indices[i, : len(order)], found[i, : len(order)] = order, row[order]
    return indices, found


def draw(rng: np.random.Generator, n: int, dim: int, dtype: Any, metric: str = "euclidean") -> np.ndarray:
    if metric in BITS:
        return rng.integers(0, 256, (n, dim)).astype(np.uint8)
    values = rng.normal(size=(n, dim)) * 40
    if dtype == np.int8:
        values = values.clip(-128, 127)
    if dtype == np.uint8:
        values = np.abs(values).clip(0, 255)
    values[:, 0] += values[:, 0] == 0
    values = values.astype(dtype)
    values[(values == 0).all(1)] = 1
    return values


def check(
    vectors: np.ndarray, k: int, metric: str, isa: str, groups: np.ndarray | None = None, threads: int = 0
) -> None:
    n = len(vectors)
    index = native.Index(vectors, metric, isa=isa, threads=threads)
    truth = brute(vectors, vectors, metric)
    apart = np.ones((n, n), bool) if groups is None else groups[:, None] != groups[None, :]
    others = apart & ~np.eye(n, dtype=bool)

    for got, want in zip(index.self_join(k, groups=groups), nearest(truth, k, others), strict=True):
        np.testing.assert_array_equal(got, want)

    few = slice(0, min(n, 40))
    query_groups = None if groups is None else groups[few]
    found = index.search(vectors[few], k, groups=groups, query_groups=query_groups)
    for got, want in zip(found, nearest(truth[few], k, apart[few]), strict=True):
        np.testing.assert_array_equal(got, want)

    radius = float(np.sort(truth, axis=None)[min(n * n - 1, 5 * n)])
    for allowed, queries in ((others, None), (apart, vectors)):
        where = groups if queries is not None else None
        indptr, indices, distances = index.within(radius, queries=queries, groups=groups, query_groups=where)
        close = (truth <= radius) & allowed
        np.testing.assert_array_equal(np.diff(indptr), close.sum(1))
        for i in range(n):
            order = np.lexsort((np.arange(n), truth[i]))
            order = order[close[i][order]]
            np.testing.assert_array_equal(indices[indptr[i] : indptr[i + 1]], order)
            np.testing.assert_array_equal(distances[indptr[i] : indptr[i + 1]], truth[i, order].astype(np.float32))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", (*DOT, "manhattan"))
def test_metric_and_dtype(metric: str, dtype: Any, isa: str) -> None:
    rng = np.random.default_rng(0)
    for n, dim, k in ((2, 1, 1), (50, 3, 60), (450, 13, 5), (300, 64, 20)):
        check(draw(rng, n, dim, dtype), k, metric, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("metric", BITS)
def test_bits(metric: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    for n, dim, k in ((2, 1, 1), (300, 3, 5), (400, 33, 20), (60, 9, 100)):
        vectors = draw(rng, n, dim, np.uint8, metric)
        vectors[: n // 8] = 0
        check(vectors, k, metric, isa, groups=rng.integers(0, 3, n))
        check(vectors, k, metric, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dim", (1, 2, 3, 5, 7, 13, 63, 64, 65, 100, 384, 784, 1536))
def test_dim(dim: int, isa: str) -> None:
    rng = np.random.default_rng(dim)
    vectors = draw(rng, 150, dim, np.float32)
    for metric in ("euclidean", "inner_product", "manhattan"):
        check(vectors, 5, metric, isa)


@settings(max_examples=60)
@given(st.data())
def test_drawn(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 700))
    dim = data.draw(st.integers(1, 70))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    metric = data.draw(st.sampled_from((*DOT, "manhattan", *BITS)))
    vectors = draw(rng, n, dim, data.draw(st.sampled_from(DTYPES)), metric)
    copies = data.draw(st.integers(0, n))
    vectors[rng.integers(0, n, copies)] = vectors[rng.integers(0, n, copies)]
    groups = rng.integers(0, data.draw(st.integers(1, 20)), n) if data.draw(st.booleans()) else None
    threads = data.draw(st.integers(1, 4))
    check(vectors, data.draw(st.integers(1, 40)), metric, data.draw(st.sampled_from(ISAS)), groups, threads)


def test_strides() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(600, 40)).astype(np.float32)
    for view in (wide[::2, ::3], wide[:, :10], wide[::-1], np.asfortranarray(wide)):
        got = native.Index(view, "euclidean").self_join(5)
        want = native.Index(np.ascontiguousarray(view), "euclidean").self_join(5)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_field_of_records() -> None:
    """Strides that are no multiple of the value's size."""
    rng = np.random.default_rng(0)
    records = np.zeros(300, dtype=[("kind", "u1"), ("vector", "f4", (9,))])
    records["vector"] = rng.normal(size=(300, 9))
    index = Exact().fit(records["vector"])
    plain = records["vector"].copy()
    np.testing.assert_array_equal(index.neighbors(4).indices, Exact().fit(plain).neighbors(4).indices)
    np.testing.assert_array_equal(index.search(records["vector"][:9], 4).indices, index.search(plain[:9], 4).indices)
    first = np.zeros((300, 1), np.int64)
    np.testing.assert_array_equal(index.distances(first), index.distances(first, plain))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("metric", (*DOT, "manhattan"))
@pytest.mark.parametrize("giant", [1e25, 1e37, 1e140])
def test_a_row_far_beyond_all_others(giant: float, metric: str, isa: str) -> None:
    """No sample holds the row, so its values exceed the codes' range and the other codes of its block are zeros."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5_000, 4)) * 1e-3
    vectors[1] = giant
    index = native.Index(vectors, metric, isa=isa, threads=2)
    truth = brute(vectors[:40], vectors, metric)
    with np.errstate(over="ignore"):  # as float32
        asked = nearest(truth, 5, np.ones((40, 5_000), bool))
        joined = nearest(truth, 5, ~np.eye(40, 5_000, dtype=bool))
    for got, want in zip(index.search(vectors[:40], 5), asked, strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(index.self_join(5), joined, strict=True):
        np.testing.assert_array_equal(got[:40], want)


@pytest.mark.parametrize("sketch", [-2, 5, 8192])
def test_a_sketch_is_of_whole_groups(sketch: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        native.Index(np.eye(3), "euclidean", sketch=sketch)


ON_ITS_OWN = """
import os, resource, signal
import numpy as np
from vicinal.knn.kernels.native import _native as native
vectors = np.random.default_rng(0).normal(size=(2_000, 8)).astype(np.float32)
"""
FORKED = """
index = native.Index(vectors, "euclidean", threads=2)
before = index.search(vectors[:5], 3)[0].tolist()
child = os.fork()
if child == 0:
    signal.alarm(60)
    same = index.search(vectors[:5], 3)[0].tolist() == before and index.self_join(2)[0].shape == (2_000, 2)
    del index
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
print("well")
"""
FEW_THREADS = """
alone = native.Index(vectors, "euclidean", threads=1).self_join(3)[0]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), used + (2 << 30)))
signal.alarm(60)
index = native.Index(vectors, "euclidean", threads=200)
assert (index.self_join(3)[0] == alone).all()
assert 1 <= index.stats()["threads"] < 100, index.stats()
print("well")
"""
NO_ROOM_FOR_SKETCHES = """
vectors = np.random.default_rng(0).normal(size=(2_000, 4_096)).astype(np.float32)
index = native.Index(vectors, "euclidean", threads=64, sketch=16)
before = index.within(87.0, queries=vectors[:3])[1].tolist()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
most = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20), most[1]))
try:
    index.self_join(1)
except MemoryError:
    assert index.within(87.0, queries=vectors[:3])[1].tolist() == before
    print("well")
resource.setrlimit(resource.RLIMIT_AS, most)
alone = native.Index(vectors, "euclidean", threads=2, sketch=0).self_join(1)[0]
assert (index.self_join(1)[0] == alone).all() and index.stats()["sketch"] == 16
"""


def wide_stacks() -> None:
    """Large thread stacks, so that a process with little memory can start few threads."""
    import resource

    resource.setrlimit(resource.RLIMIT_STACK, (1 << 28, resource.getrlimit(resource.RLIMIT_STACK)[1]))


@pytest.mark.parametrize(
    ("does", "before"),
    [(FORKED, None), (FEW_THREADS, wide_stacks), (NO_ROOM_FOR_SKETCHES, None)],
    ids=[
        "a forked child has threads of its own",
        "as many threads as the machine gives",
        "sketches that memory refuses change nothing",
    ],
)
def test_a_process_where(does: str, before: Callable[[], None] | None) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ON_ITS_OWN + does],
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout, done.returncode) == ("well\n", 0), done.stderr


def test_mixed_dtypes() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 30)).astype(np.float16)
    queries = rng.normal(size=(9, 30))
    got = native.Index(vectors, "cosine").search(queries, 4)
    want = nearest(brute(queries, vectors, "cosine"), 4, np.ones((9, 500), bool))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("sketch", [16, 32])
def test_a_sketch_changes_nothing(kind: str, metric: str, isa: str, sketch: int) -> None:
    """Enough blocks that some are far from each other; all rows are held against the scan of the whole codes. With 32
    coordinates there are two sizes, and rows are sorted by their radii in the first join.
    """
    vectors = fit_for(metric, hard_data(kind, 2_600, 40))
    vectors = vectors if vectors.dtype.name in DTYPE_NAMES else vectors.astype(np.float64)
    groups = np.arange(len(vectors)) % 700
    plain = native.Index(vectors, metric, isa=isa, sketch=0)
    sketched = native.Index(vectors, metric, isa=isa, sketch=sketch)
    for members in (None, groups, None):
        want = plain.self_join(7, groups=members)
        for got, expected in zip(sketched.self_join(7, groups=members), want, strict=True):
            np.testing.assert_array_equal(got, expected)
    queries = vectors[::7][::-1]
    for k in (7, 30):
        for got, expected in zip(sketched.search(queries, k), plain.search(queries, k), strict=True):
            np.testing.assert_array_equal(got, expected)
    radius = float(np.median(want[1][:, 0]))
    pairs = [index.within(radius) for index in (sketched, plain)]
    for got, expected in zip(*pairs, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("isa", ISAS)
def test_sketches_are_used_where_they_pay(isa: str) -> None:
    rng = np.random.default_rng(0)
    few = rng.normal(size=(17_000, 12)) @ rng.normal(size=(12, 128))
    vectors = (few + 0.01 * rng.normal(size=(17_000, 128))).astype(np.float32)
    index = native.Index(vectors, "euclidean", isa=isa)
    indices, distances = index.self_join(5)
    assert index.stats()["sketch"] > 0 or isa in ("amx", "portable")
    found, far = index.search(vectors[8_000:], 6)
    assert index.stats()["sketch"] > 0 or isa in ("amx", "portable")
    for row in rng.choice(np.arange(8_000, len(vectors)), 30, replace=False):
        truth = brute(vectors[row : row + 1], vectors, "euclidean")[0]
        order = np.lexsort((np.arange(len(vectors)), truth))
        np.testing.assert_array_equal(found[row - 8_000], order[:6])
        np.testing.assert_array_equal(far[row - 8_000], truth[order[:6]].astype(np.float32))
        order = order[order != row][:5]
        np.testing.assert_array_equal(indices[row], order)
        np.testing.assert_array_equal(distances[row], truth[order].astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_many_rows_of_hard_data(kind: str, metric: str, isa: str) -> None:
    """Enough rows for many blocks, tiles and threads; a sample of them is held against the oracle."""
    vectors = fit_for(metric, hard_data(kind, 12_000, 48))
    vectors = vectors if vectors.dtype.name in DTYPE_NAMES else vectors.astype(np.float64)
    sample = np.random.default_rng(1).choice(len(vectors), 100, replace=False)
    indices, distances = native.Index(vectors, metric, isa=isa).self_join(10)
    for row in sample:
        truth = brute(vectors[row : row + 1], vectors, metric)[0]
        order = np.lexsort((np.arange(len(vectors)), truth))
        order = order[order != row][:10]
        np.testing.assert_array_equal(indices[row], order)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(distances[row], truth[order].astype(np.float32))
